"""Windows joined again are what they were cut from, exactly; what they disagree on fades from one to the next."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from invertone.audio import crossfade
from invertone.audio.clip import Samples, fit
from invertone.audio.crossfade import FADES, LINEAR, SILENCE, SQUARED, overlapped, weights
from invertone.audio.windows import starts

Cuts = tuple[Samples, int, list[int], list[int], str]


def joined(windows: list[tuple[int, Samples]], samples: int, **given: object) -> Samples:
    blocks = list(overlapped(windows, samples, **given))  # type: ignore[arg-type]
    assert all(len(block) for block in blocks)
    return np.concatenate([np.zeros(0, np.int16), *blocks])


@st.composite
def cuts(draw: st.DrawFn) -> Cuts:
    """A recording, the length of windows, where they begin, which of them are there, and a fade."""
    samples, length = draw(st.integers(1, 300)), draw(st.integers(1, 64))
    hop, shortest = draw(st.integers(1, 100)), draw(st.integers(1, length))
    at = starts(samples, "all", hop, 0, "", length, shortest)
    there = draw(st.lists(st.sampled_from(at), unique=True))
    seed = draw(st.integers(0, 2**16))
    recording = np.random.default_rng(seed).integers(-32_768, 32_768, samples).astype(np.int16)
    return recording, length, at, sorted(there), draw(st.sampled_from(FADES))


@given(cuts())
def test_what_windows_cover_is_the_recording_to_the_bit_and_all_else_silence(cut: Cuts) -> None:
    recording, length, at, there, fade = cut
    end = min(len(recording), at[-1] + length)
    covered = np.zeros(end, bool)
    for start in there:
        covered[start : start + length] = True
    windows = [(start, fit(recording[start : start + length], length)) for start in there]
    found = joined(windows, end, fade=fade)
    assert np.array_equal(found, np.where(covered, recording[:end], 0))


@given(cuts(), st.integers(2, 3))
def test_each_channel_is_what_it_would_be_alone(cut: Cuts, channels: int) -> None:
    recording, length, at, there, fade = cut
    rng, end = np.random.default_rng(len(recording)), min(len(recording), at[-1] + length)
    windows = [(start, rng.integers(-32_768, 32_768, (length, channels)).astype(np.int16)) for start in there]
    blocks = list(overlapped(windows, end, fade=fade, channels=channels))
    alone = [joined([(start, each[:, side]) for start, each in windows], end, fade=fade) for side in range(channels)]
    assert all(block.dtype == np.int16 and block.shape == (len(block), channels) for block in blocks)
    assert np.array_equal(np.concatenate([np.zeros((0, channels), np.int16), *blocks]), np.stack(alone, axis=1))


def test_of_a_clip_that_was_taken_from_the_middle_there_is_no_sound_before_it() -> None:
    window = np.arange(10, dtype=np.int16)
    assert np.array_equal(joined([(50, window)], 57, begin=50), window[:7])


@given(cuts())
def test_each_sample_is_the_mean_of_its_windows_by_their_weights(cut: Cuts) -> None:
    recording, length, at, there, fade = cut
    rng = np.random.default_rng(len(recording))
    windows = [(start, rng.integers(-32_768, 32_768, length).astype(np.int16)) for start in there]
    end = min(len(recording), at[-1] + length)
    total, weight = np.zeros(end + length), np.zeros(end + length)
    middle = (np.arange(length) + 0.5) / length
    curve = 0.5 - 0.5 * np.cos(2 * np.pi * middle) if fade == SQUARED else np.minimum(middle, 1 - middle)
    for start, window in windows:
        total[start : start + length] += curve * window
        weight[start : start + length] += curve
    wanted = np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)[:end]
    assert np.abs(joined(windows, end, fade=fade) - wanted).max() <= 0.5 + 1e-6  # half a step of 16 bit


@pytest.mark.parametrize("fade", FADES)
def test_one_window_fades_into_the_next_without_a_step(fade: str) -> None:
    quiet, loud = np.zeros(1_000, np.int16), np.full(1_000, 10_000, np.int16)
    found = joined([(0, quiet), (500, loud)], 1_500, fade=fade).astype(int)
    assert not found[:500].any() and (found[1_000:] == 10_000).all()
    assert (np.diff(found) >= 0).all() and np.diff(found).max() < 100
    assert np.array_equal(found[500:1_000] + found[999:499:-1], np.full(500, 10_000))  # weights that sum to one
    slope = {LINEAR: 20, SQUARED: 31.4}[fade]  # per sample in the middle: 10,000 / 500, and π / 2 times that
    assert np.diff(found)[740:760].mean() == pytest.approx(slope, rel=0.02)


@pytest.mark.parametrize("fade", FADES)
def test_weights_are_positive_symmetric_and_largest_in_the_middle(fade: str) -> None:
    for length in (1, 2, 7, 16_384):
        found = weights(fade, length)
        assert found.min() > 0 and np.allclose(found, found[::-1], atol=1e-12)
        assert found.argmax() in ((length - 1) // 2, length // 2) and found.max() <= 1


def test_a_recording_is_never_held_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crossfade, "SILENCE", 100)
    taken = []

    def windows() -> Iterator[tuple[int, Samples]]:
        for start in [*range(0, 1_000, 5), 5_000]:
            taken.append(start)
            yield start, np.ones(10, np.int16)

    given_out = 0
    for block in overlapped(windows(), 10_000):
        given_out += len(block)
        assert len(block) <= 100 and taken[-1] - given_out <= (5 if taken[-1] < 1_000 else 5_000)
    assert given_out == 10_000


def test_a_long_gap_is_silence_in_pieces() -> None:
    found = [len(block) for block in overlapped([(2 * SILENCE + 5, np.ones(3, np.int16))], 2 * SILENCE + 9)]
    assert found == [SILENCE, SILENCE, 5, 3, 1]


def test_windows_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="the window at 5 comes after the one at 10"):
        joined([(10, np.ones(3, np.int16)), (5, np.ones(3, np.int16))], 20)
    with pytest.raises(ValueError, match="the window at 5 comes after the one at 6"):
        joined([(5, np.ones(3, np.int16))], 20, begin=6)
