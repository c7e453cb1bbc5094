"""ResNet-18 classifier on spectrograms: cross-entropy with augmentation in time, noise and spectrogram masks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from invertone.audio.front_end import FrontEnd
from invertone.cluster.errors import UserError
from invertone.cluster.formats.shards import ShardManifest
from invertone.models.networks.cnn import SimpleCnn
from invertone.models.networks.resnet import ResNet18
from invertone.train.data.augmentation import masked, moved
from invertone.train.loop.schedule import scheduled
from invertone.train.objective import Batch, Draw, Phase
from invertone.train.recipe import Recipe
from invertone.train.schemas.classifier import ClassifierConfig


class ClassifierObjective:
    """Best by validation accuracy."""

    kind = "classifier"
    averages = ()
    better: tuple[str, int] | None = ("accuracy", 1)

    def __init__(self, config: ClassifierConfig, labels: int) -> None:
        self.config = config
        self.classifier = self._network(config, labels, FrontEnd(**dataclasses.asdict(config.front_end)))
        self.networks = {"classifier": self.classifier}
        self.frozen: Mapping[str, torch.nn.Module] = {}
        self.optimisers = {
            "classifier": torch.optim.AdamW(
                self.classifier.parameters(), config.learning_rate, weight_decay=config.weight_decay
            )
        }
        self.phases = (self._phase(),)

    def _network(self, config: ClassifierConfig, labels: int, front_end: FrontEnd) -> ResNet18 | SimpleCnn:
        return ResNet18(labels, config.width, front_end)

    def _phase(self) -> Phase:
        return Phase("classifier", moves=("classifier",), losses=self.losses, real_batches=1, monitors=("error",))

    def _batch(self, draw: Draw) -> Batch:
        return draw.real()

    def learning_rate(self, step: int) -> float:
        return scheduled(self.config.schedule, step, self.config.steps)

    def losses(self, draw: Draw) -> dict[str, Tensor]:
        batch = self._batch(draw)
        spectrogram = self.classifier.spectrogram(moved(batch.waveform, draw, self.config.shift, self.config.noise))
        logits, _ = self.classifier.of_spectrogram(masked(spectrogram, draw, self.config.mask)[:, None])
        known = batch.label >= 0
        wrong = (logits.argmax(1) != batch.label) & known
        return {
            "cross_entropy": F.cross_entropy(
                logits, batch.label, ignore_index=-1, label_smoothing=self.config.label_smoothing
            ),
            "error": wrong.sum() / known.sum(),  # `wrong[known]` would ask the device how many there are
        }

    def settle(self, draw: Draw) -> None:
        """Nothing is averaged."""

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        logits = self.classifier(batch.waveform)
        known = batch.label >= 0
        return {
            "correct": (logits.argmax(1) == batch.label)[known].sum(),
            "cross_entropy": F.cross_entropy(logits, batch.label, ignore_index=-1, reduction="sum"),
            "labelled": known.sum(),
        }

    def finish(self, totals: Mapping[str, Tensor], count: int) -> dict[str, float]:
        labelled = max(1.0, float(totals["labelled"]))
        return {
            "accuracy": float(totals["correct"]) / labelled,
            "cross_entropy": float(totals["cross_entropy"]) / labelled,
        }

    def samples(self, real: Batch) -> dict[str, Tensor]:
        return {}

    def manifest(self) -> dict[str, Any]:
        return {"front_end": dataclasses.asdict(self.config.front_end)}


def _check(config: ClassifierConfig, manifest: ShardManifest) -> None:
    if len(manifest.label_names) < 2:
        raise UserError("shards have fewer than two labels", where=config.shards, fix="ingest with labels")


RECIPE = Recipe(lambda config, classes, device: ClassifierObjective(config, classes), _check)
