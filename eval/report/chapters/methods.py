"""Inference runs as a page compares them: one each, and what was read of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from invertone.cluster.storage.folder import Folder
from invertone.eval.report.charts.charts import quantile
from invertone.eval.report.tally import (
    FINE_BINS,
    MEASURES,
    Tally,
)

CHOSEN_BY = MEASURES[0]
SHOWN = (
    "key",
    "label",
    "label_name",
    "reconstruction",
    "predicted_label",
    "predicted_label_name",
    "status",
    "error",
    *(m.name for m in MEASURES),
)


@dataclass(frozen=True)
class Method:
    """An inference run: its label on the page, its folder, its committed Parquet files, what made them."""

    label: str
    folder: Folder
    parts: Sequence[str]
    about: Mapping[str, Any]

    @property
    def shards(self) -> str:
        return str(self.about.get("inputs", {}).get("shards", ""))

    @property
    def shards_digest(self) -> str:
        return str(self.about.get("digests", {}).get("shards", self.shards))


@dataclass
class Read:
    """A method with what its rows add up to; `parts` are those that can be read."""

    method: Method
    tally: Tally
    parts: Sequence[str]
    counts: Mapping[str, Any]


def median_of(each: Read, ranges: Mapping[str, tuple[float, float]]) -> float | None:
    if CHOSEN_BY.name not in ranges:
        return None
    low, high = ranges[CHOSEN_BY.name]
    return quantile(np.linspace(low, high, FINE_BINS + 1).tolist(), each.counts[CHOSEN_BY.name].tolist(), 0.5)
