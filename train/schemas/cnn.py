"""Keys of the simple CNN."""

from __future__ import annotations

from dataclasses import dataclass, field

from invertone.cluster.config.schema import key
from invertone.train.schemas.classifier import ClassifierConfig
from invertone.train.schemas.spectrogram_gan import GuidanceConfig


@dataclass(frozen=True)
class CnnConfig(ClassifierConfig):
    """A simple CNN that knows the guided clips alone, with augmentation."""

    guidance: GuidanceConfig = field(default_factory=GuidanceConfig)
    also: str | None = key(
        None,
        "further clips to learn from, with all their labels: shards by `invertone generate gaae output=shards`, say",
        path=True,
        neutral=True,
    )
