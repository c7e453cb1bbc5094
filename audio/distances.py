"""Distances between clips, one number per clip, of all channels. All take waveforms of full scale ±1, [b, n] or [b, c, n]."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from invertone.audio.front_end import FrontEnd, log_magnitude, magnitude, mel_magnitude
from invertone.images.structural import ssim

MEASURE = FrontEnd(reference="full_scale")
"""The spectrogram that `spectrogram_mae` and `ssim` look at: level-sensitive, 87 dB deep."""


def waveform_mse(a: Float[Tensor, "b *c n"], b: Float[Tensor, "b *c n"]) -> Float[Tensor, " b"]:
    """Mean squared difference of samples."""
    return (a - b).square().flatten(1).mean(1)


def waveform_mae(a: Float[Tensor, "b *c n"], b: Float[Tensor, "b *c n"]) -> Float[Tensor, " b"]:
    """Mean absolute difference of samples."""
    return (a - b).abs().flatten(1).mean(1)


def spectrogram_mse(
    a: Float[Tensor, "b *c n"], b: Float[Tensor, "b *c n"], front_end: FrontEnd = MEASURE
) -> Float[Tensor, " b"]:
    """Mean squared difference of log-magnitude spectrograms scaled to [-1, 1]."""
    return image_mse(log_magnitude(a, front_end), log_magnitude(b, front_end))


def spectrogram_mae(
    a: Float[Tensor, "b *c n"], b: Float[Tensor, "b *c n"], front_end: FrontEnd = MEASURE
) -> Float[Tensor, " b"]:
    """Mean absolute difference of log-magnitude spectrograms scaled to [-1, 1] (0.1 is 4.3 dB at 10 nats range)."""
    return image_mae(log_magnitude(a, front_end), log_magnitude(b, front_end))


def image_mse(a: Float[Tensor, "b *c f t"], b: Float[Tensor, "b *c f t"]) -> Float[Tensor, " b"]:
    """Of spectrograms, for those who have them already."""
    return _mean((a - b).square())


def image_mae(a: Float[Tensor, "b *c f t"], b: Float[Tensor, "b *c f t"]) -> Float[Tensor, " b"]:
    """Of spectrograms, for those who have them already."""
    return _mean((a - b).abs())


def _mean(image: Float[Tensor, "b *c f t"]) -> Float[Tensor, " b"]:
    return image.mean(tuple(range(1, image.ndim)))


def image(waveform: Float[Tensor, "b *c n"]) -> Float[Tensor, "b *c f t"]:
    """The spectrogram that clips are compared by."""
    return log_magnitude(waveform, MEASURE)


RESOLUTIONS = ((512, 128), (1024, 256), (2048, 512))
LOG_FLOOR = 1e-4
"""-80 dB re full scale, added before the logarithm: fainter things hardly count, yet silence has a gradient that leads out
of it (with a clamp it has none, and an optimiser that comes there stays)."""
QUIETEST = 1e-3
"""The norm of a spectrogram below which differences are no longer relative to it: relative to silence all are infinite."""


def magnitudes(waveform: Float[Tensor, "b *c n"]) -> tuple[Float[Tensor, "b *c _ _"], ...]:
    """What `multi_resolution_stft` compares: magnitudes at three resolutions."""
    return tuple(magnitude(waveform, *each) for each in RESOLUTIONS)


def multi_resolution_stft(
    wanted: Sequence[Float[Tensor, "b *c _ _"]], found: Sequence[Float[Tensor, "b *c _ _"]]
) -> Float[Tensor, " b"]:
    """Spectral convergence plus mean absolute log-magnitude difference (nats), mean over three resolutions (Yamamoto, Song
    & Kim 2020, equations 3-6, on 512/128, 1024/256 and 2048/512 with Hann windows, and with our floor). Takes `magnitudes`.

    Convergence is relative to the target's norm; a target fainter than QUIETEST counts as that loud.
    """
    total = wanted[0].new_zeros(len(wanted[0]))
    for want, have in zip(wanted, found, strict=True):
        convergence = _norm(have - want) / _norm(want).clamp_min(QUIETEST)
        logarithms = (have + LOG_FLOOR).log() - (want + LOG_FLOOR).log()
        total = total + convergence + logarithms.abs().flatten(1).mean(1)
    return total / len(wanted)


def _norm(spectrogram: Float[Tensor, "b *c f t"]) -> Float[Tensor, " b"]:
    """Frobenius norm; its gradient at zero is zero, not NaN."""
    return (spectrogram.square().flatten(1).sum(1) + 1e-12).sqrt()


MEL_SCALES = ((0.016, 20), (0.032, 40), (0.064, 80))
"""Seconds of a window, and its number of mel bands: few for a short one, which shows formants and no pitch."""
AUDIBLE = 1e-3
"""60 dB below the clip's loudest band: what lies deeper hardly counts, so that a recording's noise does not either."""


def mels(waveform: Float[Tensor, "b *c n"], sample_rate: int) -> tuple[Float[Tensor, "b *c _ _"], ...]:
    """What `multi_scale_mel` compares: magnitudes in mel bands at three resolutions, windows of the power of two of samples
    that is nearest to MEL_SCALES at `sample_rate` (Hz), four to a window."""
    sizes = [(2 ** round(math.log2(seconds * sample_rate)), bands) for seconds, bands in MEL_SCALES]
    return tuple(mel_magnitude(waveform, n_fft, n_fft // 4, bands, sample_rate) for n_fft, bands in sizes)


def multi_scale_mel(
    wanted: Sequence[Float[Tensor, "b *c _ _"]], found: Sequence[Float[Tensor, "b *c _ _"]]
) -> Float[Tensor, " b"]:
    """Mean absolute difference of log mel magnitudes (nats), mean over three resolutions (Kumar, Seetharaman, Luebs, Kumar &
    Kumar 2023, section 3.4, with fewer scales, and a floor that follows the clip). Takes `mels`.

    To both AUDIBLE of the target's loudest band is added before the logarithm, so that silence has a gradient; a target
    fainter than LOG_FLOOR counts as that loud.
    """
    total = wanted[0].new_zeros(len(wanted[0]))
    for want, have in zip(wanted, found, strict=True):
        loudest = want.flatten(1).amax(1).clamp_min(LOG_FLOOR)
        floor = AUDIBLE * loudest.view(-1, *[1] * (want.ndim - 1))
        total = total + ((have + floor).log() - (want + floor).log()).abs().flatten(1).mean(1)
    return total / len(wanted)


Views = tuple[Tensor, ...]


@dataclass(frozen=True)
class SpectralLoss:
    """A distance of spectra that trainings and inversion minimise. view: what it looks at, of waveforms [b, *c, n] of full
    scale ±1 and their sample rate (Hz); rows come first. compare: what is wanted and what was found → one number per clip."""

    view: Callable[[Float[Tensor, "b *c n"], int], Views]
    compare: Callable[[Views, Views], Float[Tensor, " b"]]


def _of_image(waveform: Float[Tensor, "b *c n"], sample_rate: int) -> Views:
    return (image(waveform),)


def _absolute(wanted: Views, found: Views) -> Float[Tensor, " b"]:
    return (found[0] - wanted[0]).abs().flatten(1).mean(1)


def _squared(wanted: Views, found: Views) -> Float[Tensor, " b"]:
    return (found[0] - wanted[0]).square().flatten(1).mean(1)


SPECTRAL_LOSSES = {
    "log_magnitude": SpectralLoss(_of_image, _absolute),
    "log_magnitude_squared": SpectralLoss(_of_image, _squared),
    "multi_resolution_stft": SpectralLoss(lambda waveform, sample_rate: magnitudes(waveform), multi_resolution_stft),
    "multi_scale_mel": SpectralLoss(mels, multi_scale_mel),
}
"""By the names that weights have in `infer` and `train`."""


def spectrogram_ssim(
    a: Float[Tensor, "b *c n"], b: Float[Tensor, "b *c n"], front_end: FrontEnd = MEASURE
) -> Float[Tensor, " b"]:
    """SSIM of log-magnitude spectrograms, data range 2."""
    return image_ssim(log_magnitude(a, front_end), log_magnitude(b, front_end))


def image_ssim(a: Float[Tensor, "b *c f t"], b: Float[Tensor, "b *c f t"]) -> Float[Tensor, " b"]:
    """SSIM of spectrograms scaled to [-1, 1]."""
    return ssim(a, b, data_range=2.0)
