"""Which stretches of a recording become clips."""

from __future__ import annotations

import hashlib

from audio.clip import CLIP_SAMPLES

WINDOWS = ("first", "random", "all")


def starts(
    samples: int, window: str, hop: int, seed: int, key: str, length: int = CLIP_SAMPLES, shortest: int = 1
) -> list[int]:
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


def uniform_hash(text: str) -> int:
    """A 64-bit number that depends on `text` alone, on every machine and Python."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
