"""Keys of the generation table."""

from __future__ import annotations

from dataclasses import dataclass

from invertone.cluster.config.schema import REQUIRED, key
from invertone.cluster.formats.shards import SPLITS
from invertone.eval.schemas.shared import JudgedConfig


@dataclass(frozen=True)
class GenerationConfig(JudgedConfig):
    """Generated clips against real ones: inception score, Fréchet distance, and whether a classifier hears their labels."""

    shards: str = key(REQUIRED, "real clips: run folder of an ingest", path=True, neutral=True)
    generated: dict[str, list[str]] = key(
        {},
        "generated clips by the row they stand in, several trainings of one recipe together: {name: [shards, shards]}, by "
        "`invertone generate`",
        path=True,
        neutral=True,
    )
    classifier: str = key(REQUIRED, "checkpoint of a classifier or CNN", checkpoint="classifier", neutral=True)
    reference: list[str] = key(
        ["train"], "splits of the real clips that Fréchet distances are taken to", choices=SPLITS
    )
    real: list[str] = key(
        [],
        "splits of the real clips that have a row each, such as [train, test]; those of the reference get no Fréchet distance; "
        "empty means one row of `splits`",
        choices=SPLITS,
    )
