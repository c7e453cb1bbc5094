"""Levels and loudness of clips."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from invertone.audio.clip import to_float
from invertone.cluster.formats.signals import USUAL
from invertone.eval.measures.loudness import (
    FAINTEST_DB,
    RMS_TARGET_DB,
    SILENT_RUN,
    heard,
    levelled,
    loudness,
    silent_share,
)

WAVE = np.tile(np.array([8_000, -8_000, 4_000, -4_000], np.int16), USUAL.samples // 4)


@given(st.floats(0.01, 4.0))
def test_levelling_takes_any_gain_away(gain: float) -> None:
    wave = to_float(WAVE)
    for level in ("rms", "peak"):
        assert np.allclose(levelled((wave * gain).astype(np.float32), level), levelled(wave, level), rtol=1e-5)
    rms = np.sqrt(np.mean(levelled(wave * np.float32(gain), "rms").astype(float) ** 2))
    assert 20 * np.log10(rms) == pytest.approx(RMS_TARGET_DB, abs=1e-4)
    assert np.abs(levelled(wave * np.float32(gain), "peak")).max() == pytest.approx(1.0)


def test_loudness_by_hand() -> None:
    power = (0.25**2 * 4 + 0.125**2 * 4) / 8 * (8_000 / 8_192) ** 2
    rms, peak, silence = loudness(to_float(WAVE), WAVE)
    assert rms == pytest.approx(10 * np.log10(power), abs=1e-4)
    assert peak == pytest.approx(20 * np.log10(8_000 / 32_768), abs=1e-4) and silence == 0


def test_silence_stays_silence_and_has_a_level() -> None:
    for level in ("untouched", "peak", "rms"):
        waveform, before, after = heard(0 * WAVE, level)
        assert not waveform.any() and before.tolist() == after.tolist() == [FAINTEST_DB, FAINTEST_DB, 1.0]


def test_of_two_channels_it_is_the_loudness_of_both() -> None:
    stereo = np.stack([WAVE, 0 * WAVE], axis=1)
    rms, peak, silence = loudness(to_float(stereo), stereo)
    alone = loudness(to_float(WAVE), WAVE)
    assert rms == pytest.approx(alone[0] - 10 * np.log10(2), abs=1e-3) and (peak, silence) == (alone[1], 0.5)
    for level in ("rms", "peak"):
        made, _, after = heard(stereo, level)
        assert made.shape == stereo.shape and not made[:, 1].any()
        assert after[0 if level == "rms" else 1] == pytest.approx(RMS_TARGET_DB if level == "rms" else 0, abs=1e-3)


def test_only_long_runs_of_zeros_are_digital_silence() -> None:
    samples = np.ones(1_000, np.int16)
    samples[10 : 10 + SILENT_RUN - 1] = 0
    assert silent_share(samples) == 0
    samples[100 : 100 + SILENT_RUN] = 0
    samples[-2 * SILENT_RUN :] = 0
    assert silent_share(samples) == 3 * SILENT_RUN / 1_000
