"""The log-magnitude front end: waveforms → spectrograms, differentiable, batched.

Follows TiFGAN's procedure (Marafioti et al. 2019), as GAAE does (Haque, Rana & Schuller 2020, IV-B): window 512, hop 128,
|c| relative to a reference, natural logarithm, clipped at -r, scaled to [-1, 1], Nyquist row dropped: 16,384 samples →
256 × 128. Of several channels each has a spectrogram of its own: waveforms are [b, n] or [b, c, n], spectrograms [b, f, t] or
[b, c, f, t].
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

REFERENCES = ("clip", "full_scale")
WINDOWS = {"hann": 0.5, "hamming": 0.54}
"""Periodic windows a - (1 - a) cos, and their a, which is also their mean."""
LOWEST_HZ, HIGHEST = 40.0, 0.4875
"""Where mel bands begin, and the share of the sample rate at which they end: 7,800 Hz of 16,000."""


@dataclass(frozen=True)
class FrontEnd:
    """n_fft, hop_length: samples. dynamic_range: nats below the reference that count as silence (10 nats = 87 dB).

    reference: `clip` (each clip's loudest bin in any channel, TiFGAN: levels do not matter) or `full_scale` (a full-scale
    sine). mels: 0 for linear frequency, else the number of mel bands (HTK scale, triangles linear in frequency) from 40 Hz to
    0.4875 of sample_rate (Hz), which at 16 kHz is 7,800 Hz.
    window: of WINDOWS. mean, deviation: of the logarithms relative to the reference, in nats; they are standardised by them
    before they are clipped, so that dynamic_range counts deviations below the mean: (ln(|c| / reference) - mean) / deviation is
    held within [-dynamic_range, -mean / deviation], silence and the reference, and scaled to [-1, 1].
    """

    n_fft: int = 512
    hop_length: int = 128
    dynamic_range: float = 10.0
    reference: str = "clip"
    mels: int = 0
    window: str = "hann"
    mean: float = 0.0
    deviation: float = 1.0
    sample_rate: int = 16_000

    @property
    def nats(self) -> float:
        """Between -1 and 1. Standardising, clipping and scaling are linear in the logarithm, so that all that is left of them
        is how far below the reference the floor lies."""
        return self.dynamic_range * self.deviation - self.mean

    def rows(self) -> int:
        return self.mels or self.n_fft // 2


def magnitude(
    waveform: Float[Tensor, "b *c n"], n_fft: int, hop_length: int, window: str = "hann"
) -> Float[Tensor, "b *c f t"]:
    """|STFT| with a periodic window, frames centred at multiples of the hop, n // hop frames, zeros outside.

    Scaled so that a full-scale sine reads 1. What is so faint that its square underflows (360 dB below full scale in single
    precision) is silence: it has no direction, and kernels of some processors would divide by its magnitude, 0.
    """
    weights = _window(window, n_fft, waveform.device, waveform.dtype)
    if waveform.ndim > 2:
        return magnitude(waveform.flatten(0, -2), n_fft, hop_length, window).unflatten(0, waveform.shape[:-1])
    spectrum = torch.stft(
        waveform, n_fft, hop_length, window=weights, center=True, pad_mode="constant", return_complex=True
    )[..., : waveform.shape[-1] // hop_length]
    scale = 2.0 / n_fft / WINDOWS[window]
    if not spectrum.requires_grad:  # a third of the time on a CPU; its gradient at silence would be none
        parts = torch.view_as_real(spectrum)
        return parts[..., 0].square().addcmul_(parts[..., 1], parts[..., 1]).sqrt_().mul_(scale)
    with torch.no_grad():
        loudest = torch.view_as_real(spectrum).abs().amax(-1)
        faint = loudest < 10 * math.sqrt(torch.finfo(loudest.dtype).tiny)
    return spectrum.masked_fill(faint, 0.0).abs() * scale


def mel_magnitude(
    waveform: Float[Tensor, "b *c n"], n_fft: int, hop_length: int, mels: int, sample_rate: int, window: str = "hann"
) -> Float[Tensor, "b *c m t"]:
    """`magnitude` summed in `mels` bands, as those of a `FrontEnd` lie."""
    return _in_bands(magnitude(waveform, n_fft, hop_length, window), mels, sample_rate)


def _in_bands(linear: Float[Tensor, "b *c f t"], mels: int, sample_rate: int) -> Float[Tensor, "b *c m t"]:
    bank = _mel_bank(linear.shape[-2], mels, sample_rate, linear.device, linear.dtype)
    return torch.einsum("...ft,fm->...mt", linear, bank)


def log_magnitude(waveform: Float[Tensor, "b *c n"], front_end: FrontEnd) -> Float[Tensor, "b *c f t"]:
    """Waveforms → log-magnitude spectrograms in [-1, 1]. Silence is -1 everywhere."""
    return of_magnitude(magnitude(waveform, front_end.n_fft, front_end.hop_length, front_end.window), front_end)


def of_magnitude(linear: Float[Tensor, "b *c g t"], front_end: FrontEnd) -> Float[Tensor, "b *c f t"]:
    """Magnitudes re full scale, the Nyquist row the last of them → what `log_magnitude` makes of their waveforms."""
    if front_end.mels:
        linear = _in_bands(linear, front_end.mels, front_end.sample_rate)
    else:
        linear = linear[..., :-1, :]
    floor = math.exp(-front_end.nats)
    if front_end.reference == "clip":
        loudest = linear.amax(tuple(range(1, linear.ndim))).clamp_min(torch.finfo(linear.dtype).tiny / floor)
        linear = linear / loudest.view(-1, *[1] * (linear.ndim - 1))
    half = front_end.nats / 2
    held = linear.clamp_min(floor)
    if not held.requires_grad:
        return held.log_().clamp_max_(0.0).div_(half).add_(1.0)
    return held.log().clamp_max(0.0) / half + 1.0


def as_magnitude(log_magnitude: Float[Tensor, "b *c f t"], front_end: FrontEnd) -> Float[Tensor, "b *c g t"]:
    """Back from a spectrogram without mel bands to magnitudes relative to its reference, with a silent Nyquist
    row. What lay below the floor, -1, has come to lie there."""
    assert not front_end.mels, "bands do not say what was in them"
    return F.pad(((log_magnitude - 1.0) * (front_end.nats / 2)).exp(), (0, 0, 0, 1))


@lru_cache(maxsize=16)
def _window(name: str, n_fft: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    if name == "hamming":
        return torch.hamming_window(n_fft, periodic=True, device=device, dtype=dtype)
    return torch.hann_window(n_fft, periodic=True, device=device, dtype=dtype)


@lru_cache(maxsize=16)
def _mel_bank(rows: int, mels: int, rate: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    from torchaudio.functional import melscale_fbanks

    bank = melscale_fbanks(rows, LOWEST_HZ, HIGHEST * rate, mels, rate, norm=None, mel_scale="htk")
    return bank.to(device, dtype)
