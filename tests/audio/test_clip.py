"""Clips: lossless in FLAC and WAV, 16-bit levels exact, padding on the right."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from invertone.audio.clip import decode, encode, fit, to_float, to_int16
from invertone.cluster.formats.signals import USUAL

SAMPLES = hnp.arrays(np.int16, st.integers(1, 400), elements=st.integers(-32_768, 32_767))


@pytest.mark.parametrize("audio_format", ["flac", "wav"])
@given(samples=SAMPLES)
def test_encoding_is_lossless_and_repeatable(audio_format: str, samples: np.ndarray) -> None:
    data = encode(samples, audio_format, 16_000)
    assert np.array_equal(decode(data), samples)
    assert decode(data).dtype == np.int16
    assert encode(samples, audio_format, 16_000) == data


@pytest.mark.parametrize("audio_format", ["flac", "wav"])
def test_any_player_finds_16_bit_mono_at_16_khz(audio_format: str) -> None:
    info = soundfile.info(io.BytesIO(encode(np.arange(USUAL.samples, dtype=np.int16), audio_format, 16_000)))
    assert (info.samplerate, info.channels, info.frames, info.subtype) == (16_000, 1, USUAL.samples, "PCM_16")
    assert info.format == audio_format.upper()


@given(SAMPLES)
def test_16_bit_sound_survives_the_way_through_floats(samples: np.ndarray) -> None:
    back, outside = to_int16(to_float(samples))
    assert np.array_equal(back, samples)
    assert outside == 0


def test_floats_have_full_scale_one() -> None:
    assert to_float(np.int16([-32_768, 0, 16_384])).tolist() == [-1.0, 0.0, 0.5]
    assert to_float(np.int16([1])).dtype == np.float32


def test_what_lies_past_full_scale_is_clipped_and_counted() -> None:
    samples, outside = to_int16(np.array([1.5, 1.0, 32_767 / 32_768, -1.0, -1.01, 0.4 / 32_768]))
    assert samples.tolist() == [32_767, 32_767, 32_767, -32_768, -32_768, 0]
    assert outside == 3


FLOATS = hnp.arrays(
    st.sampled_from([np.float16, np.float32, np.float64]),
    st.integers(0, 50),
    elements=st.floats(width=16, allow_nan=False) | st.floats(-1.25, 1.25, width=16),
)


@given(FLOATS | hnp.arrays(np.float32, st.integers(0, 50), elements=st.floats(width=32, allow_nan=False)))
def test_every_precision_is_rounded_as_the_highest_is(waveform: np.ndarray) -> None:
    samples, outside = to_int16(waveform)
    scaled = np.rint(waveform.astype(np.float64) * 32_768)
    assert samples.tolist() == np.clip(scaled, -32_768, 32_767).tolist()
    assert outside == np.count_nonzero((scaled > 32_767) | (scaled < -32_768))


@given(SAMPLES, st.integers(1, 500))
def test_fitting_cuts_or_pads_with_silence_on_the_right(samples: np.ndarray, length: int) -> None:
    fitted = fit(samples, length)
    kept = min(length, len(samples))
    assert len(fitted) == length
    assert np.array_equal(fitted[:kept], samples[:kept])
    assert not fitted[kept:].any()
    assert fitted.dtype == np.int16
