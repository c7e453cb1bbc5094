"""Cross-validation whose folds share no recording, and intervals that count recordings, not clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from invertone.eval.latents.features import Features

RESAMPLES = 2_000
Fold = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Groups:
    """of [n]: the group of each clip; clips of one group are never on both sides of a fold. kind: what groups are."""

    of: np.ndarray
    kind: str


def groups_of(features: Features, asked: str, enough: int, classes: np.ndarray) -> Groups:
    """Clips grouped by speaker or by recording, as `asked`.

    auto: by speaker if every class has `enough` speakers, for a voice that is in both sides of a fold is a hint; else by
    recording, for with few voices there are no such folds. A clip whose speaker nobody knows is its recording's.
    """
    recordings = np.array([f"recording {each}" for each in features["recording"]])
    speakers = np.array(
        [f"speaker {each}" if each else other for each, other in zip(features["speaker"], recordings, strict=True)]
    )
    if asked == "auto":
        known = bool((features["speaker"] != "").any())
        asked = "speaker" if known and fewest_groups(speakers, classes) >= enough else "recording"
    return Groups(speakers if asked == "speaker" else recordings, asked)


def fewest_groups(groups: np.ndarray, classes: np.ndarray) -> int:
    """Of how many groups the class with the fewest is."""
    return min(len(np.unique(groups[classes == each])) for each in np.unique(classes))


def folds_of(classes: np.ndarray, groups: np.ndarray, count: int, seed: int) -> list[Fold]:
    """Indices of training and test clips of `count` folds, each class's share as even as groups allow. Needs `count`
    groups of every class."""
    assert fewest_groups(groups, classes) >= count, "checked before"
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    return list(splitter.split(np.zeros(len(classes)), classes, groups))


@dataclass(frozen=True)
class Predicted:
    """By models that did not learn from the clip. label [n]; score [n] (larger means the second class), None unless there are
    two classes. fold [n]: -1 where a clip was in no test fold. fitted: the models, by fold."""

    label: np.ndarray
    fold: np.ndarray
    score: np.ndarray | None
    fitted: tuple[Any, ...] = ()

    def auc(self, classes: np.ndarray) -> float | None:
        """Area under the ROC curve, the mean over folds: scores of different models are not compared."""
        if self.score is None:
            return None
        areas = []
        for fold in np.unique(self.fold[self.fold >= 0]):
            inside = self.fold == fold
            if len(np.unique(classes[inside])) == 2:
                areas.append(roc_auc_score(classes[inside], self.score[inside]))
        return float(np.mean(areas)) if areas else None


def predicted(
    model: Pipeline, values: np.ndarray, classes: np.ndarray, folds: Sequence[Fold], groups: np.ndarray | None = None
) -> Predicted:
    """`model` fitted anew in each fold. One thread, so that the machine's size does not change a digit.

    groups [n]: for a model whose last step cross-validates itself, as GridSearchCV does.
    """
    label = np.zeros_like(classes)
    fold = np.full(len(classes), -1)
    score = np.zeros(len(classes)) if len(np.unique(classes)) == 2 else None
    fitted = []
    with threadpool_limits(1):
        for number, (train, test) in enumerate(folds):
            given = {} if groups is None else {f"{model.steps[-1][0]}__groups": groups[train]}
            fitted.append(clone(model).fit(values[train], classes[train], **given))
            label[test], fold[test] = fitted[-1].predict(values[test]), number
            if score is not None:
                score[test] = fitted[-1].decision_function(values[test])
    return Predicted(label, fold, score, tuple(fitted))


def interval(correct: np.ndarray, groups: np.ndarray, seed: int) -> tuple[float, float]:
    """95 % of an accuracy: percentiles of a bootstrap over groups. Where all of them are right, or all wrong, and resampling
    therefore says nothing, Wilson's interval on the number of groups."""
    names, at = np.unique(groups, return_inverse=True)
    right, count = np.bincount(at, correct.astype(float)), np.bincount(at)
    if right.sum() in (0, count.sum()):
        return wilson(float(right.sum() > 0), len(names))
    rng = np.random.default_rng(seed)
    shares = np.full(len(names), 1 / len(names))
    drawn = rng.multinomial(len(names), shares, size=RESAMPLES)
    low, high = np.percentile((drawn @ right) / (drawn @ count), [2.5, 97.5])
    return float(low), float(high)


def wilson(share: float, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of `count` independent ones."""
    z2 = 1.959964**2
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = np.sqrt(z2 * share * (1 - share) / count + z2**2 / (4 * count**2)) / (1 + z2 / count)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))
