"""How training clips are varied, so that few of them teach more: moved in time, in noise, with hidden bands."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from invertone.train.objective import Draw


def moved(waveform: Float[Tensor, "b n"], draw: Draw, shift: int, noise: float) -> Float[Tensor, "b n"]:
    """Each clip moved in time by up to `shift` samples (zeros come in) and in white noise of its own level, a standard
    deviation of up to `noise`."""
    offsets = ((draw.uniform() * 2 - 1) * shift).round().long()
    padded = F.pad(waveform, (shift, shift))
    at = torch.arange(waveform.shape[1], device=waveform.device)[None] + (shift - offsets)[:, None]
    level = draw.uniform(1) * noise
    white = (draw.uniform(waveform.shape[1]) - 0.5) * math.sqrt(12.0)
    return padded.gather(1, at) + level * white


def masked(spectrogram: Float[Tensor, "b f t"], draw: Draw, share: float) -> Float[Tensor, "b f t"]:
    """One band of rows and one of columns per clip, each up to `share` of them, set to silence (SpecAugment, Park et al.
    2019)."""
    for axis in (1, 2):
        size = spectrogram.shape[axis]
        width = draw.uniform() * share * size
        start = draw.uniform() * (size - width)
        at = torch.arange(size, device=spectrogram.device)[None]
        hidden = (at >= start[:, None]) & (at < (start + width)[:, None])
        spectrogram = spectrogram.masked_fill(hidden[:, :, None] if axis == 1 else hidden[:, None, :], -1.0)
    return spectrogram
