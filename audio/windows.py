"""Which stretches of a recording become clips."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import numpy as np

from invertone.audio.clip import Samples

WINDOWS = ("first", "random", "all")
HELD_SAMPLES = 1 << 22
"""A longer recording is not held in memory: 4.4 minutes, 8 MB."""


def starts(samples: int, window: str, hop: int, seed: int, key: str, length: int, shortest: int = 1) -> list[int]:
    """First samples of the windows of a recording of `samples` samples.

    first: [0]. random: one place, decided by `seed` and `key` alone. all: every `hop` samples until the end is covered,
    the last window zero-padded if it is short: 1 + ceil((samples - length) / hop) windows, less what would begin beyond the
    end (a hop longer than a window leaves gaps), and less a last one that holds fewer than `shortest` samples.
    """
    if window == "first" or samples <= length:
        return [0]
    if window == "random":
        return [uniform_hash(f"{seed}\0{key}") % (samples - length + 1)]
    if window == "all":
        found = list(range(0, min(samples, samples - length + hop), hop))
        return found[:-1] if len(found) > 1 and samples - found[-1] < shortest else found
    raise AssertionError(window)


def cut(
    read: Callable[[], Iterator[Samples]], window: str, hop: int, seed: int, key: str, length: int, shortest: int = 1
) -> Iterator[tuple[int, Samples]]:
    """The windows of a recording as `starts` places them: first sample and int16 [up to `length`, …], in their order.

    read: begins a pass over the recording, in blocks. Memory does not grow with the recording, for which `random` reads a
    long one twice. Every pass is read to its end; where that raises, nothing of what came before may be used.
    """
    if window == "all":
        yield from _cut_all(read(), hop, length, shortest)
        return
    head, whole, samples = list[Samples](), True, 0
    for block in read():
        samples += len(block)
        if whole:
            head.append(block)
            whole = samples <= HELD_SAMPLES
    (start,) = starts(samples, window, hop, seed, key, length)
    if whole or start + length <= sum(map(len, head)):
        held = head[0] if len(head) == 1 else np.concatenate(head)
        yield start, held[start : start + length]
        return
    at, found = 0, list[Samples]()
    for block in read():
        found.append(block[max(0, start - at) : max(0, start + length - at)])
        at += len(block)
    yield start, np.concatenate(found)


def _cut_all(blocks: Iterator[Samples], hop: int, length: int, shortest: int) -> Iterator[tuple[int, Samples]]:
    held, begins, start, samples = np.zeros(0, np.int16), 0, 0, 0
    for block in blocks:
        held, samples = np.concatenate([held, block]) if len(held) else block, samples + len(block)
        while start + length <= samples:
            yield start, held[start - begins : start - begins + length]
            start += hop
        gone = min(start, samples) - begins
        held, begins = held[gone:], begins + gone
    if start in starts(samples, "all", hop, 0, "", length, shortest)[-1:]:
        yield start, held[start - begins :]


def loudest(samples: Samples, length: int) -> int:
    """First sample of the `length` samples with the most energy, of all channels; the first of equals, 0 for a shorter
    recording."""
    if len(samples) <= length:
        return 0
    energy = np.square(samples.astype(np.int64)).reshape(len(samples), -1).sum(1)
    total = np.concatenate([[0], np.cumsum(energy)])
    return int(np.argmax(total[length:] - total[:-length]))


def uniform_hash(text: str) -> int:
    """A 64-bit number that depends on `text` alone, on every machine and Python."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
