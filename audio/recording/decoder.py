"""A recording of any format, rate and channel count → int16 at the rate and in the channels that are asked for; or the reason
why it is none.

What a file is, its content decides, not its name. libsndfile is lenient: it shortens a truncated WAV, AIFF, AU, MP3 or Ogg
silently. An archive's owner wants to know, so header and length are checked here.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from invertone.audio.clip import FULL_SCALE, Samples, to_float, to_int16
from invertone.audio.recording.checks import CHECKS, check_rate
from invertone.audio.recording.containers import Part, PlainWav, container, instead, joined, plain_wav, untagged
from invertone.audio.recording.mpeg4 import KINDS, Mpeg4Sound
from invertone.audio.recording.recording import BadAudioError, Concern, Recording

BLOCK_FRAMES = 1 << 20
LOUDEST_FLOAT = 16.0
"""Full scale is 1; what lies far above is no sound that was recorded too loud, but another range."""
CANCELLED = 0.01
"""The share of the channels' mean power below which a mix has lost the sound (-20 dB)."""
UNKNOWN_FRAMES = 1 << 60
"""What libsndfile says of a FLAC that was written as a stream, whose header says no length."""


def read_recording(file: io.BufferedIOBase, sample_rate: int, channels: int) -> Recording:
    """Decodes a whole seekable file, brings it to `channels` and resamples it (soxr, high quality) to `sample_rate`.

    Raises BadAudioError with a reason.
    """
    decoder = Decoder(file, sample_rate, channels)
    samples = np.concatenate(list(decoder.blocks()))
    return Recording(samples, decoder.source_sample_rate, decoder.clipped, decoder.concerns())


class Decoder:
    """One pass over a seekable file, in blocks: memory does not grow with the recording. Raises BadAudioError with a reason
    for a file that is none.

    sample_rate: Hz of what it gives. channels: 1, the mean of those there are; or 2, where a recording has as many, else their
    mean twice.
    """

    def __init__(self, file: io.BufferedIOBase, sample_rate: int, channels: int) -> None:
        self.sample_rate, self.channels = sample_rate, channels
        size = file.seek(0, io.SEEK_END)
        if size == 0:
            raise BadAudioError("empty file (0 bytes)")
        self.source_sample_rate, self.source_channels, self.clipped, self._joined = 0, 0, 0, 0
        self._levels = _Levels(channels)
        file.seek(0)
        self._plain = plain_wav(file.read(PlainWav.BEGINS), size)
        if self._plain is not None:
            self._file, self._container = file, "WAV"
            return
        self._file, size = untagged(file, size)
        self._file.seek(0)
        head = self._file.read(256)
        kind = container(head)
        if kind is None:
            raise BadAudioError(f"not audio ({instead(head)})")
        self._container = kind
        if kind in CHECKS:
            self._file.seek(0)
            CHECKS[kind](self._file, size)
        self._joined = joined(self._file, size, kind)
        if self._joined and kind in ("WAV", "AIFF"):  # libsndfile takes what follows for a damaged chunk
            self._file = io.BufferedReader(Part(self._file, 0, self._joined))

    def blocks(self) -> Iterator[Samples]:
        """int16 [n] of one channel, [n, 2] of two. Where it raises BadAudioError, nothing of what came before may be used."""
        if self._plain is not None:
            yield from self._blocks(_PlainSound(self._file, self._plain), self._plain.frames)
            return
        if self._container in KINDS:
            with closing(Mpeg4Sound(self._file, self._container)) as opened:
                check_rate(opened.samplerate)
                yield from self._blocks(opened, UNKNOWN_FRAMES)
            return
        self._file.seek(0)
        with reasons(), soundfile.SoundFile(self._file) as sound:
            scale = _float_scale(sound)
            check_rate(sound.samplerate)
            if sound.frames == 0:
                raise BadAudioError("no samples")
            if sound.frames >= UNKNOWN_FRAMES:
                sound.seekable = lambda: False  # soundfile would seek after each block, and there it cannot
            yield from self._blocks(sound, sound.frames, scale)

    def _blocks(self, sound: Sound, expected: int, scale: float = 1.0) -> Iterator[Samples]:
        self._levels, self.clipped = _Levels(self.channels, scale), 0
        self.source_sample_rate, self.source_channels = sound.samplerate, sound.channels
        frames, made = 0, 0
        if (sound.subtype, sound.channels, sound.samplerate) == ("PCM_16", self.channels, self.sample_rate):
            for block in _read(sound, "int16"):
                frames += len(block)
                samples = block[:, 0] if self.channels == 1 else block
                self._levels.take(samples)
                yield samples
            made = frames
        else:
            mixed = _mixed(sound, self._levels)
            for part in _resampled(mixed, sound.samplerate, self.sample_rate, self.channels):
                samples, outside = to_int16(part.sound)
                frames += part.frames
                self.clipped += outside
                made += len(samples)
                if len(samples):
                    yield samples
        # an MP3's frame count is an estimate, a stream's is none
        if frames < expected < UNKNOWN_FRAMES and self._container != "MP3":
            raise BadAudioError(f"truncated: header promises {expected} samples, {frames} are there")
        if made == 0:
            raise BadAudioError("no samples")

    def concerns(self) -> tuple[Concern, ...]:
        """What the last pass over the blocks has found."""
        found = self._levels.concerns()
        if self._joined:
            found.append(
                Concern("another file was joined to it, which is not read: begins at byte", float(self._joined))
            )
        if self.clipped and self._levels.past_full_scale:
            found.append(Concern("samples past full scale in the file: clipped", float(self.clipped)))
        elif self.clipped:
            found.append(Concern("samples past full scale after resampling: clipped", float(self.clipped)))
        return tuple(found)


