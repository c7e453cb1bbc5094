"""Probes find what is planted in a column, and only there; recordings and voices are kept apart."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from invertone.cluster.config.loading import load
from invertone.cluster.errors import UserError
from invertone.cluster.formats.shards import Clip
from invertone.cluster.ray.resources import Capacity
from invertone.cluster.storage.folder import Folder
from invertone.eval.config import CATALOGUE
from invertone.eval.job import plan, run
from invertone.eval.latents.features import Features
from invertone.eval.latents.folds import predicted
from invertone.eval.latents.inference_runs import open_inference_runs
from invertone.eval.schemas.probes import ProbesConfig
from invertone.eval.tables.probes import Trial, _table, probe, trial_of
from tests.eval.planted import noise_of, planted_run
from tests.inside import inside
from tests.made import made_clips


def known_to(clip: Clip) -> dict[str, np.ndarray]:
    """`latent` knows the label, `guided_latent` the speaker, each as a direction in noise."""
    label, speaker = noise_of(clip, 8, "label"), noise_of(clip, 8, "speaker")
    assert clip.info.label is not None and clip.info.speaker is not None
    label[clip.info.label] += 6
    speaker[int(clip.info.speaker[1:])] += 6
    return {"latent": label, "guided_latent": speaker}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """The same clips twice: in two shards, and in three with others in each."""
    folder = Folder.at(str(tmp_path_factory.mktemp("probes")))
    train, test = made_clips(45, "train"), made_clips(30, "test")
    planted_run(folder, "run", [train, test], known_to)
    planted_run(folder, "cut", [train[20:][::-1], train[:20], test], known_to)
    return folder


def config(place: Folder, out: Path | str, name: str = "probes", **values: Any) -> ProbesConfig:
    given = {"latents": (place / "run").uri, "out": out, "device": "cpu", "workers": 1, **values}
    return load(CATALOGUE, name, [f"{key}={value}" for key, value in given.items()])


def table(place: Folder, out: Path, **values: Any) -> dict[tuple[str, str], dict[str, Any]]:
    run("probes", config(place, out, **values))
    rows = json.loads((out / "table.json").read_text())["rows"]
    return {(row["row"], row["target"]): row for row in rows}


@pytest.fixture(scope="module")
def found(place: Folder, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], dict[str, Any]]:
    out = tmp_path_factory.mktemp("tables") / "out"
    with inside():
        return table(place, out, columns="[latent,guided_latent]")


def test_what_is_planted_is_found_in_its_column_only(found: dict[tuple[str, str], dict[str, Any]]) -> None:
    assert list(found) == [
        (row, target) for target in ("label", "speaker") for row in ("latent", "guided_latent", "spectrogram", "chance")
    ]
    assert found["latent", "label"]["accuracy"] > 0.95 and found["guided_latent", "speaker"]["accuracy"] > 0.95
    assert found["latent", "speaker"]["accuracy"] < 0.5 and found["guided_latent", "label"]["accuracy"] < 0.6
    assert found["spectrogram", "label"]["accuracy"] > 0.9  # pitches are far apart
    for row in found.values():
        assert (row["how"], row["n_train"], row["n"]) == ("train → test", 45, 30)
    assert found["chance", "label"]["accuracy"] == pytest.approx(1 / 3)
    assert found["chance", "speaker"]["balanced_accuracy"] == pytest.approx(1 / 5)


def test_neither_shards_nor_batches_nor_workers_change_the_table(
    ray_session: Capacity, place: Folder, found: dict[tuple[str, str], dict[str, Any]], tmp_path: Path
) -> None:
    given = {"latents": (place / "cut").uri, "columns": "[latent,guided_latent]", "batch": 4, "workers": 2}
    assert table(place, tmp_path / "out", **given) == found


def test_what_no_clip_has_is_left_out_with_a_word(in_process: None, place: Folder, tmp_path: Path) -> None:
    table(place, tmp_path / "out", targets="[gender,label]", splits="train", folds=5, clips=40)
    text = (tmp_path / "out/table.md").read_text()
    assert "Left out: gender, for no clip has a gender." in text and "5 folds by speaker" in text
    assert json.loads((tmp_path / "out/table.json").read_text())["about"]["n"] == 40
    (inferred,) = open_inference_runs([(place / "run").uri])
    with pytest.raises(UserError, match="nothing to tell: gender, for no clip has a gender; choose other targets"):
        _table(config(place, "out", targets="gender"), inferred, features(["r0", "r1"], ["a", "b"]))


def features(recordings: Sequence[str], labels: Sequence[str], splits: Sequence[str] | None = None) -> Features:
    count = len(recordings)
    columns = {"recording": recordings, "label_name": labels, "split": splits or ["test"] * count}
    empty = dict.fromkeys(("speaker", "gender"), [""] * count)
    return Features({name: np.array(each) for name, each in {**columns, **empty}.items()})


def test_windows_of_one_recording_give_no_hint_of_its_label() -> None:
    """Latents that know the recording and nothing else: the label is known only if another window was learned from."""
    rng = np.random.default_rng(0)
    latents = np.repeat(rng.standard_normal((40, 30)), 4, axis=0) + 0.01 * rng.standard_normal((160, 30))
    labels = np.repeat(rng.permutation(np.repeat(["a", "b"], 20)), 4).tolist()
    settings = config(Folder.at("x"), "y", folds=5)

    def accuracy(recordings: list[str]) -> float:
        trial = trial_of("label", features(recordings, labels), settings)
        assert isinstance(trial, Trial) and trial.how == "5 folds by recording"
        said = predicted(probe(None, 0), latents, trial.classes, trial.folds, trial.groups.of).label
        return float((said == trial.classes).mean())

    assert accuracy([f"r{number}" for number in range(160)]) > 0.95  # taken for recordings of their own
    assert accuracy([f"r{number // 4}" for number in range(160)]) < 0.65


def test_splits_serve_where_the_test_s_classes_are_all_in_training() -> None:
    settings = config(Folder.at("x"), "y", folds=3)
    recordings = [f"r{number}" for number in range(36)]
    splits = ["train"] * 24 + ["test"] * 8 + ["validation"] * 4
    trial = trial_of("label", features(recordings, ["a", "b"] * 18, splits), settings)
    assert isinstance(trial, Trial) and trial.how == "train → test" and len(trial.folds[0][0]) == 24
    strange = ["a", "b"] * 12 + ["c"] * 8 + ["a"] * 4
    trial = trial_of("label", features(recordings, strange, splits), settings)
    assert isinstance(trial, Trial) and trial.how == "3 folds by recording" and trial.names == ("a", "b", "c")
    rare = ["a", "b"] * 17 + ["d", "d"]
    trial = trial_of("label", features(recordings, rare), settings)
    assert isinstance(trial, Trial) and trial.names == ("a", "b") and len(trial.clips) == 34
    assert trial_of("label", features(recordings, ["a"] * 36), settings) == "all clips have one label, a"
    few = trial_of("label", features(["r"] * 36, ["a", "b"] * 18), settings)
    assert few == "fewer than two labels have 4 recordings for 3 folds"
    few = trial_of("label", features(["r"] * 36, ["a", "b"] * 18, splits), settings)
    assert few == "a label has fewer than 3 recordings in training"


def test_a_table_of_missing_columns_is_refused_before_anything_is_written(place: Folder, tmp_path: Path) -> None:
    for values, said in (
        (
            {"columns": "guided_latnt"},
            "no column guided_latnt; choose of latent, guided_latent; did you mean 'guided_latent'",
        ),
        ({"splits": "validation"}, "no latents of these splits"),
    ):
        for task in (plan, lambda given: run("probes", given)):
            with pytest.raises(UserError, match=said):
                task(config(place, tmp_path / "out", **values))
    assert not (tmp_path / "out").exists()
    assert plan(config(place, tmp_path / "out", "latent-probes", columns="[latent]"))[-1].startswith(
        "would fit: 6 probes on at most 1,000 clips of train and of test, of 75 in "
    )


def test_voices_on_both_sides_are_told(in_process: None, tmp_path: Path) -> None:
    clips = made_clips(24, "test")
    two = [Clip(dataclasses.replace(c.info, speaker=f"s{n % 2}"), c.data, c.format) for n, c in enumerate(clips)]
    place = Folder.at(str(tmp_path))
    planted_run(place, "run", [two], known_to)
    rows = table(place, tmp_path / "out", targets="label", folds=3)
    assert rows["latent", "label"]["how"] == "3 folds by recording"
    assert "label: some speakers are in training and in test" in (tmp_path / "out/table.md").read_text()
