"""Pictures that are generated, decoded from latents and inverted by themselves: what bulk jobs make, to the bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import invertone
from invertone import command_line
from invertone.cluster.config.loading import load
from invertone.cluster.formats.shards import Clip, load_manifest, read_shard
from invertone.cluster.storage.folder import Folder
from invertone.images.picture import encode, fit
from invertone.images.reading import decode
from invertone.infer.config import CATALOGUE
from invertone.infer.generate.config import CATALOGUE as GENERATE
from invertone.infer.generate.job import plan as plan_generation
from invertone.infer.generate.job import run as generate
from invertone.infer.job import run as infer
from invertone.models.generator import load_generator
from tests.inside import inside
from tests.made import LABELS
from tests.pictures import LATENT, SMALL, made_pictures, picture_models, picture_shards


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("files")
    picture_models(Folder.at(str(found)))
    picture_shards(Folder.at(str(found / "shards")), train=(6,), validation=0)
    roles = [f"{role}={found / role}" for role in ("shards", "generator", "mapper", "classifier")]
    with inside():
        infer("encoder", load(CATALOGUE, "encoder", [*roles, f"out={found / 'latents'}", "device=cpu", "workers=1"]))
    return found


def typed(*words: object) -> int:
    with inside():
        return command_line.main([str(word) for word in words])


def made(place: Path, out: Path, *more: str) -> list[Clip]:
    words = [f"generator={place / 'generator'}", f"out={out}", "count=11", "device=cpu", "workers=1", *more]
    with inside():
        generate("clips", load(GENERATE, "clips", words))
    folder = Folder.at(str(out))
    return [clip for entry in load_manifest(folder).shards for clip in read_shard(folder, entry)]


def test_generated_pictures_tell_their_latents_and_depend_on_nothing_else(place: Path, tmp_path: Path) -> None:
    clips = made(place, tmp_path / "a", f"classifier={place / 'classifier'}")
    manifest = load_manifest(Folder.at(str(tmp_path / "a")))
    assert (manifest.format, manifest.corpus, manifest.label_names) == (SMALL, "synthesised pictures", LABELS)
    latents = torch.tensor([clip.info.latent for clip in clips])
    assert latents.shape == (11, LATENT) and latents.abs().max() <= 1
    generator, _ = load_generator(str(place / "generator"))
    with torch.no_grad():
        seen = generator(latents).numpy().transpose(0, 2, 3, 1)
    for clip, wanted in zip(clips, seen, strict=True):
        assert clip.format == "png" and np.abs(decode(clip.data) - (wanted + 1) * 127.5).max() <= 0.5 + 1e-3
        assert (clip.info.source_height, clip.info.source_width) == (32, 32) and clip.info.label_name in LABELS
        assert not {"start", "length", "source_sample_rate"} & clip.info.to_json().keys()
    others = made(place, tmp_path / "b", "batch=2", "clips_per_shard=4")
    assert [each.data for each in others] == [each.data for each in clips]


def test_generation_says_pictures_and_refuses_what_is_of_clips(place: Path) -> None:
    given = ["count=3", "out=/out", f"generator={place / 'generator'}"]
    assert plan_generation(load(GENERATE, "clips", given))[0].startswith("would make: 3 pictures of split test")
    for more, said in (
        ("format=flac", "format=flac is for clips"),
        (f"classifier={place / 'judge'}", "classifier knows no labels"),
    ):
        with pytest.raises(invertone.UserError, match=said):
            plan_generation(load(GENERATE, "clips", [*given, more]))


def test_latents_become_the_pictures_that_inference_wrote(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = {row["key"]: row for row in invertone.latents(str(place / "latents"))}
    words = ["decode", place / "latents", f"generator={place / 'generator'}", "device=cpu"]
    assert typed(*words, f"out={tmp_path / 'all'}") == 0
    assert "6 pictures of 32 × 32 pixels" in capsys.readouterr().out
    files = sorted((tmp_path / "all").iterdir())
    assert [each.read_bytes() for each in files] == [rows[key]["reconstruction"]["bytes"] for key in sorted(rows)]
    assert typed(*words, f"out={tmp_path / 'sheet.png'}") == 0
    sheet = decode((tmp_path / "sheet.png").read_bytes())
    assert sheet.shape == (64, 96, 3)  # two rows of three
    fifth = decode(rows[list(rows)[4]]["reconstruction"]["bytes"])
    assert np.array_equal(sheet[32:, 32:64], fifth)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["out={}/a.wav"],
            "out names a WAV file, and the generator makes pictures; name it NAME.png, or give a folder",
        ),
        (["out={}/a", "format=wav"], "format=wav is for clips"),
        (["out={}/none/a.png"], "the folder of out is not there"),
    ],
)
def test_a_mistake_in_decoding_is_one_line(
    words: list[str], said: str, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [place / "latents", f"generator={place / 'generator'}", "device=cpu"]
    assert typed("decode", *given, *(word.format(tmp_path) for word in words)) == 2
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1 and not list(tmp_path.iterdir())


def given(place: Path) -> list[str]:
    return [f"{role}={place / role}" for role in ("generator", "mapper", "classifier")] + ["device=cpu", "threads=1"]


def test_a_file_s_latent_is_the_one_that_bulk_inference_finds(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip, row = made_pictures(6, "train")[3], list(invertone.latents(str(place / "latents")))[3]
    (tmp_path / "one.png").write_bytes(clip.data)
    assert typed("invert", tmp_path / "one.png", tmp_path / "back.png", "method=encoder", *given(place)) == 0
    assert (tmp_path / "back.png").read_bytes() == row["reconstruction"]["bytes"]
    assert np.load(tmp_path / "back.npy").tolist() == [row["latent"]]
    told = json.loads((tmp_path / "back.json").read_text())
    (found,) = told["clips"]
    assert found["psnr"] == row["psnr"] and found["latent"] == row["latent"] and told["box"] == [0, 0, 32, 32]
    assert "sample_rate" not in told and "start" not in found
    said = capsys.readouterr().out
    assert "whole, as pictures of 32 × 32 pixels" in said and "grey" in said and "random latents" in said
    assert "decode back.npy out=again.png" in said
    words = ["decode", tmp_path / "back.json", f"out={tmp_path / 'again.png'}", given(place)[0], "device=cpu"]
    assert typed(*words) == 0
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "back.png").read_bytes()


def test_the_middle_of_a_larger_picture_of_another_form_is_taken(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "wide.jpg")
    monkeypatch.chdir(tmp_path)
    assert typed("invert", "wide.jpg", "method=encoder", *given(place)) == 0
    assert "JPEG of 90 × 120 pixels, its middle of 90 × 90" in capsys.readouterr().out
    assert json.loads(Path("wide-inverted.json").read_text())["box"] == [15, 0, 90, 90]
    inverter = invertone.Inverter("encoder", **dict(each.split("=") for each in given(place)[:4]), threads=1)
    taken = fit(decode(Path("wide.jpg").read_bytes()), 32, 32)
    assert np.array_equal(np.load("wide-inverted.npy")[0], inverter(taken).latent)


def test_mistakes_of_a_picture_file_are_one_line_and_nothing_is_written(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "good.png").write_bytes(made_pictures(1, "train")[0].data)
    (tmp_path / "text.png").write_text("no picture at all")
    before = sorted(tmp_path.iterdir())
    for words, said in (
        (["text.png", "method=encoder"], "not a picture"),
        (["none.png", "method=encoder"], "no such file"),
        (["good.png", "method=hybrid"], "use `invertone infer hybrid-pictures`"),
        (["good.png", "out.wav", "method=encoder"], "out has no ending of png"),
        (["good.png", "good.png", "method=encoder"], "out is the picture itself"),
        (["good.png", "method=encoder", "stretch=all"], "stretch=all, and the generator makes pictures"),
    ):
        files = [str(tmp_path / word) if "=" not in word else word for word in words]
        assert typed("invert", *files, *given(place)) == 2
        told = capsys.readouterr().err
        assert said in told and told.count("\n") == 1, told
    assert sorted(tmp_path.iterdir()) == before


@pytest.fixture(scope="module")
def inverter(place: Path) -> Any:
    models = {role: str(place / role) for role in ("generator", "mapper", "classifier")}
    return invertone.Inverter("hybrid-pictures", **models, device="cpu", threads=1, evaluations=4)


def test_an_array_becomes_latent_reconstruction_and_scores(inverter: Any, tmp_path: Path) -> None:
    pixels = [decode(each.data) for each in made_pictures(3, "test")]
    found = inverter(pixels)
    for each, target in zip(found, pixels, strict=True):
        assert each.latent.shape == (LATENT,) and np.array_equal(each.clip, target)
        assert each.reconstruction.dtype == np.uint8 and each.reconstruction.shape == SMALL.shape
        assert {"psnr", "ssim", "pixel_mae", "feature_distance", "loss"} <= each.scores.keys()
        assert each.heard in inverter.labels and (each.start, each.length) == (0, 0)
        assert np.array_equal(inverter.decode(each.latent), each.reconstruction)
    assert np.array_equal(inverter(pixels[1]).latent, found[1].latent)  # whatever it was inverted beside
    (tmp_path / "a.png").write_bytes(encode(pixels[2]))
    assert np.array_equal(inverter(tmp_path / "a.png").latent, found[2].latent)
    assert inverter.decode(np.stack([each.latent for each in found])).shape == (3, *SMALL.shape)
    floors = inverter.floors(found)
    assert list(floors) == ["grey", "random latents"] and floors["grey"]["psnr"] > 0
    assert inverter(np.full((40, 50), 128, np.uint8)).clip.shape == SMALL.shape


@pytest.mark.parametrize(
    ("value", "options", "said"),
    [
        (np.zeros((4, 4, 3)), {}, "array of float64 .* give uint8"),
        (np.zeros(9, np.uint8), {}, "with the shape .9,."),
        (np.zeros((0, 3, 3), np.uint8), {}, "with the shape .0, 3, 3."),
        (np.zeros((4, 4, 3), np.uint8), {"rate": 16_000}, "rate=16000, and the generator makes pictures"),
        (np.zeros((4, 4, 3), np.uint8), {"stretch": "all"}, "stretch=all, and the generator makes pictures"),
    ],
)
def test_what_is_no_picture_is_said(inverter: Any, value: Any, options: Any, said: str) -> None:
    with pytest.raises(invertone.UserError, match=said):
        inverter(value, **options)


def test_rows_give_their_pictures_and_no_sound(place: Path) -> None:
    found = invertone.latents(str(place / "latents"))
    row = next(iter(found))
    assert np.array_equal(found.picture(row), decode(row["reconstruction"]["bytes"]))
    with pytest.raises(invertone.UserError, match=r"this row holds a picture; use Latents\.picture"):
        found.audio(row)
    with pytest.raises(invertone.UserError, match="this row holds no picture"):
        found.picture({"key": "k", "reconstruction": None})
    with pytest.raises(invertone.UserError, match=r"this row holds sound; use Latents\.audio"):
        found.picture({"key": "k", "reconstruction": {"bytes": b"", "path": "k.flac"}})
    assert "reconstruction" not in found.to_pandas()


def test_windows_of_pictures_are_not_joined(place: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert typed("join", "recordings", f"latents={place / 'latents'}", f"out={tmp_path / 'joined'}") == 2
    told = capsys.readouterr().err
    assert "shards: pictures of 32 × 32 pixels, and this is for clips of sound" in told and told.count("\n") == 1
