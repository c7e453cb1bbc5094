"""WaveGAN (Donahue, McAuley & Puckette 2018): generator and critic, exact padding, phase shuffle.

For 16,384 samples a channel as the paper has it; for 32,768 and 65,536, and for two channels, as its authors' code: a layer
more, of stride 2 or 4, and twice as many channels at the inner end.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from invertone.models.networks.wide import WideConv1d, WideConvTranspose1d
from invertone.models.prior import Prior

KERNEL = 25
FIRST_LENGTH = 16
STRIDES: dict[int, tuple[int, ...]] = {16_384: (4,) * 5, 32_768: (4, 4, 4, 4, 4, 2), 65_536: (4,) * 6}
"""Of a generator's layers, from its latent, by the samples of a channel. A critic's are the same: its layer of stride 2 is its
last as well."""
LENGTHS = tuple(STRIDES)
CLIP_SAMPLES = LENGTHS[0]
SHUFFLED = 4
"""Layers of a critic after which phases are shuffled: its first."""


def widths(width: int, clip_samples: int, channels: int) -> list[int]:
    """Channels before and after each layer of a generator, from its latent to its sound."""
    layers = len(STRIDES[clip_samples])
    return [*(width << layer for layer in reversed(range(layers))), channels]


def same_padding(stride: int) -> tuple[int, int]:
    """What TensorFlow's SAME adds to the left and to the right for a kernel of 25: the odd sample lies at the right."""
    return (KERNEL - stride) // 2, (KERNEL - stride + 1) // 2


class WaveganGenerator(nn.Module):
    """Latents → waveforms in [-1, 1], [b, n], of several channels [b, c, n]. 19,065,345 parameters at width 64 and latent
    size 100 (paper, table 3).

    clip_samples: one of LENGTHS. post_filter: taps of a learned filter over the waveform, as some published models have it
    (512); 0 means none. What it gives may leave [-1, 1].
    """

    def __init__(
        self,
        width: int = 64,
        latent_size: int = 100,
        post_filter: int = 0,
        clip_samples: int = CLIP_SAMPLES,
        channels: int = 1,
    ) -> None:
        super().__init__()
        assert channels == 1 or not post_filter, "published filters make one channel"
        self.width, self.latent_size, self.post_filter = width, latent_size, post_filter
        self.clip_samples, self.channels = clip_samples, channels
        self.prior = Prior(kind="uniform")
        self.strides, hidden = STRIDES[clip_samples], widths(width, clip_samples, channels)
        self.dense = nn.Linear(latent_size, FIRST_LENGTH * hidden[0])
        self.upconvs = nn.ModuleList(
            # TensorFlow's SAME padding for kernel 25 and stride 4 is 10 left and 11 right: crop 10 and 11 samples of the
            # full result, which in torch is padding=10 and one sample less at the right (see `forward`).
            WideConvTranspose1d(inside, outside, KERNEL, stride, padding=same_padding(stride)[0])
            for (inside, outside), stride in zip(pairwise(hidden), self.strides, strict=True)
        )
        self.filter = nn.Conv1d(1, 1, post_filter, bias=False) if post_filter else None
        self.apply(_glorot)

    def architecture(self) -> dict[str, Any]:
        """Says nothing of what is as usual: digests of generators stay what they were before there was anything else."""
        usual = {"post_filter": 0, "clip_samples": CLIP_SAMPLES, "channels": 1}
        others = {name: getattr(self, name) for name, value in usual.items() if getattr(self, name) != value}
        return {"width": self.width, "latent_size": self.latent_size, **others}

    def forward(self, latent: Float[Tensor, "b z"], label: Int[Tensor, " b"] | None = None) -> Float[Tensor, "b *c n"]:
        """`label` is ignored: WaveGAN is unconditional."""
        hidden = self.dense(latent).unflatten(1, (FIRST_LENGTH, -1)).transpose(1, 2)
        for upconv in self.upconvs:
            hidden = upconv(F.relu(hidden))[..., :-1]
        waveform = torch.tanh(hidden)
        if self.filter is not None:
            # TensorFlow's SAME padding: of an even number of taps one more reaches to the right.
            waveform = self.filter(F.pad(waveform, ((self.post_filter - 1) // 2, self.post_filter // 2)))
        return waveform[:, 0] if self.channels == 1 else waveform


class WaveganCritic(nn.Module):
    """Waveforms [b, n], of several channels [b, c, n] → scores (no sigmoid). Phase shuffle after the first four layers."""

    def __init__(
        self, width: int = 64, phase_shuffle: int = 2, clip_samples: int = CLIP_SAMPLES, channels: int = 1
    ) -> None:
        super().__init__()
        self.width, self.phase_shuffle, self.clip_samples, self.channels = width, phase_shuffle, clip_samples, channels
        self.strides, hidden = STRIDES[clip_samples], widths(width, clip_samples, channels)[::-1]
        self.downconvs = nn.ModuleList(
            WideConv1d(inside, outside, KERNEL, stride)
            for (inside, outside), stride in zip(pairwise(hidden), self.strides, strict=True)
        )
        self.dense = nn.Linear(FIRST_LENGTH * hidden[-1], 1)
        self.apply(_glorot)

    def architecture(self) -> dict[str, Any]:
        """As a generator's."""
        usual = {"clip_samples": CLIP_SAMPLES, "channels": 1}
        others = {name: getattr(self, name) for name, value in usual.items() if getattr(self, name) != value}
        return {"width": self.width, "phase_shuffle": self.phase_shuffle, **others}

    def draw_shifts(self, generator: torch.Generator) -> list[int]:
        """One shift per shuffled layer, in [-phase_shuffle, phase_shuffle], for the whole batch."""
        low = -self.phase_shuffle
        return torch.randint(low, self.phase_shuffle + 1, (SHUFFLED,), generator=generator).tolist()

    def forward(self, waveform: Float[Tensor, "b *c n"], shifts: Sequence[int] = ()) -> Float[Tensor, " b"]:
        """`shifts`: see `draw_shifts`; none given means no phase shuffle."""
        hidden = waveform[:, None] if self.channels == 1 else waveform
        for layer, (downconv, stride) in enumerate(zip(self.downconvs, self.strides, strict=True)):
            hidden = F.leaky_relu(downconv(F.pad(hidden, same_padding(stride))), 0.2)
            if layer < len(shifts):
                hidden = phase_shuffle(hidden, shifts[layer])
        return self.dense(hidden.transpose(1, 2).flatten(1))[:, 0]


def phase_shuffle(hidden: Float[Tensor, "b c t"], shift: int) -> Float[Tensor, "b c t"]:
    """Moves all channels by `shift` samples (positive to the right), reflecting what is missing at the border."""
    if shift == 0:
        return hidden
    length = hidden.shape[-1]
    padded = F.pad(hidden, (max(shift, 0), max(-shift, 0)), mode="reflect")
    start = max(-shift, 0)
    return padded[..., start : start + length]


def _glorot(module: nn.Module) -> None:
    """TensorFlow's default initialisation, which the paper's code relies on: Glorot uniform, biases zero."""
    if isinstance(module, (nn.Linear, nn.Conv1d, nn.ConvTranspose1d)):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
