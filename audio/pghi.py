"""Phases from magnitudes by phase gradient heap integration (PGHI): waveforms from spectrograms, at once and without torch.

After Průša, Balazs & Søndergaard 2017, "A Noniterative Method for Reconstruction of Phase From STFT Magnitude". For a
Gaussian window the phase's gradient follows from the logarithm of the magnitude (equations 6-9 there); Hann's window is
near enough to the Gaussian of its γ. The gradient is integrated from the loudest bin outwards.

All spectrograms are those of `audio.front_end`: periodic Hann window, frames centred at multiples of the hop, n // hop of
them, zeros outside, a full-scale sine reads 1. A clip's result depends on its own numbers and its own seed, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.fft
from jaxtyping import Complex, Float

from audio import pghi_kernels as kernels

HANN_GAMMA = 0.25645
"""γ of the Gaussian that comes nearest to a Hann window, in squares of the window's length (the authors' constant; on
speech and on notes it is also what gives the best spectral convergence, within 2 %)."""
TOLERANCE = 10.0
"""Nats below the loudest bin where integration ends and phases are random: e^-10, as in TiFGAN."""
DEPTH = 30.0
"""Nats below the loudest bin that count as nothing."""
LOUDEST = 0.1
"""What `invert` takes for the loudest bin where the level is not known: usual for speech."""

Array = np.ndarray[Any, np.dtype[Any]]


def reconstruct(
    magnitude: Float[np.ndarray, "b f t"],
    seeds: Sequence[int],
    n_fft: int = 512,
    hop_length: int = 128,
    tolerance: float = TOLERANCE,
    gamma: float | None = None,
    threads: int = 1,
) -> Float[np.ndarray, "b n"]:
    """Magnitudes of `front_end.magnitude` → waveforms float32 of hop_length · t samples, at their own level.

    f: n_fft // 2 + 1 rows, or one less: then the Nyquist row is zero. seeds: one integer per clip, for the phases of bins
    more than `tolerance` nats below the clip's loudest. gamma: of the analysis window, squared samples (Hann's by default).
    ValueError: values that are negative or not finite, shapes that do not fit.
    """
    plan = _plan(magnitude, seeds, n_fft, hop_length, gamma)
    _refuse((magnitude >= 0) & np.isfinite(magnitude), "magnitudes must be finite and not negative")
    out = np.zeros((len(magnitude), plan.samples), np.float32)

    def one(clip: int, space: _Workspace) -> None:
        logarithm, loudest = _logarithm(magnitude[clip])
        if loudest > 0:
            space.integrate(logarithm, 0.0, -DEPTH, -tolerance, seeds[clip])
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
) -> Float[np.ndarray, "b n"]:
    """What `front_end.log_magnitude` made of waveforms (relative to the clip, no mel bands) → waveforms float32.

    loudest: for each clip the magnitude that 1 stands for, `magnitude(waveform)[:, :-1].amax()`; the spectrogram itself does
    not tell. A given level is kept, also where samples come to exceed ±1. Without it the 1 stands for LOUDEST, and a clip
    that would exceed full scale is scaled down as a whole.
    Bins at the floor, -1 or below, become zeros: all -1 gives silence. Values above 1 are louder than the reference.
    ValueError: values that are not finite, shapes that do not fit.
    """
    plan = _plan(log_magnitude, seeds, n_fft, hop_length, None)
    _refuse(np.isfinite(log_magnitude), "log-magnitudes must be finite")
    levels = np.full(len(log_magnitude), LOUDEST) if loudest is None else np.asarray(loudest, np.float64)
    if levels.shape != (len(log_magnitude),) or not (np.isfinite(levels) & (levels >= 0)).all():
        raise ValueError(f"loudest: one finite number >= 0 per clip, {len(log_magnitude)} of them")
    out = np.zeros((len(log_magnitude), plan.samples), np.float32)

    def one(clip: int, space: _Workspace) -> None:
        top = float(log_magnitude[clip].max())
        if top <= -1:
            return
        nats = dynamic_range / 2
        floor = -(top + 1) * nats
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
) -> Float[np.ndarray, "b f t"]:
    """As `reconstruct`, but gives the phases: float32 radians in [-π, π], as `torch.stft` counts them."""
    plan = _plan(magnitude, seeds, n_fft, hop_length, gamma)
    _refuse((magnitude >= 0) & np.isfinite(magnitude), "magnitudes must be finite and not negative")
    out = np.zeros(magnitude.shape, np.float32)
    half_turns = (np.arange(magnitude.shape[1]) % 2 * 2**31).astype(np.uint32).view(np.int32)[:, None]

    def one(clip: int, space: _Workspace) -> None:
        logarithm, _ = _logarithm(magnitude[clip])
        space.integrate(logarithm, 0.0, -DEPTH, -tolerance, seeds[clip])
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
    plan = _plan(spectrum, range(len(spectrum)), n_fft, hop_length, None)
    out = np.zeros((len(spectrum), plan.samples), np.float32)
    space = _Workspace(plan)
    space.spectrum[:] = 0
    for clip in range(len(spectrum)):
        space.spectrum[:, : spectrum.shape[1]] = spectrum[clip].T
        space.overlap_add(4.0 / n_fft, out[clip])
    return out


@dataclass(frozen=True)
class _Plan:
    """What clips of one shape share. window [n_fft], inverse [n]: its overlapped squares' inverse times n_fft / 4.

    linear [rows]: half of what a frame adds to the phase of bin m, 2^-32 turns.
    """

    n_fft: int
    hop_length: int
    frames: int
    per_time: np.float32
    per_frequency: np.float32
    window: Array
    inverse: Array
    linear: Array

    @property
    def rows(self) -> int:
        return self.n_fft // 2 + 1

    @property
    def samples(self) -> int:
        return self.frames * self.hop_length


@lru_cache(maxsize=16)
def _planned(n_fft: int, hop_length: int, frames: int, gamma: float) -> _Plan:
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    overlapped = np.zeros(frames * hop_length + n_fft)
    for frame in range(frames):
        overlapped[frame * hop_length : frame * hop_length + n_fft] += window**2
    covered = overlapped[n_fft // 2 :][: frames * hop_length]
    inverse = (
        n_fft / 4 / np.maximum(covered, 1e-3)
    )  # with hops of half a window the very last samples are hardly covered
    linear = [(m * hop_length * 2**31 // n_fft) % 2**32 for m in range(n_fft // 2 + 1)]
    # Turns per nat of a central difference (two bins apart), halved for the trapezoidal rule: 2π · 2 · 2.
    slope = hop_length * n_fft / gamma
    return _Plan(
        n_fft,
        hop_length,
        frames,
        np.float32(slope / (8 * np.pi) * kernels.COARSE),
        np.float32(-1 / slope / (8 * np.pi) * kernels.COARSE),
        window.astype(np.float32),
        inverse.astype(np.float32),
        np.array(linear, np.uint32).view(np.int32),
    )


class _Workspace:
    """One thread's memory, used again for every clip."""

    def __init__(self, plan: _Plan) -> None:
        self.plan = plan
        width, bins = plan.rows + 2, (plan.frames + 2) * (plan.rows + 2)
        self.grid = np.zeros((plan.frames + 2, width), np.float32)
        self.half_time, self.half_frequency, self.phase, self.following, self.order = np.zeros((5, bins), np.int32)
        self.keys, self.found = np.zeros(bins, np.int16), np.zeros(bins, np.bool_)
        self.spectrum = np.zeros((plan.frames, plan.rows), np.complex64)
        self.buffer = np.zeros(plan.samples + plan.n_fft, np.float32)

    def integrate(self, logarithm: Array, loudest: float, floor: float, tolerance: float, seed: int) -> None:
        """Natural logarithms [f, t], the loudest among them → `grid` and `phase`. floor, tolerance: nats, relative to it."""
        plan, width = self.plan, self.grid.shape[1]
        levels = int(-tolerance / kernels.STEP) + 3
        kernels.fill(logarithm, np.float32(loudest), np.float32(floor), self.grid)
        kernels.gradients(
            self.grid, plan.linear, plan.per_time, plan.per_frequency, self.half_time, self.half_frequency
        )
        kernels.quantise(self.grid, np.float32(tolerance), np.float32(1 / kernels.STEP), self.keys)
        kernels.scatter(np.uint32((int(seed) * 0x9E3779B97F4A7C15 % 2**64) >> 32), self.phase)
        total = kernels.summits(self.keys, width, levels, self.found, self.order)
        starts, head = self.order[:total], np.empty(levels, np.int32)
        kernels.integrate(
            self.keys, width, self.half_time, self.half_frequency, starts, head, self.following, self.phase
        )

    def synthesise(self, floor: float, level: float, out: Array) -> None:
        """`grid` and `phase` → `out` [n]; the loudest bin reads `level`."""
        kernels.assemble(self.grid, self.phase, np.float32(floor), self.spectrum.view(np.float32))
        self.overlap_add(level, out)

    def overlap_add(self, level: float, out: Array) -> None:
        plan = self.plan
        frames = scipy.fft.irfft(self.spectrum, plan.n_fft, axis=1)
        kernels.overlap_add(frames, plan.window, plan.hop_length, plan.inverse, np.float32(level), self.buffer, out)


