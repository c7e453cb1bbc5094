"""How training clips and pictures are varied, so that few of them teach more: moved in time, in noise, with hidden bands,
turned, with patches of zeros, mirrored."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from invertone.train.objective import Draw


def moved(waveform: Float[Tensor, "b *c n"], draw: Draw, shift: int, noise: float) -> Float[Tensor, "b *c n"]:
    """Each clip, with all its channels, moved in time by up to `shift` samples (zeros come in) and in white noise of its own
    level, a standard deviation of up to `noise`."""
    offsets = ((draw.uniform() * 2 - 1) * shift).round().long()
    padded = F.pad(waveform, (shift, shift))
    at = torch.arange(waveform.shape[-1], device=waveform.device)[None] + (shift - offsets)[:, None]
    alike = [1] * (waveform.ndim - 2)  # channels
    level = draw.uniform(*alike, 1) * noise
    white = (draw.uniform(*waveform.shape[1:]) - 0.5) * math.sqrt(12.0)
    return padded.gather(-1, at.unflatten(0, (-1, *alike)).expand(waveform.shape)) + level * white


def mirrored(picture: Float[Tensor, "b c h w"], draw: Draw) -> Float[Tensor, "b c h w"]:
    """Half of them, each with its own chance, left and right exchanged."""
    return torch.where(draw.uniform(1, 1, 1) < 0.5, picture.flip(3), picture)


def masked(
    spectrogram: Float[Tensor, "b *c f t"], draw: Draw, share: float, silence: float = -1.0
) -> Float[Tensor, "b *c f t"]:
    """One band of rows and one of columns per clip, of all its channels, each up to `share` of them, set to `silence`
    (SpecAugment, Park et al. 2019)."""
    channels = [1] * (spectrogram.ndim - 3)
    for axis in (-2, -1):
        size = spectrogram.shape[axis]
        width = draw.uniform() * share * size
        start = draw.uniform() * (size - width)
        at = torch.arange(size, device=spectrogram.device)[None]
        hidden = (at >= start[:, None]) & (at < (start + width)[:, None])
        place = (size, 1) if axis == -2 else (1, size)
        spectrogram = spectrogram.masked_fill(hidden.reshape(-1, *channels, *place), silence)
    return spectrogram


def rotated(
    spectrogram: Float[Tensor, "b f t"], draw: Draw, degrees: float, silence: float = -1.0
) -> Float[Tensor, "b f t"]:
    """Each spectrogram turned about its middle by an angle between -`degrees` and `degrees`, a row being as high as a column
    is wide; interpolated linearly, `silence` comes in from outside (Haque, Rana & Schuller 2020, section VII)."""
    rows, columns = spectrogram.shape[1:]
    angle = torch.deg2rad((draw.uniform() * 2 - 1) * degrees).to(spectrogram.dtype)
    cosine, sine, none = angle.cos(), angle.sin(), torch.zeros_like(angle)
    # affine_grid measures either side of the spectrogram as 2
    across = torch.stack([cosine, -sine * rows / columns, none], 1)
    down = torch.stack([sine * columns / rows, cosine, none], 1)
    places = F.affine_grid(torch.stack([across, down], 1), [len(spectrogram), 1, rows, columns], align_corners=False)
    return F.grid_sample((spectrogram - silence)[:, None], places, align_corners=False)[:, 0] + silence


def with_zero_patches(
    spectrogram: Float[Tensor, "b f t"], draw: Draw, number: int, share: float
) -> Float[Tensor, "b f t"]:
    """`number` rectangles per clip, each of up to `share` of the rows and of the columns, multiplied by 0 (Haque, Rana &
    Schuller 2020, section VII). In spectrograms from -1 to 1 that is no silence, but half of the dynamic range."""
    kept = torch.ones_like(spectrogram)
    for _ in range(number):
        inside = []
        for axis in (1, 2):
            size = spectrogram.shape[axis]
            width = draw.uniform() * share * size
            start = draw.uniform() * (size - width)
            at = torch.arange(size, device=spectrogram.device)[None]
            inside.append((at >= start[:, None]) & (at < (start + width)[:, None]))
        kept = kept.masked_fill(inside[0][:, :, None] & inside[1][:, None, :], 0.0)
    return spectrogram * kept
