"""Windows of a recording put together again: weighted overlap-add, its weights summing to one wherever a window lies.

Each window fades in and out by a curve that is nowhere zero, and each sample is divided by the sum of the weights that it got:
with the square of a sine window the least-squares estimate of a signal from overlapping pieces of it (Griffin & Lim 1984,
equation 6). So windows that agree give back what they were cut from, whatever the hop, at the ends, and beside a window that
is missing.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
from jaxtyping import Float64

from invertone.audio.clip import Samples

SQUARED, LINEAR = FADES = ("squared", "linear")
"""The square of a sine window (Hann's), or a triangle."""
SILENCE = 1 << 16
"""As many samples of a gap are given out at once."""


@functools.lru_cache(4)
def weights(fade: str, length: int) -> Float64[np.ndarray, " n"]:
    """How much each of a window's `length` samples weighs: symmetric, positive, largest in the middle."""
    at = (np.arange(length) + 0.5) / length
    found = np.sin(np.pi * at) ** 2 if fade == SQUARED else 1 - np.abs(2 * at - 1)
    found.setflags(write=False)
    return found


def overlapped(
    windows: Iterable[tuple[int, Samples]], samples: int, begin: int = 0, fade: str = SQUARED, channels: int = 1
) -> Iterator[Samples]:
    """Sound from sample `begin` to `samples`, in blocks int16 [n], one after the other; silence where no window lies. Of two
    `channels` windows and blocks are [n, 2], and each channel is what it would be alone.

    windows: first sample of each, and what it holds, in the order of time. What of them lies outside is cut off. Memory holds a
    window's length, however long the recording. Raises ValueError where they are out of order.
    """
    each = (channels,) if channels > 1 else ()
    total, weight = np.zeros((0, *each)), np.zeros(0)
    at, last = begin, begin
    for start, window in windows:
        if start < last:
            raise ValueError(f"the window at {start} comes after the one at {last}")
        last = start
        done = min(start, samples) - at
        yield from _settled(total[:done], weight[:done], done)
        total, weight, at = total[done:], weight[done:], at + done
        kept = window[: max(0, samples - start)]
        if len(kept) > len(total):
            more = len(kept) - len(total)
            total = np.concatenate([total, np.zeros((more, *each))])
            weight = np.concatenate([weight, np.zeros(more)])
        own = weights(fade, len(window))[: len(kept)]
        total[: len(kept)] += (own * kept.T).T
        weight[: len(kept)] += own
    yield from _settled(total, weight, samples - at)


def _settled(total: Float64[np.ndarray, "n ..."], weight: Float64[np.ndarray, " n"], samples: int) -> Iterator[Samples]:
    """`samples` samples of which no window will say more: what was added up, then silence."""
    if len(total):
        channels = total.T
        mean: npt.NDArray[np.float64] = np.divide(channels, weight, out=np.zeros(channels.shape), where=weight > 0)
        yield np.rint(mean).astype(np.int16).T  # a mean of 16-bit samples is one: nothing to clip
    for first in range(len(total), samples, SILENCE):
        yield np.zeros((min(SILENCE, samples - first), *total.shape[1:]), np.int16)
