"""Keys of the accuracy table."""

from __future__ import annotations

from dataclasses import dataclass

from invertone.cluster.config.schema import REQUIRED, key
from invertone.eval.schemas.shared import JudgedConfig


@dataclass(frozen=True)
class AccuracyConfig(JudgedConfig):
    """Accuracy of classifiers that know different shares of the labels, or learnt from different clips."""

    shards: str = key(REQUIRED, "clips to hear: run folder of an ingest", path=True, neutral=True)
    classifiers: dict[str, list[str]] = key(
        {},
        "checkpoints by the row they stand in, several seeds of the same together: {name: [checkpoint, checkpoint]}",
        path=True,
        neutral=True,
    )
