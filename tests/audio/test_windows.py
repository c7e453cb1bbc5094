"""Windows: they cover a recording, their number is known beforehand, a random one depends on seed and key alone."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from invertone.audio import windows
from invertone.audio.clip import Samples
from invertone.audio.windows import cut, loudest, starts, uniform_hash
from invertone.cluster.formats.signals import USUAL

LENGTHS = st.integers(1, 300_000)


@given(LENGTHS, st.integers(1_000, USUAL.samples))
def test_all_windows_cover_the_recording_and_no_more(samples: int, hop: int) -> None:
    at = starts(samples, "all", hop, 0, "k", USUAL.samples)
    covered_to = 0
    for start in at:
        assert start <= covered_to, "a gap"
        covered_to = start + USUAL.samples
    assert covered_to >= samples
    assert len(at) == 1 or at[-1] - hop + USUAL.samples < samples, "the last window is not needed"
    assert len(at) == (1 + math.ceil((samples - USUAL.samples) / hop) if samples > USUAL.samples else 1)


@given(LENGTHS, st.integers(1, 200_000).filter(lambda hop: hop > 500))
def test_no_window_begins_past_the_end(samples: int, hop: int) -> None:
    at = starts(samples, "all", hop, 0, "k", USUAL.samples)
    assert at[0] == 0
    assert at[-1] < samples
    assert at == sorted(set(at))


@given(LENGTHS, st.integers(0, 10), st.text(max_size=8))
def test_a_random_window_lies_inside_and_depends_on_seed_and_key_alone(samples: int, seed: int, key: str) -> None:
    first = starts(samples, "random", 1, seed, key, USUAL.samples)
    assert first == starts(samples, "random", 99, seed, key, USUAL.samples)
    assert len(first) == 1
    assert 0 <= first[0] <= max(0, samples - USUAL.samples)


def test_random_windows_differ_by_seed_and_key_and_reach_both_ends() -> None:
    places = [
        starts(USUAL.samples + 9, "random", 1, seed, f"k{key}", USUAL.samples)[0]
        for seed in range(20)
        for key in range(20)
    ]
    assert set(places) == set(range(10))
    assert starts(10**6, "random", 1, 0, "a", USUAL.samples) != starts(10**6, "random", 1, 1, "a", USUAL.samples)
    assert starts(10**6, "random", 1, 0, "a", USUAL.samples) != starts(10**6, "random", 1, 0, "b", USUAL.samples)
    assert starts(10**6, "random", 1, 1, "2a", USUAL.samples) != starts(10**6, "random", 1, 12, "a", USUAL.samples)


@pytest.mark.parametrize("samples", [1, USUAL.samples, 10**6])
def test_the_first_window_is_the_first_second(samples: int) -> None:
    assert starts(samples, "first", 1, 0, "k", USUAL.samples) == [0]


def test_the_hash_is_the_same_on_every_python() -> None:
    assert uniform_hash("0\0zero/a") == 11_691_475_873_489_845_770
    program = "from invertone.audio.windows import uniform_hash; print(uniform_hash('0\\0zero/a'))"
    runs = [
        subprocess.run([sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True)
        for seed in ("1", "2")
    ]
    assert {run.stdout.strip() for run in runs} == {str(uniform_hash("0\0zero/a"))}


@pytest.mark.parametrize(
    ("samples", "hop", "shortest", "found"),
    [
        (20_000, 16_384, 1, [0, 16_384]),
        (20_000, 16_384, 3_616, [0, 16_384]),
        (20_000, 16_384, 3_617, [0]),
        (20_000, 30_000, 1, [0]),
        (46_385, 30_000, 16_384, [0, 30_000]),
        (100, 16_384, 16_384, [0]),
    ],
)
def test_a_last_window_may_have_to_hold_so_much(samples: int, hop: int, shortest: int, found: list[int]) -> None:
    assert starts(samples, "all", hop, 0, "a", USUAL.samples, shortest) == found


@given(
    st.integers(1, 5 * USUAL.samples),
    st.sampled_from(["first", "random", "all"]),
    st.sampled_from([1_000, 8_192, 16_384, 30_000]),
    st.integers(1, USUAL.samples),
    st.lists(st.integers(1, 40_000), min_size=1, max_size=4),
    st.sampled_from([10, 1 << 22]),
)
def test_cutting_a_stream_gives_the_windows_of_the_whole(
    samples: int, window: str, hop: int, shortest: int, blocks: list[int], held: int
) -> None:
    whole = np.random.default_rng(samples).integers(-99, 99, samples, np.int16)

    def read() -> Iterator[Samples]:
        at, sizes = 0, itertools.cycle(blocks)
        while at < samples:
            size = next(sizes)
            yield whole[at : at + size]
            at += size

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "HELD_SAMPLES", held)
        found = list(cut(read, window, hop, 3, "k", USUAL.samples, shortest))
    assert [start for start, _ in found] == starts(samples, window, hop, 3, "k", USUAL.samples, shortest)
    for start, stretch in found:
        assert np.array_equal(stretch, whole[start : start + USUAL.samples])


def test_the_loudest_stretch_is_found_to_the_sample() -> None:
    sound = np.zeros(1_000, np.int16)
    sound[300:350], sound[700:730] = 1_000, -32_768
    assert loudest(sound, 30) == 700
    assert loudest(sound, 1_000) == 0 == loudest(sound[:10], 30)
    rng = np.random.default_rng(0)
    noise = rng.integers(-32_768, 32_767, 500).astype(np.int16)
    energies = [np.square(noise[i : i + 64].astype(np.float64)).sum() for i in range(500 - 63)]
    assert loudest(noise, 64) == int(np.argmax(energies))
