"""The deepfake table: what is planted is found, what differs in level alone is not, once levels are equal."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from invertone.audio.clip import decode, encode
from invertone.cluster.config.loading import load
from invertone.cluster.errors import UserError
from invertone.cluster.formats.shards import Clip
from invertone.cluster.ray.resources import Capacity
from invertone.cluster.storage.folder import Folder
from invertone.eval import figures
from invertone.eval.config import CATALOGUE
from invertone.eval.job import plan, run
from invertone.eval.latents.features import Features
from invertone.eval.latents.folds import Groups, folds_of, predicted
from invertone.eval.tables.deepfake import _check_groups, maps
from invertone.eval.tables.deepfake_rows import balanced, latent_statistics
from tests.eval.planted import noise_of, planted_run
from tests.made import made_clips

COUNT = 30
PUBLISHED = "{spectrogram: [0.515, 0.6749], latent: [0.9199, 0.915]}"


def with_gain(clips: Sequence[Clip], gain: float) -> list[Clip]:
    """The same recordings at another level."""
    return [
        Clip(clip.info, encode(np.rint(decode(clip.data) * gain).astype(np.int16), "flac", 16_000), "flac")
        for clip in clips
    ]


def planted(clip: Clip, shift: float) -> dict[str, np.ndarray]:
    """Two columns: one that tells the side, one that tells nothing."""
    latent = noise_of(clip, 4, shift)
    latent[0] += 8 * shift
    return {"latent": latent, "unprojected_latent": latent + 1, "guided_latent": noise_of(clip, 4)}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Real clips, and fake ones that are the same recordings at a third of the level."""
    folder, clips = Folder.at(str(tmp_path_factory.mktemp("deepfake"))), made_clips(COUNT, "test")
    planted_run(folder, "real", [clips[:20], clips[20:]], lambda clip: planted(clip, 0.0))
    quiet = with_gain(clips, 1 / 3)
    planted_run(folder, "fake", [quiet[:7], quiet[7:]], lambda clip: planted(clip, 1.0), made_by="g")
    return folder


def given(place: Folder, out: Path, **values: Any) -> list[str]:
    known = {"real": (place / "real").uri, "fake": (place / "fake").uri, "out": out, "device": "cpu", "folds": 5}
    known |= {"workers": 1, "map_clips": 0}
    return [f"{key}={value}" for key, value in {**known, **values}.items()]


def table(place: Folder, out: Path, name: str = "deepfake", **values: Any) -> dict[str, dict[str, Any]]:
    run(name, load(CATALOGUE, name, given(place, out, **values)))
    whole = json.loads((out / "table.json").read_text())
    return {row["row"]: row | {"interval": at} for row, at in zip(whole["rows"], whole["intervals"], strict=True)}


