"""WaveGAN (Donahue, McAuley & Puckette 2018): generator and critic for 16,384 samples, exact padding, phase shuffle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from invertone.models.prior import Prior

KERNEL, STRIDE = 25, 4
FIRST_LENGTH = 16
CLIP_SAMPLES = FIRST_LENGTH * STRIDE**5


class WaveganGenerator(nn.Module):
    """Latents → waveforms in [-1, 1]. 19,065,345 parameters at width 64 and latent size 100 (paper, table 3).

    post_filter: taps of a learned filter over the waveform, as some published models have it (512); 0 means none. What it
    gives may leave [-1, 1].
    """

    def __init__(self, width: int = 64, latent_size: int = 100, post_filter: int = 0) -> None:
        super().__init__()
        self.width, self.latent_size, self.post_filter = width, latent_size, post_filter
        self.clip_samples = CLIP_SAMPLES
        self.prior = Prior(kind="uniform")
        channels = [16 * width, 8 * width, 4 * width, 2 * width, width, 1]
        self.dense = nn.Linear(latent_size, FIRST_LENGTH * channels[0])
        self.upconvs = nn.ModuleList(
            # TensorFlow's SAME padding for kernel 25 and stride 4 is 10 left and 11 right: crop 10 and 11 samples of the
            # full result, which in torch is padding=10 and one sample less at the right (see `forward`).
            nn.ConvTranspose1d(inside, outside, KERNEL, STRIDE, padding=10)
            for inside, outside in zip(channels[:-1], channels[1:], strict=True)
        )
        self.filter = nn.Conv1d(1, 1, post_filter, bias=False) if post_filter else None
        self.apply(_glorot)

    def architecture(self) -> dict[str, Any]:
        """Says nothing of a filter where there is none: digests of generators stay what they were before filters."""
        filtered = {"post_filter": self.post_filter} if self.post_filter else {}
        return {"width": self.width, "latent_size": self.latent_size, **filtered}

    def forward(self, latent: Float[Tensor, "b z"], label: Int[Tensor, " b"] | None = None) -> Float[Tensor, "b n"]:
        """`label` is ignored: WaveGAN is unconditional."""
        hidden = self.dense(latent).unflatten(1, (FIRST_LENGTH, -1)).transpose(1, 2)
        for upconv in self.upconvs:
            hidden = upconv(F.relu(hidden))[..., :-1]
        waveform = torch.tanh(hidden[:, 0])
        if self.filter is None:
            return waveform
        # TensorFlow's SAME padding: of an even number of taps one more reaches to the right.
        padded = F.pad(waveform, ((self.post_filter - 1) // 2, self.post_filter // 2))
        return self.filter(padded[:, None])[:, 0]


class WaveganCritic(nn.Module):
    """Waveforms → scores (no sigmoid). Phase shuffle after all layers but the last."""

    def __init__(self, width: int = 64, phase_shuffle: int = 2) -> None:
        super().__init__()
        self.width, self.phase_shuffle = width, phase_shuffle
        channels = [1, width, 2 * width, 4 * width, 8 * width, 16 * width]
        self.downconvs = nn.ModuleList(
            nn.Conv1d(inside, outside, KERNEL, STRIDE)
            for inside, outside in zip(channels[:-1], channels[1:], strict=True)
        )
        self.dense = nn.Linear(FIRST_LENGTH * channels[-1], 1)
        self.apply(_glorot)

    def architecture(self) -> dict[str, Any]:
        return {"width": self.width, "phase_shuffle": self.phase_shuffle}

    def draw_shifts(self, generator: torch.Generator) -> list[int]:
        """One shift per shuffled layer, in [-phase_shuffle, phase_shuffle], for the whole batch."""
        low, count = -self.phase_shuffle, len(self.downconvs) - 1
        return torch.randint(low, self.phase_shuffle + 1, (count,), generator=generator).tolist()

    def forward(self, waveform: Float[Tensor, "b n"], shifts: Sequence[int] = ()) -> Float[Tensor, " b"]:
        """`shifts`: see `draw_shifts`; none given means no phase shuffle."""
        hidden = waveform[:, None]
        for layer, downconv in enumerate(self.downconvs):
            hidden = F.leaky_relu(downconv(F.pad(hidden, (10, 11))), 0.2)
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
