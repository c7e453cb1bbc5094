"""Waveforms as paths: what is loud where, on whose scale."""

from __future__ import annotations

import numpy as np
import pytest

from invertone.audio.clip import encode, to_int16
from invertone.eval.report.charts.spectrogram import player
from invertone.eval.report.charts.waveform import COLUMNS, HEIGHT, wave


def outline(path: str) -> tuple[np.ndarray, np.ndarray]:
    """Upper and lower edge by column, as heights above silence in shares of the field's half."""
    numbers = np.array(path[1:-1].split(), float).reshape(-1, 2)
    upper, lower = numbers[: len(numbers) // 2], numbers[len(numbers) // 2 :][::-1]
    assert np.array_equal(upper[:, 0], lower[:, 0]) and (np.diff(upper[:, 0]) > 0).all()
    return 1 - upper[:, 1] / (HEIGHT / 2), 1 - lower[:, 1] / (HEIGHT / 2)


def test_the_outline_is_that_of_the_sound() -> None:
    samples = np.zeros(16_000, np.float32)
    samples[8_000:12_000] = 0.25
    samples[12_000:] = -0.5
    shown = wave(samples)
    upper, lower = outline(shown.path)
    assert (shown.peak, shown.top) == (0.5, 0.5) and len(upper) == COLUMNS
    half = COLUMNS // 2
    assert not upper[:half].any() and not lower[:half].any()
    assert np.allclose(upper[half : half + half // 2], 0.5) and np.allclose(lower[half + half // 2 :], -1)


def test_a_common_scale_shows_what_is_quieter_and_cuts_what_is_louder() -> None:
    tone = np.sin(np.arange(16_384) * 0.3).astype(np.float32)
    quiet, loud = (outline(wave(level * tone, top=0.4).path)[0] for level in (0.1, 0.8))
    assert np.allclose(quiet, 0.25, atol=0.05) and np.allclose(loud, 1)


def test_of_two_channels_the_outline_is_that_of_both() -> None:
    left, right = np.zeros(16_000, np.float32), np.zeros(16_000, np.float32)
    left[:8_000], right[8_000:] = 0.5, -0.25
    upper, lower = outline(wave(np.stack([left, right], axis=1)).path)
    half = COLUMNS // 2
    assert np.allclose(upper[:half], 1) and not lower[:half].any()
    assert not upper[half:].any() and np.allclose(lower[half:], -0.5)


@pytest.mark.parametrize("samples", [np.zeros(400, np.float32), np.full(3, np.nan, np.float32)])
def test_silence_and_a_few_samples_are_a_line(samples: np.ndarray) -> None:
    upper, lower = outline(wave(samples).path)
    assert not upper.any() and not lower.any() and len(upper) == min(COLUMNS, len(samples))


def test_a_player_has_it_where_it_is_asked_for() -> None:
    sound = encode(to_int16(0.5 * np.sin(np.arange(16_384) * 0.3))[0], "wav", 16_000)
    assert player(sound).wave is None
    asked = player(sound, waveform=True, top=0.75).wave
    assert asked is not None and asked.top == 0.75 and asked.peak == pytest.approx(0.5, abs=1e-3)
    assert len(asked.path) < 2_500  # what each sound adds to the weight of a page
