"""The compiled loops of `audio.pghi.phases`: one clip at a time, without the interpreter's lock, in memory given by the caller.

The grid is time-major and has a border of one bin: bin m of frame n lies at `(n + 1) * width + m + 1`, width = rows + 2. So
a neighbour is one addition away and no step asks whether it leaves the picture: the border's keys say "not to be visited".

Phases are 32-bit integers in units of 2^-32 turns. Sums wrap round as angles do, so thousands of steps add no rounding
error. Loops run over slices and casts stand wherever a sum would widen, so that the compiler vectorises all but the queue.
"""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np

from invertone.images.compiling import compiled

STEP = 0.1
"""Nats (0.9 dB) that one bucket of the queue is wide. Finer ones cost time and bring nothing: from 0.02 to 0.25 the spectral
convergence on speech and notes stays within 0.3 dB of the exact order's, on either side."""


def _sine_coefficients() -> list[np.float32]:
    """sin(π/2 · t) = t · (s1 + s3 t² + …) on [-1, 1]: least squares at Chebyshev's points, nearly minimax."""
    at = np.cos(np.pi * (np.arange(64) + 0.5) / 64)
    fitted = np.linalg.lstsq(at[:, None] ** np.arange(1, 10, 2), np.sin(np.pi / 2 * at), rcond=None)[0]
    return [np.float32(each) for each in fitted]


S1, S3, S5, S7, S9 = _sine_coefficients()
E0, E1, E2, E3, E4, E5, E6 = (np.float32(1 / math.factorial(n)) for n in range(7))
LOG2_E, LN_2, HALF = np.float32(math.log2(math.e)), np.float32(math.log(2)), np.float32(0.5)
ZERO, QUARTER_TURN, TO_QUARTERS, TO_FOURTHS = (
    np.float32(0),
    np.int32(1 << 30),
    np.float32(2.0**-30),
    np.float32(2.0**30),
)


@compiled()
@no_type_check
def fill(logarithm, loudest, floor, grid):
    """log |c| [f, t] → `grid` [t + 2, rows + 2], relative to `loudest`, nothing below `floor` (where an unknown Nyquist row
    lies). The border makes central differences at the edges right: frequency is even about 0 and about Nyquist, as the
    spectrum of a real signal is; time goes on along its last slope."""
    rows, frames = logarithm.shape
    width = grid.shape[1]
    flat, start = grid.ravel(), np.uint64(width + 1)
    for m in range(rows):
        row = logarithm[m]
        for n in range(frames):
            value = row[n] - loudest
            flat[start + np.uint64(n) * np.uint64(width) + np.uint64(m)] = value if value > floor else floor
    for n in range(1, frames + 1):
        grid[n, rows + 1 :] = floor
        grid[n, 0] = grid[n, 2]
        grid[n, width - 1] = grid[n, width - 3]
    other = min(2, frames)
    for p in range(width):
        grid[0, p] = 2 * grid[1, p] - grid[other, p]
        grid[frames + 1, p] = 2 * grid[frames, p] - grid[frames + 1 - other, p]


@compiled(inline="always")
@no_type_check
def wrapped(turns):
    """Turns → units of 2^-32 turns, whole turns left out. As exact as float32: 4e-7 radians."""
    return np.int32(np.int32((turns - np.float32(np.int32(turns))) * TO_FOURTHS) << 2)


@compiled()
@no_type_check
def gradients(grid, linear, per_time, per_frequency, half_time, half_frequency):
    """Half of the phase's step to the next frame and to the next bin, in 2^-32 turns, from central differences.

    Half, because the trapezoidal rule adds the halves of both ends. linear [rows]: what a frame adds to bin m anyway.
    per_time, per_frequency: turns per nat of difference.
    """
    frames, width = grid.shape[0] - 2, grid.shape[1]
    for n in range(1, frames + 1):
        lower, upper = grid[n, :-2], grid[n, 2:]
        before, after = grid[n - 1, 1:-1], grid[n + 1, 1:-1]
        time, frequency = half_time[n * width + 1 :], half_frequency[n * width + 1 :]
        for m in range(width - 2):
            along = per_time * (upper[m] - lower[m])
            across = per_frequency * (after[m] - before[m])
            time[m] = np.int32(wrapped(along) + linear[m])
            frequency[m] = wrapped(across)


@compiled()
@no_type_check
def quantise(grid, tolerance, per_nat, keys):
    """The bins' buckets: 0 for what is not to be visited (the border, and what is no louder than `tolerance`)."""
    keys[:] = 0
    width = grid.shape[1]
    for n in range(1, grid.shape[0] - 1):
        row, key = grid[n, 1:-1], keys[n * width + 1 :]
        for m in range(width - 2):
            above = row[m] - tolerance
            key[m] = np.int16(np.int32(above * per_nat) + 1) if above > 0 else 0


@compiled()
@no_type_check
def summits(keys, width, levels, found, order):
    """Where integration may have to begin, loudest first: bins that no neighbour exceeds. Returns how many.

    The loudest bin of an island is one of these, so there is no need to sort all bins. (Counting sort.)
    """
    count = np.zeros(levels + 1, np.int32)
    here, left, right = keys[width:-width], keys[width - 1 : -width - 1], keys[width + 1 : keys.size - width + 1]
    before, after = keys[: -2 * width], keys[2 * width :]
    highest = found[: here.size]
    for p in range(here.size):
        k = here[p]
        highest[p] = (k > 0) & (k >= left[p]) & (k >= right[p]) & (k >= before[p]) & (k >= after[p])
    for p in range(here.size):
        if highest[p]:
            count[levels - here[p]] += 1
    total = 0
    for k in range(levels):
        own = count[k]
        count[k] = total
        total += own
    for p in range(here.size):
        if highest[p]:
            k = levels - here[p]
            order[count[k]] = p + width
            count[k] += 1
    return total


