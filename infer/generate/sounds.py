"""Latents → 16-bit sound: what bulk generation writes, and what `invertone decode` does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from invertone.audio.clip import Samples, to_int16, waveforms
from invertone.cluster.formats.signals import ClipFormat, clips_of
from invertone.infer.threads import CALLER, Threads, worker_threads
from invertone.infer.tiles import tile_size, tiles
from invertone.models.checkpoint import load_classifier
from invertone.models.device import worker_device
from invertone.models.generator import Generator, generator_format, load_generator
from invertone.models.guest_copies import for_threads
from invertone.models.networks.listening import SignalClassifier


@dataclass(frozen=True)
class Sound:
    """16-bit samples [n] or [n, channels], how many lay outside full scale, whether all were finite, and what a classifier
    heard."""

    samples: Samples
    clipped: int
    finite: bool
    label: int | None


@dataclass(frozen=True)
class SoundMaker:
    """What the generator makes of each latent. Networks always see tiles of one shape, the last one filled up, each computed
    by one thread, so that a clip is the same to the bit whatever clips are made with it (see `methods/inverters.py`)."""

    generator: Generator
    clips: ClipFormat
    device: torch.device
    threads: Threads = CALLER
    classifier: SignalClassifier | None = None

    @staticmethod
    def open(generator: str, classifier: str | None, device: str, threads: int) -> SoundMaker:
        """With the networks that the addresses name, on what `device` (auto, cpu, cuda) means here."""
        place = worker_device(device, threads)
        made, _ = load_generator(generator, place)
        listener = load_classifier(classifier, place)[0] if classifier else None
        sharing = worker_threads(place, threads)
        shared = for_threads(made) if sharing.count > 1 else made
        return SoundMaker(
            shared, clips_of(generator_format(generator), "generator", generator), place, sharing, listener
        )

    def __call__(self, latents: Float[Tensor, "b z"], labels: Int[Tensor, " b"] | None = None) -> list[Sound]:
        """labels: what the generator is told of each, if it is told anything."""
        parts = tiles(latents, tile_size(self.device))
        told = [None] * len(parts) if labels is None else tiles(labels, tile_size(self.device))
        made = self.threads.map(self._of_tile, parts, told)
        return [sound for part in made for sound in part][: len(latents)]

    @torch.no_grad()
    def _of_tile(self, latents: Float[Tensor, "b z"], labels: Int[Tensor, " b"] | None) -> list[Sound]:
        given = (latents.to(self.device),) if labels is None else (latents.to(self.device), labels.to(self.device))
        waveform = self.generator(*given).float().cpu().numpy()
        finite = [bool(np.isfinite(each).all()) for each in waveform]
        quantised = [to_int16(each.T) for each in np.nan_to_num(waveform)]
        names: list[int | None] = [None] * len(latents)
        if self.classifier is not None:  # it hears what is written
            heard = torch.from_numpy(waveforms([samples for samples, _ in quantised])).to(self.device)
            names = self.classifier(heard).argmax(1).tolist()
        return [
            Sound(samples, clipped, whole, label)
            for (samples, clipped), whole, label in zip(quantised, finite, names, strict=True)
        ]