class _PlainSound:
    """Just as much of a soundfile.SoundFile as reading a plain WAV needs, without the library's seven calls back into Python
    that opening a file costs."""

    subtype = "PCM_16"

    def __init__(self, file: io.BufferedIOBase, header: PlainWav) -> None:
        self._file, self._left, self._begun = file, header.frames, False
        self.channels, self.samplerate = header.channels, header.rate

    def read(self, frames: int, dtype: str, always_2d: bool) -> npt.NDArray[Any]:
        """Up to `frames` frames, [n, channels]: int16, or float32 with full scale ±1; none at the end."""
        assert always_2d and dtype in ("int16", "float32")
        if not self._begun:
            self._file.seek(PlainWav.BEGINS)
            self._begun = True
        data = self._file.read(min(frames, self._left) * 2 * self.channels)
        frames = len(data) // (2 * self.channels)
        self._left -= frames
        samples = np.frombuffer(data, "<i2", frames * self.channels).reshape(frames, self.channels)
        return samples.astype(np.int16, copy=False) if dtype == "int16" else to_float(samples)


Sound: TypeAlias = soundfile.SoundFile | _PlainSound | Mpeg4Sound


def _float_scale(sound: soundfile.SoundFile) -> float:
    """1, or what brings floating-point samples that were written in an integer's range back to ±1. Leaves `sound` at its
    beginning."""
    if sound.subtype not in ("FLOAT", "DOUBLE") or not sound.seekable():
        return 1.0
    peak, whole = 0.0, True
    while len(block := sound.read(BLOCK_FRAMES, dtype="float64", always_2d=True)):
        peak = max(peak, float(np.abs(block).max()))
        whole = whole and bool((block == np.rint(block)).all())
    sound.seek(0)
    if not np.isfinite(peak) or peak <= LOUDEST_FLOAT:
        return 1.0
    if peak <= 1.1 * FULL_SCALE:
        return 1 / FULL_SCALE
    for bits in (24, 32):
        if whole and peak <= 2 ** (bits - 1):
            return 2.0 ** (1 - bits)
    raise BadAudioError(f"beyond any full scale: samples up to {peak:g} in floating point, where it is 1")


