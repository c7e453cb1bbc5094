"""Inversion methods: a batch of clips → latents. Pure torch, free of Ray; a clip's latent does not depend on its neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from audio.distances import MEASURE
from audio.front_end import log_magnitude
from models.generator import Generator
from models.prior import seeded
from models.resnet import ResNet18


@dataclass(frozen=True)
class Inversion:
    """latent [b, z] inside the prior; waveform [b, n], what the generator makes of it; loss [b], the log-magnitude
    distance that it reaches; steps [b], gradient steps."""

    latent: Float[Tensor, "b z"]
    waveform: Float[Tensor, "b n"]
    loss: Float[Tensor, " b"]
    steps: Int[Tensor, " b"]


@runtime_checkable
class Inverter(Protocol):
    """target [b, n] and the clips' keys → their latents."""

    def __call__(self, target: Float[Tensor, "b n"], keys: Sequence[str]) -> Inversion: ...


@dataclass(frozen=True)
class EncoderInverter:
    """One pass of the mapper, projected into the prior."""

    generator: Generator
    mapper: ResNet18

    def __call__(self, target: Float[Tensor, "b n"], keys: Sequence[str]) -> Inversion:
        with torch.no_grad():
            latent = self.generator.prior.project(self.mapper(target))
            waveform = self.generator(latent)
            loss = distance(log_magnitude(target, MEASURE), waveform)
        return Inversion(latent, waveform, loss, torch.zeros(len(target), dtype=torch.int64))


@dataclass(frozen=True)
class GradientInverter:
    """Adam (Kingma & Ba 2015) on each clip's log-magnitude distance; every step ends inside the prior.

    Adam works coordinate by coordinate and the losses are summed, not averaged, over the batch: clips do not interact.
    The best latent seen is kept, so more steps are never worse. `mapper` gives the start (hybrid); without one it is drawn
    from the prior, by seed and key.
    """

    generator: Generator
    mapper: ResNet18 | None
    steps: int
    learning_rate: float
    seed: int

    def __call__(self, target: Float[Tensor, "b n"], keys: Sequence[str]) -> Inversion:
        prior, wanted = self.generator.prior, log_magnitude(target, MEASURE)
        latent = self._start(target, keys).requires_grad_()
        optimiser = torch.optim.Adam([latent], self.learning_rate)
        best = latent.detach().clone()
        lowest = torch.full((len(target),), torch.inf, device=target.device)
        for step in range(self.steps + 1):
            with torch.set_grad_enabled(step < self.steps):
                loss = distance(wanted, self.generator(latent))
            improved = loss.detach() < lowest
            best = torch.where(improved[:, None], latent.detach(), best)
            lowest = torch.where(improved, loss.detach(), lowest)
            if step < self.steps:
                optimiser.zero_grad()
                loss.sum().backward()
                optimiser.step()
                with torch.no_grad():
                    latent.copy_(prior.project(latent))
        with torch.no_grad():
            waveform = self.generator(best)
        return Inversion(best, waveform, lowest, torch.full((len(target),), self.steps))

    def _start(self, target: Float[Tensor, "b n"], keys: Sequence[str]) -> Float[Tensor, "b z"]:
        prior = self.generator.prior
        if self.mapper is not None:
            with torch.no_grad():
                return prior.project(self.mapper(target)).clone()
        return torch.cat([start(self.seed, key, self.generator) for key in keys]).to(target.device)


@dataclass(frozen=True)
class Tiled:
    """An inverter that is always called with `size` clips, the last call filled up with silence.

    Kernels choose their order of summation by the shape of the batch. With one shape for all, a clip's latent is the same
    to the bit whatever clips come with it; otherwise Adam, which divides small gradients by themselves, blows up 1e-7 to
    1e-1 (measured on spoken digits: 1 clip of 24 after 20 steps, 5 after 100).
    """

    inverter: Inverter
    size: int

    def __call__(self, target: Float[Tensor, "b n"], keys: Sequence[str]) -> Inversion:
        parts = [
            self._tile(target[first : first + self.size], keys[first : first + self.size])
            for first in range(0, len(target), self.size)
        ]
        return Inversion(
            torch.cat([part.latent for part in parts]),
            torch.cat([part.waveform for part in parts]),
            torch.cat([part.loss for part in parts]),
            torch.cat([part.steps for part in parts]),
        )

    def _tile(self, target: Float[Tensor, "b n"], keys: Sequence[str]) -> Inversion:
        count, missing = len(target), self.size - len(target)
        filled = torch.cat([target, target.new_zeros(missing, target.shape[1])])
        whole = self.inverter(filled, [*keys, *[""] * missing])
        return Inversion(whole.latent[:count], whole.waveform[:count], whole.loss[:count], whole.steps[:count])


def tile_size(device: torch.device) -> int:
    """A CPU gains little from more than a few clips at a time, a GPU starves on them."""
    return 64 if device.type == "cuda" else 8


def start(seed: int, key: str, generator: Generator) -> Float[Tensor, "1 z"]:
    """The random latent of one clip: the same in every batch, shard and run."""
    rng = seeded(seed, "start", key)
    return generator.prior.sample(1, generator.latent_size, rng)


def distance(wanted: Float[Tensor, "b f t"], reconstruction: Float[Tensor, "b n"]) -> Float[Tensor, " b"]:
    """Mean absolute difference of log-magnitude spectrograms, one number per clip."""
    return (wanted - log_magnitude(reconstruction, MEASURE)).abs().flatten(1).mean(1)
