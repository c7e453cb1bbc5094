"""A recording of any format, rate and channel count → mono int16 at 16 kHz; or the reason why it is none.

libsndfile is lenient: it shortens a truncated WAV, AIFF, AU or Ogg silently and takes a FLAC named .wav. An archive's
owner wants to know, so container, header and length are checked here.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from audio.clip import SAMPLE_RATE, Samples, to_int16

EXTENSIONS = {
    "wav": "WAV",
    "flac": "FLAC",
    "ogg": "OGG",
    "oga": "OGG",
    "opus": "OGG",
    "mp3": "MP3",
    "aiff": "AIFF",
    "aif": "AIFF",
    "au": "AU",
}
"""File-name extensions that promise audio, and the container each promises."""

LOWEST_RATE, HIGHEST_RATE = 1_000, 768_000
BLOCK_FRAMES = 1 << 20
_UNKNOWN_SIZES = (0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000)
"""Data sizes that streaming writers leave in a header because they do not know the length yet."""
_UNKNOWN_FRAMES = 1 << 60


class BadAudioError(Exception):
    """The input is not a usable recording. The message is the reason, for the rejects table."""


@dataclass(frozen=True)
class Recording:
    """samples: int16 [n], mono at `SAMPLE_RATE`; clipped: samples that resampling drove past full scale."""

    samples: Samples
    source_sample_rate: int
    clipped: int


def extension(name: str) -> str:
    return name.rpartition(".")[2].lower() if "." in name.rpartition("/")[2] else ""


def read_recording(file: io.BufferedIOBase, name: str) -> Recording:
    """Decodes a seekable file named `name`, mixes down (mean of channels) and resamples (soxr, high quality).

    Raises BadAudioError with a reason.
    """
    size = file.seek(0, io.SEEK_END)
    if size == 0:
        raise BadAudioError("empty file (0 bytes)")
    file.seek(0)
    container = _container(file.read(12))
    file.seek(0)
    promised = EXTENSIONS.get(extension(name))
    if container is None:
        raise BadAudioError("not audio (no known header)")
    if promised is not None and promised != container:
        raise BadAudioError(f"wrong extension: named .{extension(name)} but holds {container}")
    if container in _CHECKS:
        _CHECKS[container](file, size)
        file.seek(0)
    try:
        with soundfile.SoundFile(file) as sound:
            _check_rate(sound.samplerate)
            if sound.frames == 0:
                raise BadAudioError("no samples")
            if sound.frames >= _UNKNOWN_FRAMES:
                raise BadAudioError("its header does not say how long it is (written as a stream)")
            expected, rate = sound.frames, sound.samplerate
            pieces, frames, clipped = [], 0, 0
            for block in _resampled(_blocks(sound), rate):
                samples, outside = to_int16(block.mono)
                pieces.append(samples)
                frames += block.frames
                clipped += outside
    except (soundfile.LibsndfileError, soundfile.SoundFileError, RuntimeError) as error:
        # its text names the Python object that was read, with an address that differs from run to run
        text = error.error_string if isinstance(error, soundfile.LibsndfileError) else str(error)
        raise BadAudioError(f"not decodable: {' '.join(text.split())}") from None
    if frames < expected and container != "MP3":  # an MP3's frame count is an estimate
        raise BadAudioError(f"truncated: header promises {expected} samples, {frames} are there")
    whole = np.concatenate(pieces)
    if len(whole) == 0:
        raise BadAudioError("no samples")
    return Recording(samples=whole, source_sample_rate=rate, clipped=clipped)


@dataclass(frozen=True)
class _Block:
    mono: npt.NDArray[np.float32]
    frames: int


def _blocks(sound: soundfile.SoundFile) -> Iterator[npt.NDArray[np.float32]]:
    while True:
        block = sound.read(BLOCK_FRAMES, dtype="float32", always_2d=True)
        if len(block) == 0:
            return
        if not np.isfinite(block).all():
            raise BadAudioError("holds NaN or infinite samples")
        yield block.mean(axis=1) if block.shape[1] > 1 else block[:, 0]


def _resampled(blocks: Iterator[npt.NDArray[np.float32]], rate: int) -> Iterator[_Block]:
    """Blocks at `rate` → blocks at SAMPLE_RATE, seamless across their borders."""
    if rate == SAMPLE_RATE:
        yield from (_Block(block, len(block)) for block in blocks)
        return
    stream = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
    for block in blocks:
        yield _Block(stream.resample_chunk(block), len(block))
    yield _Block(stream.resample_chunk(np.zeros(0, np.float32), last=True), 0)


def _container(head: bytes) -> str | None:
    if head[:4] in (b"RIFF", b"RIFX", b"RF64") and head[8:12] == b"WAVE":
        return "WAV"
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return "AIFF"
    for magic, container in ((b"fLaC", "FLAC"), (b"OggS", "OGG"), (b".snd", "AU"), (b"ID3", "MP3")):
        if head.startswith(magic):
            return container
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        return "MP3"
    return None


def _check_wav(file: io.BufferedIOBase, size: int) -> None:
    """Rate and channels must not be 0, and the data must be as long as the header says (RF64: as its `ds64` says)."""
    order = ">" if file.read(4) == b"RIFX" else "<"
    channels, long_length = 0, 0
    for kind, length, start in _chunks(file, order):
        if kind == b"ds64":
            fields = file.read(16)
            long_length = struct.unpack("<QQ", fields)[1] if len(fields) == 16 else 0
        elif kind == b"fmt ":
            fields = file.read(min(length, 16))
            if len(fields) < 16:
                raise BadAudioError("truncated inside its header")
            _, channels, rate = struct.unpack(f"{order}HHI", fields[:8])
            _check_rate(rate)
            if channels == 0:
                raise BadAudioError("0 channels in its header")
        elif kind == b"data":
            if channels == 0:
                raise BadAudioError("no format before its data")
            promised = long_length or length
            if promised not in _UNKNOWN_SIZES:
                _check_length(promised, size - start)
            return
    raise BadAudioError("truncated: no audio data after its header")


def _check_aiff(file: io.BufferedIOBase, size: int) -> None:
    for kind, length, start in _chunks(file, ">"):
        if kind == b"SSND":
            _check_length(length, size - start)
            return
    raise BadAudioError("truncated: no audio data after its header")


def _check_au(file: io.BufferedIOBase, size: int) -> None:
    header = file.read(12)
    if len(header) < 12:
        raise BadAudioError("truncated inside its header")
    start, length = struct.unpack(">II", header[4:])
    if length not in _UNKNOWN_SIZES:
        _check_length(length, size - start)


def _check_ogg(file: io.BufferedIOBase, size: int) -> None:
    """The last page of an Ogg stream carries the end-of-stream flag and is whole; a cut file lacks one or the other."""
    file.seek(max(0, size - 65_536 - 1_024))
    tail = file.read()
    last = tail.rfind(b"OggS")
    page = tail[last:] if last >= 0 else b""
    whole = len(page) >= 27 and len(page) >= 27 + page[26] + sum(page[27 : 27 + page[26]])
    if not whole or not page[5] & 0x04:
        raise BadAudioError("truncated: its last page is missing")


def _chunks(file: io.BufferedIOBase, order: str) -> Iterator[tuple[bytes, int, int]]:
    """Kind, length and place of each chunk behind a RIFF's or AIFF's 12 bytes; the file stands at the chunk's data."""
    file.seek(12)
    while len(header := file.read(8)) == 8:
        kind, length = struct.unpack(f"{order}4sI", header)
        start = file.tell()
        yield kind, length, start
        file.seek(start + length + length % 2)


def _check_length(promised: int, there: int) -> None:
    if promised > there:
        raise BadAudioError(f"truncated: header promises {promised} bytes of audio, {max(there, 0)} are there")


def _check_rate(rate: int) -> None:
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise BadAudioError(f"sample rate of {rate} Hz in its header")


_CHECKS = {"WAV": _check_wav, "AIFF": _check_aiff, "AU": _check_au, "OGG": _check_ogg}
