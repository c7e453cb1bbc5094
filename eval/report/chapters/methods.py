"""Inference runs as a page compares them: one each, and what was read of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from invertone.cluster.storage.folder import Folder
from invertone.eval.report.charts.charts import quantile
from invertone.eval.report.tally import (
    CHOSEN_BY,
    FINE_BINS,
    MEASURES,
    Measure,
    Tally,
)

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


def choosing(ranges: Mapping[str, tuple[float, float]]) -> Measure | None:
    """The measure that clips or pictures are chosen by; None where no row has it."""
    return next((measure for measure in MEASURES if measure.name in CHOSEN_BY and measure.name in ranges), None)


def median_of(each: Read, ranges: Mapping[str, tuple[float, float]]) -> float | None:
    measure = choosing(ranges)
    if measure is None:
        return None
    counts = each.counts[measure.name].tolist()
    return quantile(np.linspace(*ranges[measure.name], FINE_BINS + 1).tolist(), counts, 0.5)
