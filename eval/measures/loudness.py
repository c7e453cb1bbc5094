"""Levels of clips: one gain for real and fake, and what loudness alone gives away."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from invertone.audio.clip import Samples, to_float

RMS_TARGET_DB = -30.0
"""RMS re full scale after levelling by it: a crest factor of 30 dB still fits below full scale."""
SILENT_RUN = 64
"""Zeros in a row (4 ms at 16 kHz) from which on samples are digital silence. Single zeros are the rounding of faint sound, and
their share would tell the gain."""
FAINTEST_DB = -120.0
LOUDNESS = ("rms_db", "peak_db", "digital_silence")

Waveform = npt.NDArray[np.float32]


def levelled(waveform: Waveform, level: str) -> Waveform:
    """[n] or [n, channels] at another level, one gain for all channels: its peak at full scale, or its RMS at RMS_TARGET_DB.
    Silence stays silence."""
    wide = waveform.astype(np.float64)
    loud = {"untouched": 1.0, "peak": np.abs(wide).max(), "rms": np.sqrt(np.square(wide).mean())}[level]
    wanted = 10 ** (RMS_TARGET_DB / 20) if level == "rms" else 1.0
    return (wide * (wanted / loud if loud > 0 else 1.0)).astype(np.float32)


def loudness(waveform: Waveform, samples: Samples) -> npt.NDArray[np.float64]:
    """LOUDNESS of a clip, of all its channels: RMS and peak of the waveform in dB re full scale, and which share of its samples
    is digital silence.

    Decibels are rounded to 0.0001, so that what a gain made equal is equal.
    """
    wide = waveform.astype(np.float64)
    powers = np.array([np.square(wide).mean(), np.square(wide).max()])
    decibels = np.maximum(10 * np.log10(np.maximum(powers, 1e-30)), FAINTEST_DB)
    return np.array([*np.round(decibels, 4), silent_share(samples)])


def silent_share(samples: Samples) -> float:
    """The share of samples that stand in runs of at least SILENT_RUN zeros, mean over channels."""
    if samples.ndim > 1:
        return float(np.mean([silent_share(channel) for channel in samples.T]))
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (samples == 0).astype(np.int8), [0]])))
    runs = edges[1::2] - edges[::2]
    return float(runs[runs >= SILENT_RUN].sum() / len(samples))


def heard(samples: Samples, level: str) -> tuple[Waveform, npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """A clip at its level, and its loudness before and after."""
    waveform = to_float(samples)
    at_level = levelled(waveform, level)
    return at_level, loudness(waveform, samples), loudness(at_level, samples)
