"""Networks of next to no cost, so that what a benchmark times is the host's work around them."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from invertone.audio.front_end import FrontEnd
from invertone.cluster.formats.signals import USUAL
from invertone.models.networks.resnet import ResNet18

LATENT = 100
GENERATOR = "benchmarks.least:Noise"
"""As the key `generator` takes it."""


class Noise(nn.Module):
    """latent [b, 100] → [b, 16384]: one made sound, louder or fainter; not silence, so that FLAC has as much to do as with
    speech."""

    latent_size, prior = LATENT, "uniform"

    def __init__(self) -> None:
        super().__init__()
        rng = np.random.default_rng(0)
        noise = np.cumsum(rng.standard_normal(USUAL.samples))
        noise -= np.convolve(noise, np.ones(64) / 64, "same")
        noise *= np.exp(-np.square((np.arange(USUAL.samples) - 8_000) / 3_000))
        self.register_buffer("sound", torch.from_numpy((0.4 * noise / np.abs(noise).max()).astype(np.float32)))

    def forward(self, latent: Float[Tensor, "b z"]) -> Float[Tensor, "b n"]:
        return self.sound * (1 + latent[:, :1].tanh())


def mapper() -> ResNet18:
    """A ResNet-18 of width 1 that sees 16 mel bands of 8 frames."""
    return ResNet18(LATENT, 1, FrontEnd(n_fft=256, hop_length=2_048, mels=16))
