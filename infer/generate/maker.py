"""Latents → clips or pictures as files have them: what bulk generation writes, and what `invertone decode` does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from invertone.cluster.formats.signals import SignalFormat
from invertone.infer.threads import CALLER, Threads, worker_threads
from invertone.infer.tiles import tile_size, tiles
from invertone.models.checkpoint import load_classifier
from invertone.models.device import worker_device
from invertone.models.generator import Generator, generator_format, load_generator
from invertone.models.guest_copies import for_threads
from invertone.models.networks.listening import SignalClassifier
from invertone.models.signals import Values, signal_of


@dataclass(frozen=True)
class Made:
    """values: as files have them, 16-bit samples [n] or [n, channels] of a clip, pixels [h, w, 3] of a picture. clipped: how
    many lay outside full scale; finite: whether all were; label: what a classifier makes of it."""

    values: Values
    clipped: int
    finite: bool
    label: int | None


@dataclass(frozen=True)
class Maker:
    """What the generator makes of each latent. Networks always see tiles of one shape, the last one filled up, each computed
    by one thread, so that a signal is the same to the bit whatever is made with it (see `methods/tiled.py`)."""

    generator: Generator
    format: SignalFormat
    device: torch.device
    threads: Threads = CALLER
    classifier: SignalClassifier | None = None

    @staticmethod
    def open(generator: str, classifier: str | None, device: str, threads: int) -> Maker:
        """With the networks that the addresses name, on what `device` (auto, cpu, cuda) means here."""
        place = worker_device(device, threads)
        made, _ = load_generator(generator, place)
        listener = load_classifier(classifier, place)[0] if classifier else None
        sharing = worker_threads(place, threads)
        shared = for_threads(made) if sharing.count > 1 else made
        return Maker(shared, generator_format(generator), place, sharing, listener)

    def __call__(self, latents: Float[Tensor, "b z"], labels: Int[Tensor, " b"] | None = None) -> list[Made]:
        """labels: what the generator is told of each, if it is told anything."""
        parts = tiles(latents, tile_size(self.device))
        told = [None] * len(parts) if labels is None else tiles(labels, tile_size(self.device))
        made = self.threads.map(self._of_tile, parts, told)
        return [each for part in made for each in part][: len(latents)]

    @torch.no_grad()
    def _of_tile(self, latents: Float[Tensor, "b z"], labels: Int[Tensor, " b"] | None) -> list[Made]:
        signal = signal_of(self.format)
        given = (latents.to(self.device),) if labels is None else (latents.to(self.device), labels.to(self.device))
        seen = self.generator(*given).float().cpu().numpy()
        finite = [bool(np.isfinite(each).all()) for each in seen]
        stored = [signal.stored(each) for each in np.nan_to_num(seen)]
        names: list[int | None] = [None] * len(latents)
        if self.classifier is not None:  # it judges what is written
            written = torch.from_numpy(signal.views([values for values, _ in stored])).to(self.device)
            names = self.classifier(written).argmax(1).tolist()
        return [
            Made(values, clipped, whole, label)
            for (values, clipped), whole, label in zip(stored, finite, names, strict=True)
        ]
