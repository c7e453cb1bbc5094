"""Folds share no group; intervals count groups; the area under the curve is a mean over folds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from invertone.eval.latents.features import Features
from invertone.eval.latents.folds import Predicted, fewest_groups, folds_of, groups_of, interval, predicted, wilson


def features(recordings: list[str], speakers: list[str]) -> Features:
    return Features({"recording": np.array(recordings), "speaker": np.array(speakers)})


@given(st.integers(2, 5), st.integers(0, 3), st.integers(1, 4))
def test_no_group_is_on_both_sides_and_every_clip_is_tested_once(count: int, seed: int, each: int) -> None:
    groups = np.repeat([f"g{number}" for number in range(2 * count + 3)], each)
    classes = np.repeat(np.arange(2 * count + 3) % 2, each)
    folds = folds_of(classes, groups, count, seed)
    assert np.array_equal(np.sort(np.concatenate([test for _, test in folds])), np.arange(len(groups)))
    for train, test in folds:
        assert not set(groups[train]) & set(groups[test])
        assert set(classes[train]) == {0, 1}


def test_auto_groups_by_speaker_where_there_are_enough() -> None:
    recordings = [f"r{number // 2}" for number in range(24)]
    classes = np.arange(24) // 12
    few = features(recordings, [f"s{number % 3}" for number in range(24)])
    assert groups_of(few, "auto", 3, classes).kind == "speaker"
    assert groups_of(few, "auto", 4, classes).kind == "recording"
    assert groups_of(few, "speaker", 4, classes).kind == "speaker"
    unknown = features(recordings, [""] * 24)
    assert groups_of(unknown, "auto", 2, classes).kind == "recording"
    some = features(recordings, ["s0"] * 12 + [""] * 12)
    assert len(np.unique(groups_of(some, "speaker", 2, classes).of)) == 1 + 6
    assert fewest_groups(groups_of(some, "recording", 2, classes).of, classes) == 6


def test_clips_of_one_recording_count_as_one() -> None:
    rng = np.random.default_rng(0)
    right = rng.random(20) < 0.7
    alone = interval(np.repeat(right, 10), np.arange(200), 0)
    together = interval(np.repeat(right, 10), np.repeat(np.arange(20), 10), 0)
    single = interval(right, np.arange(20), 0)
    assert together == single and together[0] < right.mean() < together[1]
    assert together[1] - together[0] > 2 * (alone[1] - alone[0])


def test_an_interval_where_all_are_right_is_wilson_s() -> None:
    assert interval(np.ones(30, bool), np.arange(30), 0) == wilson(1.0, 30)
    low, high = wilson(1.0, 30)
    assert high == 1.0 and low == pytest.approx(30 / (30 + 1.959964**2))  # the closed form at 1
    assert wilson(0.5, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    assert interval(np.zeros(30, bool), np.arange(30), 0) == pytest.approx((0.0, 1 - low))


def test_the_area_is_of_each_fold_for_itself() -> None:
    classes = np.array([0, 1, 0, 1])
    scores = np.array([0.0, 1.0, 10.0, 11.0])  # right in either fold, wrong across them
    assert Predicted(classes, np.array([0, 0, 1, 1]), scores).auc(classes) == 1.0
    assert Predicted(classes, np.zeros(4, int), scores).auc(classes) == 0.75
    assert Predicted(classes, np.zeros(4, int), None).auc(classes) is None


def test_predictions_are_of_models_that_did_not_see_the_clip() -> None:
    rng = np.random.default_rng(1)
    classes = np.repeat([0, 1], 40)
    noise = rng.standard_normal((80, 200))  # more features than clips: seen clips would be known by heart
    folds = folds_of(classes, np.arange(80).astype(str), 8, 0)
    model = make_pipeline(LogisticRegression(max_iter=1_000))
    assert model.fit(noise, classes).score(noise, classes) == 1.0
    found = predicted(model, noise, classes, folds)
    assert 0.3 < (found.label == classes).mean() < 0.7 and len(found.fitted) == 8
