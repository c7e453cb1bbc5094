"""A guided autoencoder in bulk: its latents of an archive, and clips by label and style."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import torch

from invertone.audio.clip import decode, to_float
from invertone.cluster.config.loading import load
from invertone.cluster.errors import UserError
from invertone.cluster.formats.latents import CLASS_PROBABILITIES
from invertone.cluster.formats.shards import load_manifest, read_shard
from invertone.cluster.ray.resources import Capacity
from invertone.cluster.storage.folder import Folder
from invertone.infer.build import build_inverter, method_of
from invertone.infer.config import CATALOGUE
from invertone.infer.generate import config as generate_config
from invertone.infer.generate.config import GaaeClipsConfig
from invertone.infer.generate.gaae_stage import GaaeClipsStage
from invertone.infer.generate.job import plan, run
from invertone.infer.job import run as infer
from invertone.infer.methods.autoencoder import GUIDED_LATENT
from invertone.infer.schemas.shared import InferConfig
from invertone.models.autoencoder import SpectrogramAutoencoder
from invertone.models.generator import load_generator
from invertone.train.build import check
from tests.made import LABELS, made_shards, tiny_config, tiny_models, train_tiny

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Shards, a GAAE (whose style is smaller than its guided latent) and a BigGAN after one update each, and a WaveGAN with
    classifier and mapper."""
    folder = Folder.at(str(tmp_path_factory.mktemp("gaae")))
    made_shards(folder / "shards", train=(7, 4), validation=0)
    for name, given in (("gaae", {"style_size": 5}), ("biggan-unsupervised", {})):
        train_tiny(f"{name}-debug", folder / "shards", folder / name, steps=1, checkpoint_every=1, **given)
    tiny_models(folder / "shards", folder.local)  # type: ignore[arg-type]
    return folder


@pytest.fixture(scope="module")
def autoencoder(place: Folder) -> SpectrogramAutoencoder:
    found = load_generator((place / "gaae").uri)[0]
    assert isinstance(found, SpectrogramAutoencoder)
    return found


def asked(name: str, place: Folder, out: Path, **values: Any) -> InferConfig:
    given = {"shards": (place / "shards").uri, "out": out, "device": "cpu", "workers": 1}
    given |= {"generator": (place / "gaae").uri, **values}
    return load(CATALOGUE, name, [f"{key}={value}" for key, value in given.items()])


def clips_config(place: Folder, out: Path | str, **values: Any) -> GaaeClipsConfig:
    given = {"checkpoint": (place / "gaae").uri, "out": out, "count": 5, "device": "cpu", "workers": 1, **values}
    return load(generate_config.CATALOGUE, "gaae", [f"{key}={value}" for key, value in given.items()])


def stage(place: Folder, label: int | None = None, **values: Any) -> GaaeClipsStage:
    return GaaeClipsStage(clips_config(place, "out", **values), LABELS, label, True, {})


def test_rows_hold_both_latents_and_the_reconstruction_that_they_make(
    in_process: None, place: Folder, autoencoder: SpectrogramAutoencoder, tmp_path: Path
) -> None:
    infer("gaae", asked("gaae", place, tmp_path / "out", classifier=(place / "classifier").uri))
    rows = [row for file in sorted((tmp_path / "out").glob("*.parquet")) for row in pq.read_table(file).to_pylist()]
    clips = {
        clip.info.key: torch.from_numpy(to_float(decode(clip.data)))
        for entry in load_manifest(place / "shards").shards
        for clip in read_shard(place / "shards", entry)
    }
    assert {row["key"] for row in rows} == clips.keys() and len(rows) == 11
    for row in rows:
        encoded = autoencoder.encode(clips[row["key"]][None])
        assert row["status"] == "ok" and row["method"] == "gaae" and row["evaluations"] == 0
        for column, wanted in (
            ("latent", encoded.style),
            (GUIDED_LATENT, encoded.guided),
            (CLASS_PROBABILITIES, encoded.probabilities),
        ):
            assert torch.allclose(torch.tensor(row[column]), wanted[0], atol=1e-4), column
        assert sum(row[CLASS_PROBABILITIES]) == pytest.approx(1.0, abs=1e-5)
        samples = decode(row["reconstruction"]["bytes"])
        assert samples.shape == (16_384,) and np.abs(samples).max() > 0 and row["spectrogram_mae"] > 0


