"""The reconstruction table of pictures: baselines that are known, and independent oracles for what it says of runs."""

from __future__ import annotations

import base64
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from PIL import Image

from invertone.cluster.config.loading import load
from invertone.cluster.errors import UserError
from invertone.cluster.formats.shards import Clip
from invertone.cluster.storage.folder import Folder
from invertone.eval import figures
from invertone.eval.config import CATALOGUE
from invertone.eval.job import plan, run
from invertone.eval.report.blocks import Clips, Facts, Table, picture_count
from invertone.eval.report.chapters.clips import tile
from invertone.eval.report.page import rendered
from invertone.eval.report.sources import found, sections_of
from invertone.eval.tables.mean_face import rounded
from invertone.images.picture import Pixels, views
from invertone.images.reading import decode
from invertone.models.checkpoint import load_classifier
from invertone.models.generator import generator_digest, load_generator
from invertone.models.signals import PICTURES
from tests.eval.planted_pictures import picture_run
from tests.made import write_shards
from tests.pictures import LATENT, SMALL, made_pictures, picture_models

GROUPS = [made_pictures(12, "train"), made_pictures(9, "test")]
TARGETS = {clip.info.key: decode(clip.data) for group in GROUPS for clip in group}
JUDGED = ("clips,failed,accuracy,frechet_penultimate,feature_distance,cosine_distance,ssim,pixel_mae,pixel_mse,picture_psnr,"
          "explained_variance,recovered,evaluations")  # fmt: skip


def noisy(clip: Clip) -> Pixels | None:
    """The picture in noise; that of one key is lost."""
    if clip.info.key == "test/0003":
        return None
    rng = np.random.default_rng(int(clip.info.key[-4:]))
    return np.clip(decode(clip.data) + rng.normal(0, 20, (32, 32, 3)), 0, 255).astype(np.uint8)


def exact(clip: Clip) -> Pixels:
    return decode(clip.data)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    place = Folder.at(str(tmp_path_factory.mktemp("pictures")))
    picture_models(place)
    given = (place / "generator").uri, "g"
    picture_run(place, "noisy", GROUPS, noisy, generator=given)
    picture_run(place, "exact", GROUPS, exact, generator=given)
    return place


def keys(place: Folder, out: Path, **values: Any) -> list[str]:
    given = {"out": out, "device": "cpu", "workers": 1, **values}
    if "latents" not in given:
        given["latents"] = f"[{(place / 'noisy').uri},{(place / 'exact').uri}]"
    return [f"{key}={value}" for key, value in given.items()]


def table(place: Folder, out: Path, name: str = "reconstruction", **values: Any) -> dict[str, dict[str, Any]]:
    run(name, load(CATALOGUE, name, keys(place, out, **values)))
    return {row["row"]: row for row in json.loads((out / "table.json").read_text())["rows"]}


def test_the_table_is_what_numpy_and_scipy_say(in_process: None, place: Folder, tmp_path: Path) -> None:
    heard = (place / "classifier").uri
    found = table(place, tmp_path / "out", classifier=heard, columns=f"[{JUDGED}]")
    assert list(found) == ["noisy", "exact", "real", "mean face", "random latent"]
    shared = [key for key in TARGETS if key != "test/0003"]
    wanted = np.stack([TARGETS[key] for key in shared]).astype(float)
    made = np.stack([noisy(clip) for group in GROUPS for clip in group if clip.info.key in shared]).astype(float)
    row = found["noisy"]
    assert (row["clips"], row["failed"], found["exact"]["failed"]) == (20, 1, 0)
    mse = np.square(wanted - made).mean((1, 2, 3))
    assert row["picture_psnr"] == pytest.approx(np.mean(20 * np.log10(255 / np.sqrt(mse))), rel=1e-5)
    assert row["pixel_mae"] == pytest.approx(np.abs(wanted - made).mean() * 2 / 255, rel=1e-5)
    assert row["pixel_mse"] == pytest.approx(mse.mean() * 4 / 255**2, rel=1e-5)
    kept = 1 - np.var(wanted - made, axis=(1, 2, 3)).sum() / np.var(wanted, axis=(1, 2, 3)).sum()
    assert row["explained_variance"] == pytest.approx(kept, rel=1e-5)
    own = 1 - np.var(wanted - made, axis=(1, 2, 3)) / np.var(wanted, axis=(1, 2, 3))
    assert row["recovered"] == np.mean(own >= 0.99)
    classifier = load_classifier(heard, torch.device("cpu"))[0]
    with torch.no_grad():
        a, b = (
            classifier.seen(torch.from_numpy(views(list(each.astype(np.uint8)))))[1].double().numpy()
            for each in (wanted, made)
        )
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert row["cosine_distance"] == pytest.approx(np.mean(1 - cosine), abs=1e-6)
    root = scipy.linalg.sqrtm(np.cov(a.T) @ np.cov(b.T)).real
    distance = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(np.cov(a.T) + np.cov(b.T) - 2 * root)
    assert row["frechet_penultimate"] == pytest.approx(distance, abs=1e-5)
    for perfect in (found["real"], found["exact"]):
        assert perfect["pixel_mae"] == 0 and perfect["recovered"] == 1 == perfect["explained_variance"]
        assert perfect["ssim"] == pytest.approx(1) and perfect["frechet_penultimate"] == pytest.approx(0, abs=1e-6)
    mean = rounded(sum(TARGETS[clip.info.key].astype(np.int64) for clip in GROUPS[0]), 12)
    assert found["mean face"]["pixel_mae"] == pytest.approx(np.abs(wanted - mean).mean() * 2 / 255, rel=1e-5)
    assert (np.asarray(Image.open(tmp_path / "out/mean-face.png")) == mean).all()
    assert found["random latent"]["explained_variance"] < row["explained_variance"]
    assert not any("waveform" in name or "spectrogram" in name or "inception" in name for name in row)


