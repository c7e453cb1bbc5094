"""Draws are Poisson(1), uniform, of nobody but key and seed, and have nothing to do with each other."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
import scipy.stats

from invertone.eval.measures.draws import clip_counts, clip_groups, key_digests, sampled

NUMBER, REPLICATES = 4_000, 500
KEYS = key_digests([f"train/{number:06d}" for number in range(NUMBER)])
COUNTS = clip_counts(KEYS, 0, REPLICATES)[:, 1:]


def test_draws_follow_key_and_seed_and_nothing_else() -> None:
    counts = clip_counts(KEYS[:5], 7, 10)
    assert (counts[:, 0] == 1).all()
    assert (clip_counts(KEYS[3:5], 7, 10) == counts[3:]).all() and (clip_counts(KEYS[:5], 8, 10) != counts).any()
    assert (clip_counts(KEYS[:5], 7, 200)[:, :11] == counts).all(), "further replicates changed the first"
    groups = clip_groups(KEYS[:400], 7, 10)
    assert (clip_groups(KEYS[100:400], 7, 10) == groups[100:]).all() and (
        clip_groups(KEYS[:400], 8, 10) != groups
    ).any()
    assert clip_counts(KEYS[:3], 0, 0).shape == (3, 1) and clip_counts(KEYS[:0], 0, 3).shape == (0, 4)


def test_the_generator_is_splitmix64_of_the_key_s_digest() -> None:
    """Written out once more in Python's integers."""

    def mixed(word: int) -> int:
        word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) % 2**64
        return word ^ (word >> 31)

    def digest(data: bytes) -> int:
        return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")

    state = mixed(digest(b"a key") ^ digest(repr((3, "bootstrap")).encode()))
    words = [mixed((state + number * 0x9E3779B97F4A7C15) % 2**64) for number in (1, 2)]
    uniform = [(word >> shift) % 2**16 / 2**16 for word in words for shift in (0, 16, 32, 48)]
    wanted = scipy.stats.poisson(1).ppf(np.array(uniform) + 2**-17)
    assert clip_counts(key_digests(["a key"]), 3, 8)[0, 1:].tolist() == wanted.tolist()


def test_counts_are_poisson_of_mean_one() -> None:
    total = COUNTS.size
    assert COUNTS.mean() == pytest.approx(1, abs=4 / math.sqrt(total))
    # the variance of a sample's variance of Poisson(1) is (4th central moment - 1) / n = 3 / n
    assert COUNTS.var() == pytest.approx(1, abs=4 * math.sqrt(3 / total))
    found = np.bincount(COUNTS.astype(int).ravel(), minlength=7)
    expected = scipy.stats.poisson(1).pmf(np.arange(6)) * total
    chance = scipy.stats.chisquare([*found[:6], found[6:].sum()], [*expected, total - expected.sum()]).pvalue
    assert chance > 1e-3


def test_keys_and_replicates_draw_independently() -> None:
    """Correlations of all pairs of replicates over keys, and of keys over replicates, are as large as chance makes them."""
    for draws in (COUNTS, COUNTS[:REPLICATES].T):
        normed = (draws - draws.mean(0)) / draws.std(0)
        pairs = (normed.T @ normed / len(draws))[np.triu_indices(draws.shape[1], 1)]
        assert np.sqrt(np.mean(pairs**2)) == pytest.approx(1 / math.sqrt(len(draws)), rel=0.02)
        assert abs(pairs).max() < 6 / math.sqrt(len(draws))


def test_seeds_purposes_and_neighbouring_keys_draw_independently() -> None:
    other = clip_counts(KEYS, 1, REPLICATES)[:, 1:]
    assert abs(np.corrcoef(COUNTS.ravel(), other.ravel())[0, 1]) < 4 / math.sqrt(COUNTS.size)
    shifted = np.corrcoef(COUNTS[:-1].ravel(), COUNTS[1:].ravel())[0, 1]
    assert abs(shifted) < 4 / math.sqrt(COUNTS.size)
    groups, chosen = clip_groups(KEYS, 0, 10), sampled(KEYS, 0, 0.5)
    assert abs(np.corrcoef(groups, chosen)[0, 1]) < 4 / math.sqrt(NUMBER)
    assert abs(np.corrcoef(groups, COUNTS[:, 0])[0, 1]) < 4 / math.sqrt(NUMBER)


def test_groups_are_of_equal_size_in_the_mean() -> None:
    assert scipy.stats.chisquare(np.bincount(clip_groups(KEYS, 7, 10), minlength=10)).pvalue > 1e-3


def test_a_sample_takes_its_share_and_grows_with_it() -> None:
    half, tenth = sampled(KEYS, 0, 0.5), sampled(KEYS, 0, 0.1)
    assert half.mean() == pytest.approx(0.5, abs=2 / math.sqrt(NUMBER)) and half[tenth].all()
    assert tenth.mean() == pytest.approx(0.1, abs=1.2 / math.sqrt(NUMBER))
    assert sampled(KEYS, 0, 1.0).all() and not sampled(KEYS, 0, 0.0).any()
    assert (sampled(KEYS, 1, 0.5) != half).any()
