"""How an objective is made of a config: what its line in `train/config.py` names."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch

from invertone.audio.front_end import FrontEnd
from invertone.cluster.errors import UserError
from invertone.cluster.formats.shards import ShardManifest
from invertone.cluster.formats.signals import ClipFormat, PictureFormat, SignalFormat, clips_of, pictures_of
from invertone.train.data.clips import Part
from invertone.train.objective import Objective
from invertone.train.schemas.shared import FrontEndConfig, WorkersConfig


def _nothing(config: Any, manifest: ShardManifest) -> None:
    """There is nothing to refuse."""


def _none(config: Any) -> dict[str, str]:
    return {}


def _no_parts(config: Any) -> list[Part]:
    return []


def _always(config: Any) -> bool:
    return True


@dataclass(frozen=True)
class Setting:
    """What an objective is built for. label_names: of the shards, of the guidance if there is any. format: of what the shards
    hold."""

    label_names: tuple[str, ...]
    format: SignalFormat
    device: torch.device

    @property
    def clips(self) -> ClipFormat:
        """For objectives of clips. Raises UserError where the shards hold pictures."""
        return clips_of(self.format, "shards")

    @property
    def pictures(self) -> PictureFormat:
        """For objectives of pictures. Raises UserError where the shards hold clips."""
        return pictures_of(self.format, "shards")

    @property
    def labels(self) -> int:
        return len(self.label_names)

    def front_end(self, config: FrontEndConfig) -> FrontEnd:
        return FrontEnd(**dataclasses.asdict(config), sample_rate=self.clips.sample_rate)


@dataclass(frozen=True)
class Recipe:
    """build: config and what it is built for → the objective; initial weights come from torch's own generator, which is
    seeded. check: raises UserError for what can be refused before anything starts, beyond what holds for every objective.
    inputs: digests of what it reads besides shards and checkpoints, by role. also: further clips that guided batches are drawn
    from. guided: whether labels guide a training of a config that has guidance; where none do, clips need no labels and all are
    unlabelled clips. any_labels: whether its classifier may know other labels than the shards, because it serves for features.
    signal: whether it learns from clips or from pictures.
    """

    build: Callable[[Any, Setting], Objective]
    check: Callable[[Any, ShardManifest], None] = _nothing
    inputs: Callable[[Any], dict[str, str]] = _none
    also: Callable[[Any], list[Part]] = _no_parts
    guided: Callable[[Any], bool] = _always
    any_labels: bool = False
    signal: Literal["clip", "picture"] = "clip"


def check_divisible(name: str, batch: int, workers: WorkersConfig) -> None:
    """However many workers there are, each takes an equal part of a batch."""
    for count in range(workers.min, workers.max + 1):
        if batch % count:
            multiple = math.lcm(*range(workers.min, workers.max + 1))
            raise UserError(
                f"{name}={batch} cannot be divided among {count} workers", fix=f"choose a multiple of {multiple}"
            )
