"""A detector is what the deepfake table's logistic regression learned, and says of other clips what scikit-learn would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from invertone.cluster.config.loading import load
from invertone.cluster.errors import UserError
from invertone.cluster.formats.shards import Clip
from invertone.cluster.storage.folder import Folder
from invertone.eval.config import CATALOGUE
from invertone.eval.job import plan, run
from invertone.eval.latents.detector import FILE, fitted, publish, read
from tests.eval.planted import noise_of, planted_run
from tests.made import made_clips


def latents(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Of two sides that differ somewhat, and their classes."""
    rng = np.random.default_rng(seed)
    classes = np.arange(count) % 2
    return rng.standard_normal((count, 6)) * 3 + classes[:, None] * np.linspace(0, 3, 6) + 5, classes


def test_it_says_what_scikit_learn_says_of_others(tmp_path: Path) -> None:
    values, classes = latents(80, 0)
    folder = Folder.at(str(tmp_path))
    publish(folder, fitted("latent", values, classes, {"generator": "g", "mapper": "m", "shards": "s"}, 0.9))
    found, others = read(folder), latents(50, 1)[0]
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5_000)).fit(values, classes)
    assert np.allclose(found.probability(others), model.predict_proba(others)[:, 1], atol=1e-9)
    assert found.digests == {"generator": "g", "mapper": "m"} and found.clips == 80
    assert np.isfinite(found.probability(1e6 * others)).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2}, "not of version 1"),
        ({"weights": [1.0]}, "is damaged"),
        ({"scale": [0.0] * 6}, "is damaged"),
        ({"bias": None}, "is damaged"),
        ({"mean": ["a"] * 6}, "is damaged"),
    ],
)
def test_a_detector_that_is_none_is_refused(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    folder = Folder.at(str(tmp_path))
    with pytest.raises(UserError, match="no detector here"):
        read(folder)
    publish(folder, fitted("latent", *latents(20, 0), {}, 0.9))
    whole = json.loads((tmp_path / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps(whole | change))
    with pytest.raises(UserError, match=said):
        read(folder)
    (tmp_path / FILE).write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        read(folder)


def planted(clip: Clip, shift: float) -> dict[str, np.ndarray]:
    latent = noise_of(clip, 4, shift)
    latent[0] += 8 * shift
    return {"latent": latent}


def given(place: Folder, run_name: str, out: Path) -> list[str]:
    known = {
        "latents": (place / run_name).uri,
        "detector": (place / "table").uri,
        "out": out,
        "device": "cpu",
        "workers": 1,
    }
    return [f"{key}={value}" for key, value in known.items()]


def test_what_a_table_learned_is_applied_to_other_clips(in_process: None, tmp_path: Path) -> None:
    place, clips = Folder.at(str(tmp_path)), made_clips(40, "test")
    planted_run(place, "real", [clips[:12]], lambda clip: planted(clip, 0.0))
    planted_run(place, "fake", [clips[12:24]], lambda clip: planted(clip, 1.0), made_by="g")
    planted_run(place, "others", [clips[24:28], clips[28:32]], lambda clip: planted(clip, 1.0))
    planted_run(place, "foreign", [clips[32:]], lambda clip: planted(clip, 1.0), generator=("elsewhere", "h"))
    words = [f"real={place.uri}/real", f"fake={place.uri}/fake", f"out={place.uri}/table"]
    run("deepfake", load(CATALOGUE, "deepfake", [*words, "device=cpu", "workers=1", "folds=4", "map_clips=0"]))
    config = load(CATALOGUE, "detect", given(place, "others", tmp_path / "out"))
    assert plan(config) == ["would tell: at most 10,000 of 8 clips by their column latent"]
    run("detect", config)
    (row,) = json.loads((tmp_path / "out/table.json").read_text())["rows"]
    assert (row["row"], row["n"], row["generated"], row["share"]) == ("all", 8, 8, 1.0)
    found = pq.read_table(tmp_path / "out/detected.parquet").to_pylist()
    assert [each["key"] for each in found] == sorted(clip.info.key for clip in clips[24:32])
    assert all(each["generated"] and each["probability"] > 0.5 for each in found)
    with pytest.raises(UserError, match="another generator than the detector's"):
        run("detect", load(CATALOGUE, "detect", given(place, "foreign", tmp_path / "never")))
    assert not (tmp_path / "never").exists()
