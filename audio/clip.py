"""Clips' samples: 16-bit sound, [n] of one channel, [n, 2] of two, as files have them; and the floating-point waveforms that
networks see, [b, n] and [b, 2, n]. How many samples at which rate, their format says (cluster/formats/signals.py)."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence

import miniaudio
import numpy as np
import numpy.typing as npt
import soundfile

FULL_SCALE = 32_768.0

FLAC_MAGIC = b"fLaC"

Samples = npt.NDArray[np.int16]


def encode(samples: Samples, audio_format: str, sample_rate: int) -> bytes:
    """int16 [n] or [n, channels] → a FLAC or WAV file's bytes, 16 bit, lossless. Equal samples give equal bytes."""
    buffer = io.BytesIO()
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    with soundfile.SoundFile(buffer, "w", sample_rate, channels, "PCM_16", format=audio_format.upper()) as file:
        file.write(samples)
    return buffer.getvalue()


def decode(data: bytes) -> Samples:
    """The bytes of a FLAC or WAV file of ours → int16 [n], of several channels [n, channels]. Raises soundfile.SoundFileError
    for what is none.

    FLAC by miniaudio, in a third of the time that libsndfile takes (it calls back into Python to read from memory); what that
    does not read as sound of ours, libsndfile judges.
    """
    if data[:4] == FLAC_MAGIC:
        with contextlib.suppress(miniaudio.MiniaudioError):
            sound = miniaudio.flac_read_s16(data)
            if sound.num_frames == _frames(data):
                samples = np.frombuffer(sound.samples, np.int16)
                return samples if sound.nchannels == 1 else samples.reshape(-1, sound.nchannels)
    samples, _ = soundfile.read(io.BytesIO(data), dtype="int16")
    return samples


def _frames(flac: bytes) -> int:
    """How many samples the stream's header promises; a damaged frame is one that a decoder passes over."""
    return int.from_bytes(flac[21:26], "big") & ((1 << 36) - 1)


def to_int16(waveform: npt.NDArray[np.floating]) -> tuple[Samples, int]:
    """Float [n] with full scale ±1 → int16 [n], and how many samples lay outside and were clipped."""
    scaled = waveform.astype(np.promote_types(waveform.dtype, np.float32))
    with np.errstate(over="ignore"):
        scaled *= scaled.dtype.type(FULL_SCALE)  # exact in either precision: a power of two
    np.rint(scaled, out=scaled)
    if scaled.max(initial=0) <= 32_767 and scaled.min(initial=0) >= -32_768:
        return scaled.astype(np.int16), 0
    outside = int(np.count_nonzero((scaled > 32_767) | (scaled < -32_768)))
    return np.clip(scaled, -32_768, 32_767).astype(np.int16), outside


def to_float(samples: Samples) -> npt.NDArray[np.float32]:
    """int16 → float32 with full scale ±1, as WaveGAN's loader does (division by 32,768)."""
    return samples.astype(np.float32) / np.float32(FULL_SCALE)


def waveforms(clips: Sequence[Samples]) -> npt.NDArray[np.float32]:
    """Clips of one format, int16 [n] or [n, channels] each → what networks see of them, [b, n] or [b, channels, n]."""
    found = to_float(np.stack(clips))
    return found if found.ndim == 2 else np.ascontiguousarray(found.swapaxes(1, 2))


def fit(samples: Samples, length: int) -> Samples:
    """The first `length` samples, zero-padded on the right. [n, …] → [length, …]."""
    if len(samples) >= length:
        return samples[:length]
    padded = np.zeros((length, *samples.shape[1:]), samples.dtype)
    padded[: len(samples)] = samples
    return padded


def peak(samples: Samples) -> Samples:
    """Scaled so that the largest sample is ±32,767; silence stays silence."""
    loudest = int(np.abs(samples.astype(np.int32)).max(initial=0))
    if loudest == 0:
        return samples
    return np.rint(samples * (32_767.0 / loudest)).astype(np.int16)