def test_rows_say_the_same_as_pixels(in_process: None, place: Folder, tmp_path: Path) -> None:
    columns = "[clips,failed,ssim,pixel_mae,pixel_mse,picture_psnr,explained_variance,recovered,evaluations]"
    config = load(CATALOGUE, "reconstruction", keys(place, tmp_path / "dry", columns=columns))
    assert plan(config) == ["would judge: noisy, exact on 21 pictures in 2 shards, by their rows"]
    by_rows = table(place, tmp_path / "rows", columns=columns)
    seen = table(place, tmp_path / "pixels", classifier=(place / "judge").uri)
    for row, values in by_rows.items():
        for name, value in values.items():
            if name in seen[row] and name != "row" and value is not None:
                assert value == pytest.approx(seen[row][name], rel=1e-6, abs=1e-9), (row, name)
    assert "accuracy" not in seen["noisy"]  # the judge knows no identities


@pytest.mark.parametrize(("batch", "workers"), [(1, 1), (5, 1)])
def test_batches_do_not_change_the_numbers(
    in_process: None, place: Folder, tmp_path: Path, batch: int, workers: int
) -> None:
    one = table(place, tmp_path / "a", classifier=(place / "judge").uri, batch=batch)
    many = table(place, tmp_path / "b", classifier=(place / "judge").uri)
    for row, values in many.items():
        for name, value in values.items():
            assert one[row][name] == (
                value if isinstance(value, str) or value is None else pytest.approx(value, rel=1e-4, abs=1e-5)
            )


def test_a_classifier_of_sounds_is_refused(place: Folder, tmp_path: Path) -> None:
    from invertone.cluster.formats.checkpoints import MANIFEST

    folder = place / "sounds"
    told = (place / "classifier").read_json(MANIFEST)
    del told["signal"], told["height"], told["width"]
    folder.publish_json(MANIFEST, told | {"sample_rate": 16_000, "clip_samples": 16_384})
    with pytest.raises(UserError, match="classifier is for 16,384 mono samples"):
        plan(load(CATALOGUE, "reconstruction", keys(place, tmp_path / "out", classifier=folder.uri)))


