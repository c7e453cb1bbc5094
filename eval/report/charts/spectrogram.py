"""A sound as something to look at: its log-magnitude spectrogram as a small PNG, and as something to hear: a data address."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import soundfile
import torch
from PIL import Image

from invertone.audio.front_end import FrontEnd, log_magnitude
from invertone.eval.report.charts.waveform import Wave, wave

DECIBELS_PER_NAT = 20 / math.log(10)
DEPTH = 70.0
"""Decibels below the reference that are shown; all below is black."""
FAINTEST_REFERENCE = -60.0
MOST_COLUMNS = 512
MOST_SECONDS = 60.0
N_FFT, HOP = 512, 128
NATS = 16.0


@dataclass(frozen=True)
class Player:
    """A sound with its picture, both as data addresses. loudest: level of its loudest bin, dB re a full-scale sine.

    times: seconds to label below the picture, as (label, percent of the width); kilohertz: the top of the picture.
    wave: the waveform, where it was asked for.
    """

    audio: str
    image: str
    seconds: float
    kilohertz: float
    loudest: float
    times: tuple[tuple[str, float], ...]
    size: int
    wave: Wave | None = None


def player(audio: bytes, reference: float | None = None, waveform: bool = False, top: float | None = None) -> Player:
    """A WAV or FLAC file with its spectrogram (of several channels the mean of their powers, in which nothing cancels),
    brightest at `reference` dB (None: its own loudest bin). waveform: with its
    waveform as well, on a field that reaches `top` (None: its own peak).

    ValueError for bytes that are neither, or that cannot be read.
    """
    mime = audio_type(audio)
    try:
        samples, rate = soundfile.read(io.BytesIO(audio), dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise ValueError(f"cannot be decoded: {error}") from None
    if not len(samples) or len(samples) > MOST_SECONDS * rate:
        raise ValueError(f"is {len(samples) / rate:.1f} s long, and not more than 0 and up to {MOST_SECONDS:.0f} s")
    levels = decibels(samples)
    loudest = float(levels.max())
    image = png(levels, loudest if reference is None else reference)
    seconds = len(samples) / rate
    return Player(
        data_address(audio, mime), data_address(image, "image/png"), seconds, rate / 2000, loudest, _times(seconds),
        len(audio) + len(image), wave(samples, top) if waveform else None,
    )  # fmt: skip


def decibels(waveform: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Waveform [n] or [n, channels] of full scale ±1 → levels [frequency, time], dB re a full-scale sine, by the scores' own
    front end; of several channels their mean power."""
    hop = max(HOP, math.ceil(len(waveform) / MOST_COLUMNS / HOP) * HOP)
    channels = np.nan_to_num(waveform.reshape(len(waveform), -1).T)
    padded = np.pad(channels, ((0, 0), (0, max(0, N_FFT - len(waveform)))))
    front_end = FrontEnd(n_fft=N_FFT, hop_length=hop, dynamic_range=NATS, reference="full_scale")
    scaled = log_magnitude(torch.from_numpy(padded), front_end).numpy()
    levels = (scaled - 1) * np.float32(NATS / 2 * DECIBELS_PER_NAT)
    if len(levels) == 1:
        return levels[0]
    return 10 * np.log10(np.mean(10 ** (levels / 10), axis=0))


def png(levels: npt.NDArray[np.float32], reference: float) -> bytes:
    """Levels [frequency, time] → a palette PNG, low frequencies at the bottom, from `reference` down to DEPTH below it."""
    top = max(reference, FAINTEST_REFERENCE)
    shade = np.clip((levels - top) / DEPTH + 1, 0, 1)
    image = Image.fromarray(np.rint(shade[::-1] * 255).astype(np.uint8), mode="P")
    image.putpalette(colour_map().tobytes())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


@lru_cache(maxsize=1)
def colour_map() -> npt.NDArray[np.uint8]:
    """256 colours [256, 3] whose lightness rises evenly, from near black by violet and orange to pale yellow.

    Made in Oklab (Ottosson 2020), where equal distances look equal: lightness is a straight line, hue and chroma go
    through a few chosen places.
    """
    at = np.linspace(0, 1, 256)
    lightness = 0.13 + 0.84 * at
    hue = np.deg2rad(np.interp(at, [0, 0.25, 0.5, 0.75, 1], [285, 305, 375, 412, 465]))
    chroma = np.interp(at, [0, 0.2, 0.5, 0.75, 1], [0.03, 0.12, 0.17, 0.15, 0.06])
    a, b = chroma * np.cos(hue), chroma * np.sin(hue)
    cube_roots = np.stack(
        [
            lightness + 0.3963377774 * a + 0.2158037573 * b,
            lightness - 0.1055613458 * a - 0.0638541728 * b,
            lightness - 0.0894841775 * a - 1.2914855480 * b,
        ]
    )
    to_rgb = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    linear = np.clip(to_rgb @ cube_roots**3, 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.ascontiguousarray(np.rint(encoded.T * 255).astype(np.uint8))


def audio_type(data: bytes) -> str:
    """The media type, told by the first bytes. ValueError for what is neither WAV nor FLAC."""
    if data[:4] == b"fLaC":
        return "audio/flac"
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return "audio/wav"
    raise ValueError("is neither WAV nor FLAC")


def image_type(data: bytes) -> str:
    """The media type, told by the first bytes. ValueError for what is neither PNG nor JPEG."""
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "image/png"
    if data[:3] == b"\xff\xd8\xff":
        return "image/jpeg"
    raise ValueError("is neither PNG nor JPEG")


def data_address(data: bytes, mime: str) -> str:
    """A `data:` URI: the file itself in place of its address."""
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


def _times(seconds: float) -> tuple[tuple[str, float], ...]:
    """Three places of the time axis: its beginning, a round number near the middle, a round number near the end."""
    step = 10.0 ** math.floor(math.log10(seconds))
    step = next(step * factor for factor in (5, 2, 1, 0.5, 0.2) if 2 * step * factor <= seconds * 1.0001)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return tuple((f"{k * step:.{decimals}f}", 100 * k * step / seconds) for k in range(3))
