"""ResNet-18 classifier on spectrograms: cross-entropy with augmentation in time, noise and spectrogram masks."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from audio.front_end import FrontEnd
from models.resnet import ResNet18
from train.config import ClassifierConfig
from train.objective import Batch, Draw, Phase


class ClassifierObjective:
    """Best by validation accuracy."""

    kind = "classifier"
    better = ("accuracy", 1)

    def __init__(self, config: ClassifierConfig, labels: int) -> None:
        self.config = config
        self.classifier = ResNet18(labels, config.width, FrontEnd(**dataclasses.asdict(config.front_end)))
        self.networks = {"classifier": self.classifier}
        self.frozen: Mapping[str, torch.nn.Module] = {}
        self.optimisers = {
            "classifier": torch.optim.AdamW(
                self.classifier.parameters(), config.learning_rate, weight_decay=config.weight_decay
            )
        }
        self.phases = (
            Phase("classifier", moves=("classifier",), losses=self.losses, real_batches=1, monitors=("error",)),
        )

    def learning_rate(self, step: int) -> float:
        if self.config.schedule == "constant":
            return 1.0
        return 0.5 * (1.0 + math.cos(math.pi * min(1.0, (step - 1) / self.config.steps)))

    def losses(self, draw: Draw) -> dict[str, Tensor]:
        batch = draw.real()
        spectrogram = self.classifier.spectrogram(self._moved(batch.waveform, draw))
        logits, _ = self.classifier.of_spectrogram(self._masked(spectrogram, draw)[:, None])
        known = batch.label >= 0
        wrong = (logits.argmax(1) != batch.label)[known]
        return {
            "cross_entropy": F.cross_entropy(
                logits, batch.label, ignore_index=-1, label_smoothing=self.config.label_smoothing
            ),
            "error": wrong.float().mean(),
        }

    def _moved(self, waveform: Float[Tensor, "b n"], draw: Draw) -> Float[Tensor, "b n"]:
        """Each clip moved in time (zeros come in) and in white noise of its own level."""
        offsets = ((draw.uniform() * 2 - 1) * self.config.shift).round().long()
        padded = F.pad(waveform, (self.config.shift, self.config.shift))
        at = torch.arange(waveform.shape[1], device=waveform.device)[None] + (self.config.shift - offsets)[:, None]
        level = draw.uniform(1) * self.config.noise
        noise = (draw.uniform(waveform.shape[1]) - 0.5) * math.sqrt(12.0)
        return padded.gather(1, at) + level * noise

    def _masked(self, spectrogram: Float[Tensor, "b f t"], draw: Draw) -> Float[Tensor, "b f t"]:
        """One band of rows and one of columns per clip set to silence (SpecAugment, Park et al. 2019)."""
        for axis in (1, 2):
            size = spectrogram.shape[axis]
            width = draw.uniform() * self.config.mask * size
            start = draw.uniform() * (size - width)
            at = torch.arange(size, device=spectrogram.device)[None]
            hidden = (at >= start[:, None]) & (at < (start + width)[:, None])
            spectrogram = spectrogram.masked_fill(hidden[:, :, None] if axis == 1 else hidden[:, None, :], -1.0)
        return spectrogram

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
