"""What tells generated clips from recordings by their latents, kept to be applied to others: a line of numbers as JSON.

The second paper on inverse mappers (Keyes et al., sections 3.4 and 4) proposes latents for the detection of deepfakes. This
is its logistic regression, fitted to all clips of a deepfake table.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64
from numpy import ndarray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from invertone.cluster.errors import UserError
from invertone.cluster.storage.folder import Folder

FILE = "detector.json"
VERSION = 1
ROLES = ("generator", "mapper")
"""Latents of other models than these mean something else."""


@dataclass(frozen=True)
class Detector:
    """Logistic regression on standardised latents of `column`: generated where weights · (latent - mean) / scale + bias > 0.
    mean, scale, weights: z numbers each. digests: of generator and mapper (None where there was none). clips: how many it
    learned from; accuracy: of the same regression in cross-validation."""

    column: str
    digests: Mapping[str, str | None]
    mean: list[float]
    scale: list[float]
    weights: list[float]
    bias: float
    clips: int
    accuracy: float

    def probability(self, latents: Float64[ndarray, "n z"]) -> Float64[ndarray, " n"]:
        """That each clip was generated, as the table's sides were equally large."""
        standard = (latents - np.array(self.mean)) / np.array(self.scale)
        away = np.clip(standard @ np.array(self.weights) + self.bias, -500, 500)
        return 1 / (1 + np.exp(-away))


def fitted(
    column: str, latents: Float64[ndarray, "n z"], classes: ndarray, digests: Mapping[str, str | None], accuracy: float
) -> Detector:
    """On latents of both sides, classes [n] 0 real and 1 generated."""
    with threadpool_limits(1):
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5_000)).fit(latents, classes)
    scaler, regression = model[0], model[1]
    return Detector(
        column,
        {role: digests.get(role) for role in ROLES},
        scaler.mean_.tolist(),
        scaler.scale_.tolist(),
        regression.coef_[0].tolist(),
        float(regression.intercept_[0]),
        len(classes),
        accuracy,
    )


def publish(folder: Folder, detector: Detector) -> None:
    """Writes detector.json into a run folder."""
    folder.publish_json(FILE, {"version": VERSION, **dataclasses.asdict(detector)})


def read(folder: Folder) -> Detector:
    """Of the run folder of a deepfake table. Raises UserError where there is none, or a damaged one."""
    where = folder.path_of(FILE)
    try:
        values: dict[str, Any] = dict(folder.read_json(FILE))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError("no detector here", where=where, fix="give the out of an `invertone eval deepfake`") from None
    except (ValueError, TypeError):
        raise UserError("is damaged", where=where, fix="type the deepfake table's command again") from None
    if values.pop("version", None) != VERSION:
        raise UserError(f"is not of version {VERSION}", where=where, fix="type the deepfake table's command again")
    try:
        found = Detector(**{each.name: values[each.name] for each in dataclasses.fields(Detector)})
        lines = [np.asarray(each, np.float64) for each in (found.mean, found.scale, found.weights)]
        whole = len({line.shape for line in lines}) == 1 and lines[0].ndim == 1 and math.isfinite(found.bias)
        whole = whole and all(bool(np.isfinite(line).all()) for line in lines) and bool((lines[1] > 0).all())
    except (KeyError, TypeError, ValueError):
        whole = False
    if not whole:
        raise UserError("is damaged", where=where, fix="type the deepfake table's command again")
    return found
