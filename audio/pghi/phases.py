"""Phases from magnitudes by phase gradient heap integration (PGHI): waveforms from spectrograms, at once and without torch.

After Průša, Balazs & Søndergaard 2017, "A Noniterative Method for Reconstruction of Phase From STFT Magnitude". For a
Gaussian window the phase's gradient follows from the logarithm of the magnitude, and Hann's and Hamming's windows are near
enough to the Gaussians of their γ. The gradient is integrated from the loudest bin outwards (Algorithm 1 there).

All spectrograms are those of `audio.front_end`: periodic window (Hann's unless named), frames centred at multiples of the hop,
n // hop of them, zeros outside, a full-scale sine reads 1. A clip's result depends on its own numbers and its own seed, to the
bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Complex, Float

from invertone.audio.pghi.workspace import Array, Plan, Workspace, plan_for

TOLERANCE = 10.0
"""Nats below the loudest bin where integration ends and phases are random: e^-10, as in TiFGAN."""
DEPTH = 30.0
"""Nats below the loudest bin that count as nothing."""
LOUDEST = 0.1
"""What `invert` takes for the loudest bin where the level is not known: usual for speech."""


def reconstruct(
    magnitude: Float[np.ndarray, "b f t"],
    seeds: Sequence[int],
    n_fft: int = 512,
    hop_length: int = 128,
    tolerance: float = TOLERANCE,
    gamma: float | None = None,
    threads: int = 1,
    window: str = "hann",
) -> Float[np.ndarray, "b n"]:
    """Magnitudes of `front_end.magnitude` → waveforms float32 of hop_length · t samples, at their own level.

    f: n_fft // 2 + 1 rows, or one less: then the Nyquist row is zero. seeds: one integer per clip, for the phases of bins
    more than `tolerance` nats below the clip's loudest. gamma: of the analysis window, squared samples (by default that of
    `window`). ValueError: values that are negative or not finite, shapes that do not fit.
    """
    plan = plan_for(magnitude.shape, n_fft, hop_length, gamma, window)
    _check(magnitude, seeds, tolerance, (magnitude >= 0) & np.isfinite(magnitude))
    out = np.zeros((len(magnitude), plan.samples), np.float32)

    def one(clip: int, space: Workspace) -> None:
        logarithm, loudest = _logarithm(magnitude[clip])
        if loudest > 0:
            space.integrate(logarithm, 0.0, -DEPTH, -min(tolerance, DEPTH), seeds[clip])
            space.synthesise(-DEPTH, loudest, out[clip])

    _each(one, len(magnitude), plan, threads)
    return out


def invert(
    log_magnitude: Float[np.ndarray, "b f t"],
    seeds: Sequence[int],
    n_fft: int = 512,
    hop_length: int = 128,
    dynamic_range: float = 10.0,
    loudest: Sequence[float] | Float[np.ndarray, " b"] | None = None,
    threads: int = 1,
    window: str = "hann",
) -> Float[np.ndarray, "b n"]:
    """What `front_end.log_magnitude` made of waveforms (relative to the clip, no mel bands) → waveforms float32.

    loudest: for each clip the magnitude that 1 stands for, `magnitude(waveform)[:, :-1].amax()`; the spectrogram itself does
    not tell. A given level is kept, also where samples come to exceed ±1. Without it the 1 stands for LOUDEST, and a clip
    that would exceed full scale is scaled down as a whole.
    Bins at the floor, -1 or below, become zeros: all -1 gives silence. (The floor's own value at random phases would be further
    from the clip: 1-2 % in log-magnitude, up to 7 % in multi-resolution STFT distance.) Values above 1 are louder than the
    reference.
    dynamic_range: nats between -1 and 1, the front end's `nats`. ValueError: values that are not finite, shapes that do not
    fit.
    """
    plan = plan_for(log_magnitude.shape, n_fft, hop_length, window=window)
    _check(log_magnitude, seeds, dynamic_range, np.isfinite(log_magnitude))
    levels = np.full(len(log_magnitude), LOUDEST) if loudest is None else np.asarray(loudest, np.float64)
    if levels.shape != (len(log_magnitude),) or not (np.isfinite(levels) & (levels >= 0)).all():
        raise ValueError(f"loudest: one finite number >= 0 per clip, {len(log_magnitude)} of them")
    out = np.zeros((len(log_magnitude), plan.samples), np.float32)

    def one(clip: int, space: Workspace) -> None:
        top = float(log_magnitude[clip].max())
        if top <= -1:
            return
        nats = dynamic_range / 2
        floor = max(-(top + 1) * nats, -DEPTH)
        logarithm = np.ascontiguousarray(log_magnitude[clip], np.float32) * np.float32(nats)
        space.integrate(logarithm, top * nats, floor, floor, seeds[clip])
        space.synthesise(floor, float(levels[clip]) * np.exp((top - 1) * nats), out[clip])
        peak = max(float(out[clip].max()), -float(out[clip].min()))
        if loudest is None and peak > 1:
            out[clip] /= peak

    _each(one, len(log_magnitude), plan, threads)
    return out


def recover_phase(
    magnitude: Float[np.ndarray, "b f t"],
    seeds: Sequence[int],
    n_fft: int = 512,
    hop_length: int = 128,
    tolerance: float = TOLERANCE,
    gamma: float | None = None,
    threads: int = 1,
    window: str = "hann",
) -> Float[np.ndarray, "b f t"]:
    """As `reconstruct`, but gives the phases: float32 radians in [-π, π], as `torch.stft` counts them."""
    plan = plan_for(magnitude.shape, n_fft, hop_length, gamma, window)
    _check(magnitude, seeds, tolerance, (magnitude >= 0) & np.isfinite(magnitude))
    out = np.zeros(magnitude.shape, np.float32)
    half_turns = (np.arange(magnitude.shape[1]) % 2 * 2**31).astype(np.uint32).view(np.int32)[:, None]

    def one(clip: int, space: Workspace) -> None:
        logarithm, _ = _logarithm(magnitude[clip])
        space.integrate(logarithm, 0.0, -DEPTH, -min(tolerance, DEPTH), seeds[clip])
        found = space.phase.reshape(space.grid.shape)[1:-1, 1 : magnitude.shape[1] + 1].T
        out[clip] = (found + half_turns) * np.float32(2 * np.pi / 2**32)

    _each(one, len(magnitude), plan, threads)
    return out


def inverse_stft(
    spectrum: Complex[np.ndarray, "b f t"], n_fft: int = 512, hop_length: int = 128
) -> Float[np.ndarray, "b n"]:
    """The first n // hop_length frames of `torch.stft(center=True, pad_mode="constant")` with a periodic Hann window →
    waveforms float32, exactly hop_length · t samples. ValueError: shapes that do not fit.

    By the dual window of the frames there are, so that the last half frame, which fewer of them cover, is exact as well
    (least squares, Griffin & Lim 1984, equation 6).
    """
    plan = plan_for(spectrum.shape, n_fft, hop_length)
    out = np.zeros((len(spectrum), plan.samples), np.float32)
    space = Workspace(plan)
    space.spectrum[:] = 0
    for clip in range(len(spectrum)):
        space.spectrum[:, : spectrum.shape[1]] = spectrum[clip].T
        space.overlap_add(4.0 / n_fft, out[clip])
    return out


def _each(one: Callable[[int, Workspace], None], clips: int, plan: Plan, threads: int) -> None:
    """Every clip once; thread i takes clips i, i + threads, … with a workspace of its own."""
    threads = max(1, min(threads, clips))

    def share(first: int) -> None:
        space = Workspace(plan)
        for clip in range(first, clips, threads):
            one(clip, space)

    if threads == 1:
        share(0)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(share, range(threads)))


def _logarithm(magnitude: Array) -> tuple[Array, float]:
    """One clip's logarithms [f, t] float32 relative to its loudest bin, and that bin's magnitude."""
    loudest = float(magnitude.max())
    with np.errstate(divide="ignore"):
        return np.log(np.ascontiguousarray(magnitude / (loudest or 1.0), np.float32)), loudest


def _check(spectrogram: Array, seeds: Sequence[int], nats: float, good: Array) -> None:
    if len(seeds) != len(spectrogram):
        raise ValueError(f"{len(seeds)} seeds for {len(spectrogram)} clips")
    if not 0 < nats < np.inf:
        raise ValueError(f"{nats} nats of range: must be above 0")
    if not good.all():
        clip = int(np.argmin(good.reshape(len(good), -1).all(axis=1)))
        raise ValueError(f"clip {clip} of the batch has values that are not finite, or negative magnitudes")