@contextmanager
def reasons() -> Iterator[None]:
    """What libsndfile says, as a reason."""
    try:
        yield
    except (soundfile.LibsndfileError, soundfile.SoundFileError, RuntimeError) as error:
        # its text names the Python object that was read, with an address that differs from run to run
        text = error.error_string if isinstance(error, soundfile.LibsndfileError) else str(error)
        raise BadAudioError(f"not decodable: {' '.join(text.split())}") from None


@dataclass
class _Levels:
    """What bringing it to `wanted` channels has done to the sound so far. scale: what every sample was multiplied by."""

    wanted: int
    scale: float = 1.0
    past_full_scale: bool = False
    channels: int = 1
    mixed: float = 0.0
    apart: float = 0.0

    def take(self, samples: Samples) -> None:
        """int16 [n, …] that stay as they are."""
        # of one channel only whether it is silent is ever asked; `any` takes ten times as long
        self.mixed += float(samples.max(initial=0) != 0 or samples.min(initial=0) != 0)

    def mix(self, block: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Float [n, channels] → their mean, [n]; or [n, 2], as they are or their mean twice."""
        if self.scale != 1:
            block = block * np.float32(self.scale)
        self.channels = block.shape[1]
        if self.channels == self.wanted > 1:
            self.past_full_scale = self.past_full_scale or bool(block.max(initial=0) > 1 or block.min(initial=0) < -1)
            self.mixed += float(np.vdot(block, block))
            return block
        mono = block.mean(axis=1) if self.channels > 1 else block[:, 0]
        self.past_full_scale = self.past_full_scale or bool(mono.max() > 1 or mono.min() < -1)
        self.mixed += float(np.dot(mono, mono))
        if self.channels > 1:
            self.apart += float(np.vdot(block, block)) / self.channels
        return mono if self.wanted == 1 else np.repeat(mono[:, None], self.wanted, 1)

    def concerns(self) -> list[Concern]:
        found = []
        if self.scale != 1:
            found.append(Concern("floating-point samples in an integer's range: scaled by", self.scale))
        if self.channels > 1 and self.apart > 0 and self.mixed < CANCELLED * self.apart:
            left = self.mixed / self.apart
            found.append(
                Concern("channels cancel each other in the mix: decibels left", 10 * math.log10(max(left, 1e-20)))
            )
        elif self.mixed == 0:
            found.append(Concern("silence: samples other than 0", 0.0))
        return found


@dataclass(frozen=True)
class _Block:
    """sound [n, …]: of `frames` frames of the file, as far as the resampler has let go of it."""

    sound: npt.NDArray[np.float32]
    frames: int


def _read(sound: Sound, dtype: str) -> Iterator[npt.NDArray[Any]]:
    """All of it in blocks [n, channels]."""
    while True:
        block = sound.read(BLOCK_FRAMES, dtype=dtype, always_2d=True)
        if len(block) == 0:
            return
        yield block
        if len(block) < BLOCK_FRAMES:  # the end; a stream of no known length must not be asked for more
            return


def _mixed(sound: Sound, levels: _Levels) -> Iterator[npt.NDArray[np.float32]]:
    for block in _read(sound, "float32"):
        if sound.subtype != "PCM_16" and not np.isfinite(block).all():
            raise BadAudioError("holds NaN or infinite samples")
        yield levels.mix(block)


def _resampled(blocks: Iterator[npt.NDArray[np.float32]], rate: int, wanted: int, channels: int) -> Iterator[_Block]:
    """Blocks at `rate` → blocks at the rate `wanted`, seamless across their borders."""
    if rate == wanted:
        yield from (_Block(block, len(block)) for block in blocks)
        return
    stream = soxr.ResampleStream(rate, wanted, channels, dtype="float32", quality="HQ")
    for block in blocks:
        yield _Block(stream.resample_chunk(block), len(block))
    nothing = np.zeros((0, channels) if channels > 1 else 0, np.float32)
    yield _Block(stream.resample_chunk(nothing, last=True), 0)
