"""Random choices about clips that their keys and the seed decide: how often one counts in a bootstrap replicate, which group
it is in, whether it is in a sample. Neither order, nor units, nor what else there is matters.

A counter-based generator, for all clips at once: a clip's stream is that of SplitMix64 (Steele, Lea & Flood 2014, "Fast
splittable pseudorandom number generators") from a state that its key's digest, the seed and the purpose give.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64, Int, UInt64
from numpy.typing import NDArray

Array = np.ndarray
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)), (np.uint64(27), np.uint64(0x94D049BB133111EB))
_LAST = np.uint64(31)
_DRAWS = 4
"""Of 16 bits in a word of 64."""


def _poisson() -> NDArray[np.uint8]:
    """Poisson(1) by inversion, of a uniform draw of 16 bits: each probability to 2^-17."""
    ends = np.cumsum([math.exp(-1) / math.factorial(number) for number in range(12)])
    return np.searchsorted(np.round(ends * 2**16), np.arange(2**16), side="right").astype(np.uint8)


_POISSON = _poisson()


def key_digests(keys: Sequence[str]) -> UInt64[Array, " b"]:
    """What stands for the keys in every choice, 64 bits each (BLAKE2b)."""
    digests = b"".join([hashlib.blake2b(key.encode(), digest_size=8).digest() for key in keys])
    return np.frombuffer(digests, "<u8").astype(np.uint64, copy=False)


def clip_counts(digests: UInt64[Array, " b"], seed: int, replicates: int) -> Float64[Array, "b r"]:
    """How often each clip counts in each replicate, a Poisson(1) draw; replicate 0 counts every clip once."""
    words = _words(digests, seed, "bootstrap", -(-replicates // _DRAWS))
    draws = words.astype("<u8", copy=False).view("<u2")[:, :replicates]
    counts = np.ones((len(digests), replicates + 1))
    counts[:, 1:] = _POISSON[draws]
    return counts


def clip_groups(digests: UInt64[Array, " b"], seed: int, groups: int) -> Int[Array, " b"]:
    """The group of each clip. Groups are of equal size only in the mean."""
    return (_shares(digests, seed, "group") * groups).astype(np.int64)


def sampled(digests: UInt64[Array, " b"], seed: int, share: float) -> Bool[Array, " b"]:
    """Which clips are in a sample that takes `share` of all, in the mean; all of them from 1 on."""
    return _shares(digests, seed, "sample") < share


def _shares(digests: UInt64[Array, " b"], seed: int, purpose: str) -> Float64[Array, " b"]:
    """A uniform draw of each clip, in [0, 1), of 53 bits."""
    return (_words(digests, seed, purpose, 1)[:, 0] >> np.uint64(11)) * 2.0**-53


def _words(digests: UInt64[Array, " b"], seed: int, purpose: str, number: int) -> UInt64[Array, "b n"]:
    """The first `number` words of each clip's stream."""
    told = hashlib.blake2b(repr((seed, purpose)).encode(), digest_size=8).digest()
    state = _mixed(digests ^ np.uint64(int.from_bytes(told, "little")))
    return _mixed(state[:, None] + np.arange(1, number + 1, dtype=np.uint64) * _GOLDEN)


def _mixed(words: UInt64[Array, "*n"]) -> UInt64[Array, "*n"]:
    """SplitMix64's output function, in place: `words` are the caller's to give away."""
    for shift, factor in _MIX:
        words ^= words >> shift
        words *= factor
    words ^= words >> _LAST
    return words