def test_rows_have_room_for_a_guided_latent_that_is_larger_than_the_style(tmp_path: Path, place: Folder) -> None:
    config = asked("gaae", place, tmp_path, generator="shipped:fsdd")
    generator = load_generator("shipped:fsdd")[0]
    found = build_inverter(config, generator, None, CPU)(torch.randn(1, 16_384) * 0.1, ["a"])
    sizes = {name: each.shape[1] for name, each in found.vectors.items()}
    assert method_of(config).vectors(config, generator) == sizes and sizes[GUIDED_LATENT] > found.latent.shape[1]


def test_a_clip_is_its_own_to_the_bit(place: Folder, autoencoder: SpectrogramAutoencoder, tmp_path: Path) -> None:
    inverter = build_inverter(asked("gaae", place, tmp_path), autoencoder, None, CPU)
    target = torch.randn(11, 16_384, generator=torch.Generator().manual_seed(0)) * 0.1
    keys = [f"clip{number}" for number in range(11)]
    together, alone = inverter(target, keys), inverter(target[9:10], keys[9:10])
    assert torch.equal(together.latent[9], alone.latent[0]) and torch.equal(together.signal[9], alone.signal[0])
    assert torch.equal(together.vectors[GUIDED_LATENT][9], alone.vectors[GUIDED_LATENT][0])


def test_a_reconstruction_has_its_clips_level(
    place: Folder, autoencoder: SpectrogramAutoencoder, tmp_path: Path
) -> None:
    inverter = build_inverter(asked("gaae", place, tmp_path), autoencoder, None, CPU)
    target = torch.randn(1, 16_384, generator=torch.Generator().manual_seed(0)) * 0.1
    loud, faint = inverter(target, ["a"]), inverter(target / 8, ["a"])
    assert torch.allclose(loud.signal / 8, faint.signal, atol=2e-3) and loud.signal.abs().max() > 0.01


