"""The reconstruction table of pictures: baselines that are known, and independent oracles for what it says of runs."""

from __future__ import annotations

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
from invertone.eval.config import CATALOGUE
from invertone.eval.job import plan, run
from invertone.eval.tables.mean_face import rounded
from invertone.images.picture import Pixels, views
from invertone.images.reading import decode
from invertone.models.checkpoint import load_classifier
from tests.eval.planted_pictures import picture_run
from tests.made import write_shards
from tests.pictures import SMALL, made_pictures, picture_models

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
        keys = [f"{key}={value}" for key, value in (told | {"out": tmp_path / name}).items()]
        run(name, load(CATALOGUE, name, [*keys, given]))
        whole = json.loads((tmp_path / name / "table.json").read_text())
        (row,) = (row for row in whole["rows"] if row.get("row", row.get("label")) in ("all", "faces"))
        shares[name] = row["accuracy"]
        assert row["clips"] == 21 and "Pictures" in [column["title"] for column in whole["columns"]]
    assert shares["classifier"] == pytest.approx(shares["accuracy"])
