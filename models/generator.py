"""Generators are guests: inversion knows one only by its latent size, its prior and its forward pass."""

from __future__ import annotations

from typing import Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cluster.checkpoints import CheckpointManifest
from models.checkpoint import load_network
from models.prior import Prior


@runtime_checkable
class Generator(Protocol):
    """latent [b, latent_size], drawn from `prior` → waveform [b, clip_samples] of full scale ±1."""

    latent_size: int
    clip_samples: int
    prior: Prior

    def __call__(
        self, latent: Float[Tensor, "b z"], label: Int[Tensor, " b"] | None = None
    ) -> Float[Tensor, "b n"]: ...


def load_generator(uri: str, device: torch.device | None = None) -> tuple[Generator, CheckpointManifest]:
    """The generator of a WaveGAN checkpoint, frozen."""
    network, manifest = load_network(uri, "generator", "wavegan", "generator", device)
    return cast(Generator, network), manifest