def test_each_method_has_its_kind_of_generator(place: Folder, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no encoder of its own"):
        infer("gaae", asked("gaae", place, tmp_path, generator=(place / "wavegan").uri))
    with pytest.raises(UserError, match="has no encoder of its own"):
        infer("gaae", asked("gaae", place, tmp_path, generator=(place / "biggan-unsupervised").uri))
    with pytest.raises(UserError, match="gaae checkpoint, whose sound comes from phase recovery"):
        infer("encoder", asked("encoder", place, tmp_path, mapper=(place / "mapper").uri))
    with pytest.raises(UserError, match="phase recovery"):
        models = {"generator": (place / "gaae").uri, "classifier": (place / "classifier").uri}
        check(tiny_config("mapper-debug", place / "shards", Folder.at(str(tmp_path)), steps=1, **models))


def test_as_a_generator_it_takes_a_label_or_chooses_one(autoencoder: SpectrogramAutoencoder) -> None:
    latent = autoencoder.prior.sample(6, autoencoder.latent_size, torch.Generator().manual_seed(0))
    latent[:, 0] = torch.tensor([-9.0, -1.0, -0.1, 0.1, 1.0, 9.0])  # thirds of the normal distribution end at ±0.43
    chosen = autoencoder(latent, torch.tensor([0, 0, 1, 1, 2, 2]))
    assert torch.equal(autoencoder(latent), chosen) and chosen.shape == (6, 16_384) and chosen.abs().max() <= 1


def digests(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


def test_wav_files_by_label_and_a_rerun_makes_what_is_missing(
    ray_session: Capacity, place: Folder, tmp_path: Path
) -> None:
    config = clips_config(place, tmp_path / "out", label="middle", clips_per_unit=2)
    run("gaae", config)
    names = [f"{number:08d}-middle.wav" for number in range(5)]
    assert sorted(each.name for each in (tmp_path / "out/wav").iterdir()) == names
    samples, rate = soundfile.read(tmp_path / "out/wav" / names[0])
    assert rate == 16_000 and len(samples) == 16_384 and 0 < abs(samples).max() <= 1
    before = digests(tmp_path / "out/wav")
    (tmp_path / "out/__invertone/ledger/commits/clips-000001.json").unlink()
    (tmp_path / "out/wav" / names[2]).unlink()
    run("gaae", clips_config(place, tmp_path / "out", label="middle", clips_per_unit=2, batch=1, workers=2))
    assert digests(tmp_path / "out/wav") == before


def test_parquet_that_plain_pyarrow_reads(in_process: None, place: Folder, tmp_path: Path) -> None:
    run("gaae", clips_config(place, tmp_path / "out", output="parquet"))
    (file,) = (tmp_path / "out").glob("*.parquet")
    rows = pq.read_table(file).to_pylist()
    assert [row["label_name"] for row in rows] == [LABELS[number % 3] for number in range(5)]
    assert all(len(row["latent"]) == 5 and decode(row["audio"]["bytes"]).shape == (16_384,) for row in rows)


@pytest.mark.parametrize(("kind", "labels"), [("gaae", LABELS), ("biggan-unsupervised", ())])
def test_shards_to_train_on(
    in_process: None, place: Folder, tmp_path: Path, kind: str, labels: tuple[str, ...]
) -> None:
    checkpoint = (place / kind).uri
    run("gaae", clips_config(place, tmp_path / "out", checkpoint=checkpoint, output="shards", split="validation"))
    folder = Folder.at(str(tmp_path / "out"))
    manifest = load_manifest(folder)
    assert (manifest.label_names, manifest.count("validation"), manifest.count()) == (labels, 5, 5)
    clips = [clip for entry in manifest.shards for clip in read_shard(folder, entry)]
    wanted = [LABELS[number % 3] if labels else None for number in range(5)]
    assert [clip.info.label_name for clip in clips] == wanted
    size = 5 if kind == "gaae" else 8
    assert all(len(clip.info.latent or ()) == size and decode(clip.data).any() for clip in clips)


def test_styles(place: Folder) -> None:
    styles = {
        kind: torch.stack([stage(place, style=kind, count=7).style(number, 16) for number in range(7)])
        for kind in ("random", "fixed", "interpolated")
    }
    assert (styles["fixed"] == styles["fixed"][0]).all() and len(styles["random"].unique(dim=0)) == 7
    ends = styles["interpolated"][[0, 6]]
    angles = torch.nn.functional.cosine_similarity(styles["interpolated"][:-1], styles["interpolated"][1:]).arccos()
    assert angles.std() < 0.05 and torch.allclose(styles["interpolated"].norm(dim=1), ends.norm(dim=1).mean(), atol=1.5)
    assert [stage(place, style="fixed").key(number) for number in range(4)] == [
        f"{number:08d}-{LABELS[number % 3]}" for number in range(4)
    ]


@pytest.mark.parametrize(("label", "number"), [("2", 2), ("high", 2), ("low", 0)])
def test_a_label_by_name_or_number(place: Folder, tmp_path: Path, label: str, number: int) -> None:
    assert f"label {LABELS[number]}" in plan(clips_config(place, tmp_path, label=label))[0]


def test_what_cannot_be_made_is_refused_in_one_line(place: Folder, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="labels are low, middle, high; did you mean 'high'"):
        plan(clips_config(place, tmp_path, label="hihg"))
    with pytest.raises(UserError, match="trained without labels"):
        plan(clips_config(place, tmp_path, label="low", checkpoint=(place / "biggan-unsupervised").uri))
    with pytest.raises(UserError, match="checkpoint is a classifier checkpoint"):
        plan(clips_config(place, tmp_path, checkpoint=(place / "classifier").uri))


def test_random_labels_depend_on_seed_and_number_alone_and_keys_stay_unique(place: Folder) -> None:
    made = stage(place, labels="random")
    drawn = [made._described(number) for number in range(300)]
    counts = np.bincount([row["label"] for row in drawn], minlength=3)
    assert counts.min() > 60 and len({row["key"] for row in drawn}) == 300  # 100 expected of each, 8.2 the deviation
    assert [row["label"] for row in drawn] != [number % 3 for number in range(300)]
    again = stage(place, labels="random", count=9, clips_per_unit=2)
    assert [again._described(number) for number in range(9)] == drawn[:9]
    other = stage(place, labels="random", seed=1)
    assert [other._described(number)["label"] for number in range(300)] != [row["label"] for row in drawn]


def test_a_linear_way_keeps_its_label_and_goes_straight(place: Folder) -> None:
    made = stage(place, style="interpolated", path="linear", labels="random", steps=5, count=30)
    styles = torch.stack([made.style(number, 16) for number in range(30)])
    labels = [made._described(number)["label"] for number in range(30)]
    for way in range(6):
        own = styles[5 * way : 5 * way + 5]
        z0, z1 = (stage(place, style="random").style(number, 16) for number in (2 * way, 2 * way + 1))
        for step, style in enumerate(own):
            assert torch.allclose(style, z0 + step / 4 * (z1 - z0), atol=1e-6)
        assert len(set(labels[5 * way : 5 * way + 5])) == 1
    assert len(set(labels)) > 1
    # without steps all clips are one way, and labels take turns, as version 0.1 has it
    older = stage(place, style="interpolated", count=7)
    assert [older._described(number)["label"] for number in range(4)] == [0, 1, 2, 0]


def test_a_grid_has_every_label_of_each_style(place: Folder) -> None:
    made = stage(place, style="grid", count=9)
    styles = torch.stack([made.style(number, 16) for number in range(9)])
    assert len(styles.unique(dim=0)) == 3 and all(torch.equal(styles[3 * n], styles[3 * n + 2]) for n in range(3))
    assert [made.key(number) for number in (0, 4, 8)] == ["00000000-low", "00000004-middle", "00000008-high"]


def test_styles_of_clips_that_were_encoded(in_process: None, place: Folder, tmp_path: Path) -> None:
    latents = tmp_path / "latents"
    infer("gaae", asked("gaae", place, latents, rows="latents"))
    rows = [row for file in sorted(latents.glob("*.parquet")) for row in pq.read_table(file).to_pylist()]
    of_key = {row["key"]: row["latent"] for row in rows}
    config = clips_config(place, tmp_path / "out", style="grid", count=6, latents=latents, output="parquet", seed=3)
    assert f"style grid, of 2 clips of {latents}" in plan(config)[0]
    run("gaae", config)
    chosen = json.loads((tmp_path / "out/styles.json").read_text())
    assert [each["style"] for each in chosen] == [0, 1] and len({each["key"] for each in chosen}) == 2
    (file,) = (tmp_path / "out").glob("*.parquet")
    made = pq.read_table(file).to_pylist()
    assert [row["latent"] for row in made] == [of_key[chosen[n // 3]["key"]] for n in range(6)]
    with pytest.raises(UserError, match="has 11 clips, 12 styles are wanted"):
        run("gaae", clips_config(place, tmp_path / "more", count=12, latents=latents))
    with pytest.raises(UserError, match="latents are of another checkpoint"):
        other = (place / "biggan-unsupervised").uri
        plan(clips_config(place, tmp_path / "more", checkpoint=other, latents=latents))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"steps": 4, "style": "interpolated"}, "steps=4 does not divide 5 clips of style=interpolated"),
        ({"steps": 5}, "steps=5 does not divide 5 clips of style=random"),
        ({"label": "low", "labels": "random"}, "label=low and labels=random contradict each other"),
        ({"label": "low", "style": "grid"}, "style=grid has every label in turn"),
        ({"style": "grid", "checkpoint": "biggan-unsupervised"}, "trained without labels"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(
    place: Folder, tmp_path: Path, values: dict[str, Any], said: str
) -> None:
    if "checkpoint" in values:
        values = values | {"checkpoint": (place / values["checkpoint"]).uri}
    with pytest.raises(UserError, match=said):
        plan(clips_config(place, tmp_path, **values))


def test_the_papers_protocols_have_their_configs(place: Folder, tmp_path: Path) -> None:
    given = [f"checkpoint={(place / 'gaae').uri}", f"out={tmp_path / 'out'}"]
    planned = {
        "gaae-random": "50,000 clips of random labels, style random, by",
        "gaae-grid": "50 clips of all labels in turn, style grid, by",
        "gaae-interpolation": "32 clips of random labels, one from style to style, style interpolated along linear, by",
    }
    for name, said in planned.items():
        assert said in plan(load(generate_config.CATALOGUE, name, given))[0]