def test_generated_pictures_beside_real_ones(in_process: None, place: Folder, tmp_path: Path) -> None:
    """Pictures that are the real ones' own are as far from the reference as those are; noise and a mean are further."""
    write_shards(place / "made", [made_pictures(9, "test"), made_pictures(6, "test", seed=5)], SMALL)
    told = {"shards": (place / "shards").uri, "generated.made": (place / "made").uri, "latents": None}
    told |= {"classifier": (place / "classifier").uri, "out": tmp_path / "out", "device": "cpu", "workers": 1}
    config = load(CATALOGUE, "generation", [f"{key}={value}" for key, value in told.items() if value is not None])
    assert plan(config) == ["would see: 36 pictures for the rows made, real, mean face, noise, beside made"]
    run("generation", config)
    whole = json.loads((tmp_path / "out/table.json").read_text())
    found = {row["row"]: row for row in whole["rows"]}
    assert list(found) == ["made", "real", "mean face", "noise"] and whole["title"] == "Pictures generated after made"
    assert "frechet_logits" not in found["made"] and "inception_score" not in found["made"]
    assert found["real"]["frechet_penultimate"] < found["mean face"]["frechet_penultimate"]
    classifier = load_classifier((place / "classifier").uri, torch.device("cpu"))[0]
    clips = [clip for group in (made_pictures(9, "test"), made_pictures(6, "test", seed=5)) for clip in group]
    with torch.no_grad():
        logits = classifier(torch.from_numpy(views([decode(clip.data) for clip in clips])))
    assert found["made"]["accuracy"] == np.mean(logits.argmax(1).numpy() == [clip.info.label for clip in clips])
    assert (found["made"]["clips"], found["made"]["failed"]) == (15, 0)


def test_recognisers_are_classifiers_of_identities(in_process: None, place: Folder, tmp_path: Path) -> None:
    told = {"shards": (place / "shards").uri, "device": "cpu", "workers": 1}
    heard = (place / "classifier").uri
    names = {"classifier": f"classifier={heard}", "accuracy": f"classifiers.faces=[{heard}]"}
    shares = {}
    for name, given in names.items():
        here = {"out": tmp_path / name, "splits": "[train,test]"}
        keys = [f"{key}={value}" for key, value in (told | here).items()]
        run(name, load(CATALOGUE, name, [*keys, given]))
        whole = json.loads((tmp_path / name / "table.json").read_text())
        (row,) = (row for row in whole["rows"] if row.get("row", row.get("label")) in ("all", "faces"))
        shares[name] = row["accuracy"]
        assert row["clips"] == 21 and "Pictures" in [column["title"] for column in whole["columns"]]
    assert shares["classifier"] == pytest.approx(shares["accuracy"])


# --- tables of latents, and pages


def spread(clip: Clip) -> np.ndarray:
    """A latent that tells who it is of, and whether it has the attribute."""
    rng = np.random.default_rng(int(clip.info.key[-4:]) + 100 * len(clip.info.split))
    latent = rng.normal(0, 0.1, LATENT)
    latent[0] += float(clip.info.label or 0)
    latent[1] += 2.0 if marked(clip) else -2.0
    return latent.astype(np.float32)


def marked(clip: Clip) -> bool:
    return int(clip.info.key[-4:]) % 2 == 0


def with_attribute(clip: Clip) -> Clip:
    return Clip(dataclasses.replace(clip.info, attributes={"hat": float(marked(clip))}), clip.data, clip.format)


@pytest.fixture(scope="module")
def space(place: Folder) -> Folder:
    groups = [[with_attribute(clip) for clip in made_pictures(18, split)] for split in ("train", "test")]
    digest = generator_digest((place / "generator").uri)
    given = (place / "generator").uri, digest
    picture_run(place, "space", groups, exact, generator=given, shards="space-shards", latent=spread)
    return place / "space"


def test_an_attribute_is_added_to_latents_and_taken_away(
    in_process: None, place: Folder, space: Folder, tmp_path: Path
) -> None:
    """Its direction is the difference of means, by hand; pictures are what the generator makes of such latents."""
    keys = {
        "latents": f"[{space.uri}]",
        "attributes": "[hat,beard]",
        "out": tmp_path / "out",
        "device": "cpu",
        "workers": 1,
    }
    run("latent-space", load(CATALOGUE, "latent-space", [f"{key}={value}" for key, value in keys.items()]))
    shown, problems = figures.read(Folder.at(str(tmp_path / "out")))
    grids = {figure.title: figure for figure in shown if isinstance(figure, figures.Images)}
    assert not problems and "hat added and taken away" in grids and "beard added and taken away" not in grids
    clips = [with_attribute(clip) for split in ("train", "test") for clip in made_pictures(18, split)]
    latents = {clip.info.key: spread(clip).astype(np.float64) for clip in clips}
    direction = np.mean([latents[c.info.key] for c in clips if marked(c)], 0)
    direction = direction - np.mean([latents[c.info.key] for c in clips if not marked(c)], 0)
    assert direction[1] == pytest.approx(4, abs=0.2)
    generator = load_generator((place / "generator").uri)[0]
    row = grids["hat added and taken away"].rows[0]
    assert [cell.title for cell in row[1:]] == ["its latent", "+ 0.5 × hat", "+ 1 × hat", "+ 1.5 × hat"]
    target = decode((tmp_path / "out" / str(row[0].image)).read_bytes())
    (key,) = {clip.info.key for clip in clips if (decode(clip.data) == target).all()}
    assert not marked(next(clip for clip in clips if clip.info.key == key))
    for cell, step in zip(row[1:], (0, 0.5, 1, 1.5), strict=True):
        wanted = latents[key] + step * direction
        with torch.no_grad():
            made = PICTURES.quantised(generator(torch.tensor(wanted, dtype=torch.float32)[None]))[0].numpy()
        found = decode((tmp_path / "out" / str(cell.image)).read_bytes())
        assert np.abs(found.astype(int) - made).max() <= 1


