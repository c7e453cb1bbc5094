"""Classifiers on spectrograms: cross-entropy with augmentation in time, noise and spectrogram masks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from invertone.cluster.errors import UserError
from invertone.cluster.formats.shards import ShardManifest
from invertone.cluster.formats.signals import refuse_others
from invertone.models.networks.listening import ClipClassifier, by_channel
from invertone.models.networks.resnet import ResNet18
from invertone.models.networks.wavegan_inception import CLIPS, WaveganInception
from invertone.train.data.augmentation import masked, moved
from invertone.train.loop.schedule import scheduled
from invertone.train.objective import Batch, Draw, Phase
from invertone.train.recipe import Recipe, Setting
from invertone.train.schemas.classifier import ClassifierConfig
from invertone.train.schemas.shared import FrontEndConfig


class ClassifierObjective:
    """Best by validation accuracy."""

    kind = "classifier"
    averages = ()
    better: tuple[str, int] | None = ("accuracy", 1)

    def __init__(self, config: ClassifierConfig, setting: Setting) -> None:
        self.config = config
        self.classifier = self._network(config, setting)
        self.networks = {"classifier": self.classifier}
        self.frozen: Mapping[str, torch.nn.Module] = {}
        self.optimisers = {"classifier": self._optimiser(config)}
        self.phases = (self._phase(),)

    def _network(self, config: ClassifierConfig, setting: Setting) -> ClipClassifier:
        if config.network == "wavegan-inception":
            return WaveganInception(setting.labels, config.width)
        front_end = setting.front_end(config.front_end)
        return ResNet18(setting.labels, config.width, front_end, setting.clips.channels)

    def _optimiser(self, config: ClassifierConfig) -> torch.optim.Optimizer:
        weights = self.classifier.parameters()
        if config.optimiser == "sgd":
            return torch.optim.SGD(weights, config.learning_rate)
        return torch.optim.AdamW(weights, config.learning_rate, weight_decay=config.weight_decay)

    def _phase(self) -> Phase:
        return Phase("classifier", moves=("classifier",), losses=self.losses, real_batches=1, monitors=("error",))

    def _batch(self, draw: Draw) -> Batch:
        return draw.real()

    def _varied(self, spectrogram: Float[Tensor, "b f t"], draw: Draw) -> Float[Tensor, "b f t"]:
        return masked(spectrogram, draw, self.config.mask, self.classifier.silence)

    def learning_rate(self, step: int) -> float:
        return scheduled(self.config.schedule, step, self.config.steps)

    def losses(self, draw: Draw) -> dict[str, Tensor]:
        batch = self._batch(draw)
        spectrogram = self.classifier.spectrogram(moved(batch.signal, draw, self.config.shift, self.config.noise))
        logits, _ = self.classifier.of_spectrogram(by_channel(self._varied(spectrogram, draw)))
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
        logits = self.classifier(batch.signal)
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
        if isinstance(self.classifier, WaveganInception):
            return {}  # its front end is its own
        return {"front_end": dataclasses.asdict(self.config.front_end)}


def _check(config: ClassifierConfig, manifest: ShardManifest) -> None:
    if len(manifest.label_names) < 2:
        raise UserError("shards have fewer than two labels", where=config.shards, fix="ingest with labels")
    check_optimiser(config)
    if config.network == "wavegan-inception":
        if config.front_end != FrontEndConfig():
            raise UserError(
                f"front_end is given, and network={config.network} brings its own", fix="leave front_end out"
            )
        refuse_others(CLIPS, f"network={config.network}", manifest.clips, "shards", config.shards)


def check_optimiser(config: ClassifierConfig) -> None:
    """Raises UserError where a weight decay is asked of an optimiser that has none."""
    if config.optimiser == "sgd" and config.weight_decay:
        raise UserError("gradient descent has no weight decay here", fix="add weight_decay=0, or optimiser=adamw")


RECIPE = Recipe(ClassifierObjective, _check)
