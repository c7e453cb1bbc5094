"""What the deepfake table looks at: as many clips of both sides, their features by row, and the classifiers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from invertone.eval.latents.features import SCORES, UNKNOWN_LABEL, Features, joined
from invertone.eval.schemas.deepfake import DeepfakeConfig

LOUDNESS_ROWS = ("loudness, as inferred", "loudness, levelled")
VECTORS = ("latent", "unprojected latent", "guided latent")
ROWS = (*VECTORS, "latent statistics", "spectrogram", "reconstruction error", *LOUDNESS_ROWS, "chance")
STATISTICS = ("norm", "mean", "deviation", "least", "largest", "mean magnitude", "share beyond 0.99")


def balanced(real: Features, fake: Features, count: int, match_labels: bool) -> tuple[Features, np.ndarray]:
    """As many real as fake clips, at most `count` of each, and their classes (0 real, 1 fake).

    With labels matched, of every label equally many; if one side has none, labels cannot be matched. Those of smallest hash.
    """
    if not len(real) or not len(fake):
        return joined([real, fake]), np.array([], int)
    chosen = [real, fake]
    if match_labels and all((side["label"] != UNKNOWN_LABEL).any() for side in chosen):
        names = np.intersect1d(real["label_name"], fake["label_name"])
        share = -(-count // max(1, len(names)))
        fewest = {name: min(*((side["label_name"] == name).sum() for side in chosen), share) for name in names}
        kept = [[np.flatnonzero(side["label_name"] == name)[:most] for name, most in fewest.items()] for side in chosen]
        chosen = [
            side.take(np.sort(np.concatenate(each))) if each else side.take(np.arange(0))
            for side, each in zip(chosen, kept, strict=True)
        ]
    least = min(count, *(len(side) for side in chosen))
    chosen = [side.take(np.arange(least)) for side in chosen]
    return joined(chosen), np.repeat([0, 1], least)


def rows_of(clips: Features, vectors: Sequence[str]) -> dict[str, np.ndarray]:
    """What is looked at, by row: [n, d] each."""
    found = {name.replace("_", " "): clips[name].astype(np.float64) for name in vectors}
    found["latent statistics"] = latent_statistics(clips["latent"].astype(np.float64))
    found["spectrogram"] = clips["spectrogram"].astype(np.float64)
    scores = [np.log10(np.maximum(clips[name], 1e-12)) if name == SCORES[0] else clips[name] for name in SCORES]
    known = [each for each in scores if np.isfinite(each).all()]
    if known:
        found["reconstruction error"] = np.stack(known, axis=1)
    loudness = (clips["loudness_seen"], clips["loudness_levelled"])
    return found | dict(zip(LOUDNESS_ROWS, loudness, strict=True))


def latent_statistics(latents: np.ndarray) -> np.ndarray:
    """[n, z] → [n, 7]: STATISTICS of each latent, which know nothing of directions."""
    outside = np.abs(latents) > 0.99
    return np.stack(
        [
            np.linalg.norm(latents, axis=1),
            latents.mean(1),
            latents.std(1),
            latents.min(1),
            latents.max(1),
            np.abs(latents).mean(1),
            outside.mean(1),
        ],
        axis=1,
    )


def models_of(row: str, config: DeepfakeConfig, fewest: int) -> dict[str, Pipeline]:
    """Unfitted classifiers: all that is learned, standardisation and principal components too, is learned in the fold."""
    first: list[Any] = [StandardScaler()]
    if row == "spectrogram" and config.components:
        components = min(config.components, fewest - 1)
        first.append(PCA(components, svd_solver="randomized", random_state=config.seed))  # not whitened: as flattened
    return {
        "lr": make_pipeline(*first, LogisticRegression(max_iter=5_000)),
        "svm": make_pipeline(*first, SVC(kernel="rbf")),
    }
