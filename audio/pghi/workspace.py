"""One clip's way through PGHI: what clips of one shape share, and the memory a thread works in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.fft

from invertone.audio.pghi import kernels

GAMMAS = {"hann": 0.25645, "hamming": 0.29794}
"""γ of the Gaussian that comes nearest to a window, in squares of the window's length (the authors' constants; on speech and
on notes Hann's is also what gives the best spectral convergence, within 2 %)."""
HANN_GAMMA = GAMMAS["hann"]
MEANS = {"hann": 0.5, "hamming": 0.54}
"""Of the periodic windows a - (1 - a) cos: their a. Those of `audio.front_end`, which this room does not load: torch."""

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Plan:
    """What clips of one shape share. window [n_fft], inverse [n]: its overlapped squares' inverse times half the window's sum.

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
def _planned(n_fft: int, hop_length: int, frames: int, gamma: float, name: str) -> Plan:
    mean = MEANS[name]
    window = mean - (1 - mean) * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    overlapped = np.zeros(frames * hop_length + n_fft)
    for frame in range(frames):
        overlapped[frame * hop_length : frame * hop_length + n_fft] += window**2
    covered = overlapped[n_fft // 2 :][: frames * hop_length]
    # With hops of half a window the very last samples are hardly covered: what little there is is not blown up.
    inverse = n_fft * mean / 2 / np.maximum(covered, 1e-3)
    linear = [(m * hop_length * 2**31 // n_fft) % 2**32 for m in range(n_fft // 2 + 1)]
    # Turns per nat of a central difference (two bins apart), halved for the trapezoidal rule: 2π · 2 · 2.
    slope = hop_length * n_fft / gamma
    return Plan(
        n_fft,
        hop_length,
        frames,
        np.float32(slope / (8 * np.pi)),
        np.float32(-1 / slope / (8 * np.pi)),
        window.astype(np.float32),
        inverse.astype(np.float32),
        np.array(linear, np.uint32).view(np.int32),
    )


def plan_for(
    shape: tuple[int, ...], n_fft: int, hop_length: int, gamma: float | None = None, window: str = "hann"
) -> Plan:
    """For spectrograms [b, f, t]. gamma: squared samples, the window's by default. ValueError: what does not fit."""
    rows, frames = shape[-2:]
    if n_fft < 4 or n_fft % 2 or not 1 <= hop_length <= n_fft // 2:
        raise ValueError(f"n_fft {n_fft}, hop_length {hop_length}: need an even window and at least two frames in it")
    if rows not in (n_fft // 2, n_fft // 2 + 1) or frames == 0:
        raise ValueError(f"{rows} rows and {frames} frames: n_fft {n_fft} has {n_fft // 2 + 1} rows, or one less")
    if gamma is not None and not 0 < gamma < np.inf:
        raise ValueError(f"gamma {gamma}: must be above 0")
    if window not in GAMMAS:
        raise ValueError(f"window {window!r}: one of {', '.join(GAMMAS)}")
    return _planned(n_fft, hop_length, frames, GAMMAS[window] * n_fft**2 if gamma is None else gamma, window)


class Workspace:
    """One thread's memory, used again for every clip."""

    def __init__(self, plan: Plan) -> None:
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