@compiled()
@no_type_check
def scatter(seed, phase):
    """Random phases for the bins that integration will not reach; each depends on the seed and its place alone.

    Two multiplications and shifts (the finishing mix of MurmurHash3, Appleby 2011) of a Weyl sequence.
    """
    base = np.uint32(seed)
    for p in range(phase.size):
        x = np.uint32(np.uint32(p) * np.uint32(0x9E3779B9) + base)
        x = np.uint32((x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B))
        x = np.uint32((x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35))
        phase[p] = np.int32(x ^ (x >> np.uint32(16)))


@compiled()
@no_type_check
def integrate(keys, width, half_time, half_frequency, starts, head, following, phase):
    """Algorithm 1 of the paper: from the loudest bin outwards, always on from the loudest bin reached so far.

    The heap is a queue of buckets: `head[k]` is the last bin put into bucket k, `following` chains to the one before. Keys of
    visited bins become 0. Unsigned indexes spare the test for negative ones; each of the four steps is written out, because
    their predictability is what the loop's speed hangs on.
    """
    head[:] = -1
    row, one = np.uint64(width), np.uint64(1)
    for start in starts:
        top = np.uint64(np.uint16(keys[start]))
        if top == 0:
            continue
        phase[start], keys[start], following[start], head[top] = 0, 0, -1, start
        while top > 0:
            if head[top] < 0:
                top -= one
                continue
            p = np.uint64(head[top])
            head[top] = following[p]
            here, time, frequency = phase[p], half_time[p], half_frequency[p]
            q = p + row
            k = np.uint64(np.uint16(keys[q]))
            if k > 0:
                phase[q], keys[q], following[q], head[k] = here + time + half_time[q], 0, head[k], np.int32(q)
                top = max(top, k)
            q = p - row
            k = np.uint64(np.uint16(keys[q]))
            if k > 0:
                phase[q], keys[q], following[q], head[k] = here - time - half_time[q], 0, head[k], np.int32(q)
                top = max(top, k)
            q = p + one
            k = np.uint64(np.uint16(keys[q]))
            if k > 0:
                phase[q], keys[q], following[q], head[k] = here + frequency + half_frequency[q], 0, head[k], np.int32(q)
                top = max(top, k)
            q = p - one
            k = np.uint64(np.uint16(keys[q]))
            if k > 0:
                phase[q], keys[q], following[q], head[k] = here - frequency - half_frequency[q], 0, head[k], np.int32(q)
                top = max(top, k)


@compiled(inline="always")
@no_type_check
def sine(angle):
    """sin of 2^-32 turns, within 2e-7: folded to a quarter turn, then a polynomial, without branches or libm."""
    beyond = np.int32(
        np.int32(angle ^ np.int32(angle << 1)) >> 31
    )  # all ones beyond a quarter turn: sin x = sin(π - x)
    folded = np.int32(np.int32(np.int32(angle ^ beyond) - beyond) + np.int32(beyond << 31))
    x = np.float32(folded) * TO_QUARTERS
    y = x * x
    return x * (S1 + y * (S3 + y * (S5 + y * (S7 + y * S9))))


@compiled(inline="always")
@no_type_check
def exponential(x):
    """e^x for -80 < x <= 0, within 4e-6 relative: a power of two written into the exponent's bits, times Taylor's series."""
    y = x * LOG2_E
    whole = np.int32(y - HALF)
    f = (y - np.float32(whole)) * LN_2
    power = np.int32((whole + np.int32(127)) << 23).view(np.float32)
    return power * (E0 + f * (E1 + f * (E2 + f * (E3 + f * (E4 + f * (E5 + f * E6))))))


@compiled()
@no_type_check
def assemble(grid, phase, floor, spectrum):
    """e^(log magnitude + iφ) → float32 [t, 2 · rows], real and imaginary parts in turn; what lies at the floor is 0.

    Odd bins turn by half: integrated phases refer to the middle of a frame, a transform's to its first sample.
    """
    frames, width = grid.shape[0] - 2, grid.shape[1]
    for n in range(frames):
        level, angles, out = grid[n + 1, 1:-1], phase[(n + 1) * width + 1 :], spectrum[n]
        for m in range(width - 2):
            size = exponential(level[m]) if level[m] > floor else ZERO
            angle = np.int32(angles[m] + np.int32(m << 31))
            out[2 * m] = size * sine(np.int32(angle + QUARTER_TURN))
            out[2 * m + 1] = size * sine(angle)


@compiled()
@no_type_check
def overlap_add(frames, window, hop, inverse, level, buffer, out):
    """Windowed frames [t, n_fft], hop apart, summed, times `inverse` and `level`; the half frame before the clip is cut."""
    n_fft = frames.shape[1]
    buffer[:] = 0
    for n in range(frames.shape[0]):
        frame, to = frames[n], buffer[n * hop : n * hop + n_fft]
        for j in range(n_fft):
            to[j] += frame[j] * window[j]
    kept = buffer[n_fft // 2 :]
    for j in range(out.size):
        out[j] = kept[j] * inverse[j] * level