def test_probes_of_pictures_stand_beside_pixels(in_process: None, space: Folder, tmp_path: Path) -> None:
    keys = {"latents": space.uri, "targets": "[label]", "out": tmp_path / "out", "device": "cpu", "workers": 1}
    run("probes", load(CATALOGUE, "probes", [f"{key}={value}" for key, value in keys.items()]))
    rows = {row["row"]: row for row in json.loads((tmp_path / "out/table.json").read_text())["rows"]}
    assert list(rows) == ["latent", "pixels", "chance"] and rows["latent"]["accuracy"] > rows["chance"]["accuracy"]


def test_a_deepfake_table_of_pictures_is_refused_in_one_line(space: Folder, tmp_path: Path) -> None:
    given = [f"real={space.uri}", f"fake={space.uri}", f"out={tmp_path}/out"]
    with pytest.raises(UserError, match="this is for clips of sound"):
        plan(load(CATALOGUE, "deepfake", given))


def test_a_page_shows_pictures_beside_their_reconstructions(in_process: None, place: Folder, tmp_path: Path) -> None:
    runs = [found((place / name).uri) for name in ("noisy", "exact")]
    (section,) = sections_of(runs, 4, 0)
    (block,) = (block for block in section.blocks if isinstance(block, Clips))
    assert block.title == "Pictures" and block.pictures and "Waveforms" not in block.note
    for _, key, tiles in block.rows:
        assert [tile.title for tile in tiles] == ["target", "noisy", "exact"] and not any(tile.player for tile in tiles)
        assert tiles[0].shown is not None and (tiles[0].shown.height, tiles[0].shown.times) == (32, 6)
        address = tiles[0].shown.address
        assert (decode(base64.b64decode(address.partition(",")[2])) == TARGETS[key]).all()
    names = [score.name for score in block.rows[0][2][1].scores]
    assert names[:3] == ["MAE", "PSNR", "SSIM"]
    (methods,) = (each for each in section.blocks if isinstance(each, Table))
    assert "Pictures" in [head.text for head in methods.heads]
    html = rendered("pictures", [section], [], {}, "now")
    assert html.count('<img class="shown"') == picture_count(section.blocks) == sum(len(row[2]) for row in block.rows)
    key = block.rows[0][1]
    assert f'alt="noisy, {key}: picture of 32 × 32 pixels"' in html and "<audio" not in html


def test_a_page_of_shards_and_samples_of_pictures(place: Folder, tmp_path: Path) -> None:
    (section,) = sections_of([found((place / "shards").uri)], 4, 0)
    assert section.title.startswith("Pictures: ")
    facts = dict(next(block for block in section.blocks if isinstance(block, Facts)).pairs)
    assert facts["Pictures"] == "21 of 32 × 32 pixels" and "Levels" not in facts
    training = Folder.at(str(tmp_path / "training"))
    for name in ("target-0", "reconstruction-0"):
        training.publish_bytes(f"samples/step-00000010/{name}.png", GROUPS[0][0].data)
    training.publish_bytes("metrics.jsonl", b'{"step": 10, "loss": 1.0}\n')
    (section,) = sections_of([found(training.uri)], 4, 0)
    (block,) = (block for block in section.blocks if isinstance(block, Clips))
    ((name, _, tiles),) = block.rows
    assert name == "picture 0" and [tile.title for tile in tiles] == ["target", "reconstruction"]
    assert all(tile.shown for tile in tiles)


def test_what_is_no_picture_is_said_in_its_place() -> None:
    assert tile("cut", GROUPS[0][0].data[:60]).text and not tile("cut", GROUPS[0][0].data[:60]).shown