@pytest.fixture(scope="module")
def levelled(ray_session: Capacity, place: Folder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tables") / "rms"
    table(place, out, published=PUBLISHED, map_clips=12)
    return out


def test_gain_alone_is_found_where_levels_are_untouched(in_process: None, place: Folder, tmp_path: Path) -> None:
    rows = table(place, tmp_path / "out", level="untouched", batch=7)
    assert rows["loudness, as inferred"]["lr"] >= 0.9 and rows["loudness, as inferred"]["svm"] >= 0.9
    assert "loudness, levelled" not in rows
    assert "lr_published" not in (tmp_path / "out/table.json").read_text().partition('"rows"')[0]


def test_and_is_gone_where_they_are_made_equal(levelled: Path) -> None:
    """Levelled, both clips of a recording are the same; they are in one fold, so one of them is always taken for the other."""
    rows = {row["row"]: row for row in json.loads((levelled / "table.json").read_text())["rows"]}
    assert rows["loudness, as inferred"]["lr"] >= 0.9  # what the mapper heard is said all the same
    for name in ("loudness, levelled", "spectrogram"):
        assert rows[name]["lr"] == pytest.approx(0.5, abs=0.15) and rows[name]["svm"] == pytest.approx(0.5, abs=0.15)


def test_what_is_planted_in_latents_is_found_and_nothing_where_nothing_is(levelled: Path) -> None:
    whole = json.loads((levelled / "table.json").read_text())
    rows = {row["row"]: row for row in whole["rows"]}
    assert list(rows) == [
        "latent", "unprojected latent", "guided latent", "latent statistics", "spectrogram", "reconstruction error",
        "loudness, as inferred", "loudness, levelled", "chance",
    ]  # fmt: skip
    assert rows["latent"]["lr"] > 0.95 and rows["latent"]["lr_auc"] > 0.99 and rows["latent"]["svm"] > 0.95
    assert rows["latent statistics"]["svm"] > 0.9  # the shift makes them longer
    for name in ("guided latent", "reconstruction error"):  # equal for both clips of a recording
        assert rows[name]["lr"] == pytest.approx(0.5)
    assert rows["chance"]["lr"] == 0.5 and all(row["n"] == 2 * COUNT for row in rows.values())
    for row, within in zip(whole["rows"], whole["intervals"], strict=True):
        assert within["lr"][0] <= row["lr"] <= within["lr"][1]
    assert (rows["latent"]["lr_published"], rows["spectrogram"]["svm_published"]) == (0.9199, 0.6749)
    assert rows["latent statistics"]["lr_published"] is None
    assert whole["about"]["groups"] == "speaker" and whole["about"]["labels"] == dict.fromkeys(
        ("low", "middle", "high"), 2 * COUNT // 3
    )
    shown, problems = figures.read(Folder.at(str(levelled)))
    assert [figure.kind for figure in shown] == ["scatter"] * 4 + ["histogram"] * 3 and not problems
    for figure, of in zip(shown, ("spectrogram", "latent", "unprojected latent", "guided latent"), strict=False):
        assert isinstance(figure, figures.Scatter) and figure.title == f"Real and generated by {of}, t-SNE"
        assert figure.group == ["real"] * 12 + ["fake"] * 12 and len(set(figure.label)) == 12
    assert "91.99%" in (levelled / "table.md").read_text()


def test_a_finished_table_is_confirmed_to_the_letter(levelled: Path, place: Folder) -> None:
    before = (levelled / "table.json").read_bytes()
    table(place, levelled, published=PUBLISHED, batch=3, workers=2)
    assert (levelled / "table.json").read_bytes() == before


def test_the_papers_own_protocol(in_process: None, place: Folder, tmp_path: Path) -> None:
    """Experiment 3 of the second paper: whole spectrograms without principal components against latents as predicted, clips as
    they come."""
    rows = table(place, tmp_path / "out", "keyes-table3", clips=10)
    whole = json.loads((tmp_path / "out/table.json").read_text())
    assert (whole["about"]["n"], whole["about"]["level"], whole["about"]["groups"]) == (20, "untouched", "recording")
    assert rows["spectrogram"]["features"] == 256 * 128
    assert rows["unprojected latent"]["lr"] > 0.9
    assert (rows["unprojected latent"]["lr_published"], rows["unprojected latent"]["svm_published"]) == (0.9199, 0.915)
    assert (rows["spectrogram"]["lr_published"], rows["spectrogram"]["svm_published"]) == (0.515, 0.6749)
    assert rows["latent"]["lr_published"] is None
    said = (tmp_path / "out/table.md").read_text()
    assert "every cell, flattened" in said and "labels are not matched" in said
    config = load(CATALOGUE, "keyes-table3", ["out=a"])
    assert (config.clips, config.folds, config.components, config.match_labels) == (100, 10, 0, False)


def test_a_published_row_that_latents_do_not_have_stands_alone(in_process: None, tmp_path: Path) -> None:
    place, clips = Folder.at(str(tmp_path)), made_clips(12, "test")
    planted_run(place, "real", [clips], lambda clip: {"latent": noise_of(clip, 4)})
    planted_run(place, "fake", [with_gain(clips, 0.5)], lambda clip: {"latent": noise_of(clip, 4, 1)}, made_by="g")
    rows = table(place, tmp_path / "out", published="{unprojected latent: [0.9, 0.8]}")
    assert rows["unprojected latent"]["lr_published"] == 0.9 and rows["unprojected latent"]["lr"] is None
    shown, _ = figures.read(Folder.at(str(tmp_path / "out")))
    assert [figure.kind for figure in shown] == ["histogram"] * 3


def test_a_map_keeps_apart_what_is_apart() -> None:
    """Figure 4 of the second paper."""
    rng = np.random.default_rng(0)
    latents = rng.standard_normal((60, 8)).astype(np.float32) + np.repeat([0, 9], 30)[:, None].astype(np.float32)
    names = np.array([f"clip {number}" for number in range(60)])
    clips = Features({"key": names, "latent": latents, "spectrogram": rng.standard_normal((60, 12)).astype(np.float32)})
    config = load(CATALOGUE, "deepfake", ["real=a", "fake=b", "out=c", "map_clips=20"])
    by_spectrogram, by_latent = maps(config, clips, np.repeat([0, 1], 30), ["latent"])
    for figure in (by_spectrogram, by_latent):
        assert list(figure.group) == ["real"] * 20 + ["fake"] * 20
        assert list(figure.label) == [*names[:20], *names[30:50]]
    points = np.stack([by_latent.x, by_latent.y], axis=1)
    near = np.linalg.norm(points[:, None] - points[None], axis=2) + 1e9 * np.eye(40)
    sides = np.repeat([0, 1], 20)
    assert (sides[near.argmin(1)] == sides).all()


def side(labels: Sequence[int], first: int) -> Features:
    keys = np.array([f"{number:03d}" for number in range(first, first + len(labels))])
    names = np.array(["" if label < 0 else "abc"[label] for label in labels])
    return Features({"key": keys, "label": np.array(labels), "label_name": names})


def test_labels_are_matched_and_sides_balanced() -> None:
    real, fake = side([0] * 9 + [1] * 3 + [2], 0), side([0, 1] * 4 + [1] * 4, 100)
    clips, classes = balanced(real, fake, 100, True)
    assert classes.tolist() == [0] * 7 + [1] * 7
    for number in (0, 1):
        assert sorted(clips["label_name"][classes == number]) == ["a"] * 4 + ["b"] * 3
    assert clips["key"][:4].tolist() == ["000", "001", "002", "003"], "those of smallest hash"
    few, which = balanced(real, fake, 4, True)
    assert sorted(few["label_name"][which == 0]) == sorted(few["label_name"][which == 1]) == ["a", "a", "b", "b"]
    loose, which = balanced(real, fake, 100, False)
    assert len(which) == 24 and loose["label"][which == 0].tolist() == real["label"][:12].tolist()
    _, which = balanced(real, side([-1] * 5, 100), 100, True)
    assert len(which) == 10


def test_statistics_of_latents_by_hand() -> None:
    found = latent_statistics(np.array([[3.0, -4.0], [0.5, 0.5]]))
    assert found.tolist() == [[5.0, -0.5, 3.5, -4.0, 3.0, 3.5, 1.0], [np.sqrt(0.5), 0.5, 0.0, 0.5, 0.5, 0.5, 0.0]]


def test_a_dry_run_says_what_would_be_compared(place: Folder, tmp_path: Path) -> None:
    said = plan(load(CATALOGUE, "deepfake", given(place, tmp_path / "out", clips=10)))
    assert said[0] == "would compare: at most 10 of 30 real and as many of 30 generated clips"
    assert not (tmp_path / "out").exists()


def test_sides_that_cannot_be_compared_are_refused_before_anything_is_written(place: Folder, tmp_path: Path) -> None:
    clips = made_clips(6, "test")

    def made(name: str, **values: Any) -> str:
        return planted_run(place, name, [clips], lambda clip: planted(clip, 0.0), **values).uri

    refused = {
        "different generators": {"fake": made("foreign", generator=("elsewhere", "h"))},
        r"inferred differently \(starts: None and 4\)": {"fake": made("otherwise", settings={"starts": 4})},
        "were made by a generator": {"real": (place / "fake").uri, "fake": (place / "real").uri},
        "are the same clips": {"fake": (place / "real").uri},
        "published.latents is no row": {"published": "{latents: [0.9, 0.8]}"},
        "has 6 clips for 10 folds": {"fake": made("few"), "folds": 10},
        "different latent columns": {
            "fake": planted_run(place, "bare", [clips], lambda clip: {"latent": noise_of(clip, 4)}).uri
        },
    }
    for said, values in refused.items():
        for task in (plan, lambda config: run("deepfake", config)):
            with pytest.raises(UserError, match=said) as error:
                task(load(CATALOGUE, "deepfake", given(place, tmp_path / "out", **values)))
            assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_too_few_groups_are_refused(place: Folder) -> None:
    config = load(CATALOGUE, "deepfake", given(place, Path("out"), groups="speaker", folds=6))
    classes = np.repeat([0, 1], 20)
    groups = Groups(np.concatenate([np.arange(20) % 5, np.arange(20) + 5]), "speaker")
    with pytest.raises(UserError, match="5 speakers of one side for 6 folds; give fewer folds=, groups=recording"):
        _check_groups(groups, classes, config)
    _check_groups(groups, classes, dataclasses.replace(config, folds=5))
    with pytest.raises(UserError, match="0 recordings of one side"):  # no label that both sides have
        _check_groups(Groups(np.array([]), "recording"), np.array([], int), config)


def test_recordings_of_one_speaker_stay_together(in_process: None, tmp_path: Path) -> None:
    """Latents that only know the clip's speaker tell the sides in the speakers one has seen, and no others."""
    place, clips = Folder.at(str(tmp_path)), made_clips(40, "test")
    for name in ("real", "fake"):
        own = [
            dataclasses.replace(clip.info, speaker=f"{name}-{number % 10}", source_uri=f"{name}://{number}")
            for number, clip in enumerate(clips)
        ]
        made = [Clip(info, clip.data, clip.format) for info, clip in zip(own, clips, strict=True)]
        planted_run(place, name, [made], voice)
    rows = table(place, tmp_path / "out")
    about = json.loads((tmp_path / "out/table.json").read_text())["about"]
    assert about["groups"] == "speaker" and about["n"] == 80 and rows["latent"]["lr"] <= 0.6
    latents, classes = np.tile(np.eye(20), (4, 1)), np.tile(np.repeat([0, 1], 10), 4)
    alone = folds_of(classes, np.arange(80), 5, 0)
    assert (predicted(make_pipeline(LogisticRegression()), latents, classes, alone).label == classes).all()


def voice(clip: Clip) -> dict[str, np.ndarray]:
    assert clip.info.speaker is not None
    name, _, number = clip.info.speaker.partition("-")
    return {"latent": np.eye(20, dtype=np.float32)[10 * (name == "fake") + int(number)]}