def _each(one: Callable[[int, _Workspace], None], clips: int, plan: _Plan, threads: int) -> None:
    """Every clip once; thread i takes clips i, i + threads, … with a workspace of its own."""

    threads = max(1, min(threads, clips))

    def share(first: int) -> None:
        space = _Workspace(plan)
        for clip in range(first, clips, threads):
            one(clip, space)

    if threads == 1:
        share(0)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(share, range(threads)))


def _plan(spectrogram: Array, seeds: Sequence[int], n_fft: int, hop_length: int, gamma: float | None) -> _Plan:
    rows, frames = spectrogram.shape[1:]
    if n_fft < 4 or n_fft % 2 or not 1 <= hop_length <= n_fft // 2:
        raise ValueError(f"n_fft {n_fft}, hop_length {hop_length}: need an even window and at least two frames in it")
    if rows not in (n_fft // 2, n_fft // 2 + 1) or frames == 0:
        raise ValueError(f"{rows} rows and {frames} frames: n_fft {n_fft} has {n_fft // 2 + 1} rows, or one less")
    if len(seeds) != len(spectrogram):
        raise ValueError(f"{len(seeds)} seeds for {len(spectrogram)} clips")
    return _planned(n_fft, hop_length, frames, HANN_GAMMA * n_fft**2 if gamma is None else gamma)


def _logarithm(magnitude: Array) -> tuple[Array, float]:
    """One clip's logarithms [f, t] float32 relative to its loudest bin, and that bin's magnitude."""
    loudest = float(magnitude.max())
    with np.errstate(divide="ignore"):
        return np.log(np.ascontiguousarray(magnitude / (loudest or 1.0), np.float32)), loudest


def _refuse(good: Array, problem: str) -> None:
    if not good.all():
        clip = int(np.argmin(good.reshape(len(good), -1).all(axis=1)))
        raise ValueError(f"{problem}: clip {clip} of the batch is not")
