"""Distances between clips, one number per clip. All take waveforms of full scale ±1."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from invertone.audio.front_end import FrontEnd, log_magnitude, magnitude

MEASURE = FrontEnd(reference="full_scale")
"""The spectrogram that `spectrogram_mae` and `ssim` look at: level-sensitive, 87 dB deep."""


def waveform_mse(a: Float[Tensor, "b n"], b: Float[Tensor, "b n"]) -> Float[Tensor, " b"]:
    """Mean squared difference of samples."""
    return (a - b).square().mean(dim=1)


def waveform_mae(a: Float[Tensor, "b n"], b: Float[Tensor, "b n"]) -> Float[Tensor, " b"]:
    """Mean absolute difference of samples."""
    return (a - b).abs().mean(dim=1)


def spectrogram_mse(
    a: Float[Tensor, "b n"], b: Float[Tensor, "b n"], front_end: FrontEnd = MEASURE
) -> Float[Tensor, " b"]:
    """Mean squared difference of log-magnitude spectrograms scaled to [-1, 1]."""
    return image_mse(log_magnitude(a, front_end), log_magnitude(b, front_end))


def spectrogram_mae(
    a: Float[Tensor, "b n"], b: Float[Tensor, "b n"], front_end: FrontEnd = MEASURE
) -> Float[Tensor, " b"]:
    """Mean absolute difference of log-magnitude spectrograms scaled to [-1, 1] (0.1 is 4.3 dB at 10 nats range)."""
    return image_mae(log_magnitude(a, front_end), log_magnitude(b, front_end))


def image_mse(a: Float[Tensor, "b f t"], b: Float[Tensor, "b f t"]) -> Float[Tensor, " b"]:
    """Of spectrograms, for those who have them already."""
    return (a - b).square().flatten(1).mean(dim=1)


def image_mae(a: Float[Tensor, "b f t"], b: Float[Tensor, "b f t"]) -> Float[Tensor, " b"]:
    """Of spectrograms, for those who have them already."""
    return (a - b).abs().flatten(1).mean(dim=1)


def image(waveform: Float[Tensor, "b n"]) -> Float[Tensor, "b f t"]:
    """The spectrogram that clips are compared by."""
    return log_magnitude(waveform, MEASURE)


RESOLUTIONS = ((512, 128), (1024, 256), (2048, 512))
LOG_FLOOR = 1e-4
"""-80 dB re full scale, added before the logarithm: fainter things hardly count, yet silence has a gradient that leads out
of it (with a clamp it has none, and an optimiser that comes there stays)."""
QUIETEST = 1e-3
"""The norm of a spectrogram below which differences are no longer relative to it: relative to silence all are infinite."""


def magnitudes(waveform: Float[Tensor, "b n"]) -> tuple[Float[Tensor, "b _ _"], ...]:
    """What `multi_resolution_stft` compares: magnitudes at three resolutions."""
    return tuple(magnitude(waveform, *each) for each in RESOLUTIONS)


def multi_resolution_stft(
    wanted: Sequence[Float[Tensor, "b _ _"]], found: Sequence[Float[Tensor, "b _ _"]]
) -> Float[Tensor, " b"]:
    """Spectral convergence plus mean absolute log-magnitude difference (nats), mean over three resolutions (Yamamoto, Song
    & Kim 2020, equations 3-6, on 512/128, 1024/256 and 2048/512 with Hann windows, and with our floor). Takes `magnitudes`.

    Convergence is relative to the target's norm; a target fainter than QUIETEST counts as that loud.
    """
    total = torch.zeros_like(wanted[0][:, 0, 0])
    for want, have in zip(wanted, found, strict=True):
        convergence = _norm(have - want) / _norm(want).clamp_min(QUIETEST)
        logarithms = (have + LOG_FLOOR).log() - (want + LOG_FLOOR).log()
        total = total + convergence + logarithms.abs().flatten(1).mean(1)
    return total / len(wanted)


def _norm(spectrogram: Float[Tensor, "b f t"]) -> Float[Tensor, " b"]:
    """Frobenius norm; its gradient at zero is zero, not NaN."""
    return (spectrogram.square().flatten(1).sum(1) + 1e-12).sqrt()


def spectrogram_ssim(
    a: Float[Tensor, "b n"], b: Float[Tensor, "b n"], front_end: FrontEnd = MEASURE
) -> Float[Tensor, " b"]:
    """SSIM of log-magnitude spectrograms, data range 2."""
    return image_ssim(log_magnitude(a, front_end), log_magnitude(b, front_end))


def image_ssim(a: Float[Tensor, "b f t"], b: Float[Tensor, "b f t"]) -> Float[Tensor, " b"]:
    """SSIM of spectrograms scaled to [-1, 1]."""
    return ssim(a, b, data_range=2.0)


def _gaussian_band(size: int, device: torch.device, dtype: torch.dtype) -> Float[Tensor, "inside size"]:
    """Each row the 11 weights of a Gaussian of sigma 1.5, one place further than the row before."""
    at = torch.arange(11, dtype=dtype, device=device) - 5
    gaussian = torch.exp(-at.square() / (2 * 1.5**2))
    place, offset = torch.arange(size - 10, device=device)[:, None], torch.arange(11, device=device)
    band = torch.zeros(size - 10, size, dtype=dtype, device=device)
    band[place, place + offset] = (gaussian / gaussian.sum()).expand(size - 10, 11)
    return band


def ssim(a: Float[Tensor, "b f t"], b: Float[Tensor, "b f t"], data_range: float) -> Float[Tensor, " b"]:
    """Structural similarity (Wang, Bovik, Sheikh & Simoncelli 2004): 11×11 Gaussian window, sigma 1.5, K 0.01 and 0.03.

    The mean over the positions where the window fits whole; 1 for equal images.
    """
    down, across = (_gaussian_band(a.shape[axis], a.device, a.dtype) for axis in (1, 2))

    def blur(image: Tensor) -> Tensor:
        # as products with banded matrices: on a CPU several times as fast as convolutions of one channel
        return down @ (image @ across.T)

    mean_a, mean_b = blur(a), blur(b)
    variance_a = blur(a * a) - mean_a.square()
    variance_b = blur(b * b) - mean_b.square()
    covariance = blur(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    score = ((2 * mean_a * mean_b + c1) * (2 * covariance + c2)) / (
        (mean_a.square() + mean_b.square() + c1) * (variance_a + variance_b + c2)
    )
    return score.flatten(1).mean(dim=1)
