"""Whether a file is as long as its header says: libsndfile shortens truncated files silently."""

from __future__ import annotations

import io
import math
import struct

from invertone.audio.recording.containers import chunks, mp3_promise, mpeg_frame
from invertone.audio.recording.recording import HIGHEST_RATE, LOWEST_RATE, BadAudioError

_UNKNOWN_SIZES = (0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000)
"""Data sizes that streaming writers leave in a header because they do not know the length yet."""


def _check_mp3(file: io.BufferedIOBase, size: int) -> None:
    """As many bytes as its first frame promises, and a last frame that is whole."""
    start, promised = mp3_promise(file)
    _check_length(promised, size - start)
    at = start
    file.seek(at)
    while (frame := mpeg_frame(file.read(4))) is not None:
        if at + frame.bytes > size:
            raise BadAudioError(f"truncated: its last frame has {frame.bytes} bytes, {size - at} are there")
        at += frame.bytes
        file.seek(at)


def _check_nist(file: io.BufferedIOBase, size: int) -> None:
    """NIST SPHERE: its header is lines of text, the second their whole length."""
    lines = file.read(16).split()
    length = min(int(lines[1]), size) if len(lines) > 1 and lines[1].isdigit() else 1_024
    file.seek(0)
    fields = {}
    for line in file.read(length).decode("latin-1").splitlines():
        name, _, rest = line.partition(" ")
        fields[name] = rest.partition(" ")[2].strip()
    try:
        counts = [int(fields[name]) for name in ("sample_count", "channel_count", "sample_n_bytes")]
    except (KeyError, ValueError):
        raise BadAudioError("its header does not say how long it is") from None
    if "embedded" in fields.get("sample_coding", ""):
        raise BadAudioError(
            f"compressed ({fields['sample_coding']}), which is not read: unpack it with w_decode or sph2pipe"
        )
    if min(counts) < 0:
        raise BadAudioError("negative numbers in its header")
    _check_length(math.prod(counts), size - length)


def _check_wav(file: io.BufferedIOBase, size: int) -> None:
    """Rate and channels must not be 0, and the data must be as long as the header says (RF64: as its `ds64` says)."""
    order = ">" if file.read(4) == b"RIFX" else "<"
    channels, long_length = 0, 0
    for kind, length, start in chunks(file, order):
        if kind == b"ds64":
            fields = file.read(16)
            long_length = struct.unpack("<QQ", fields)[1] if len(fields) == 16 else 0
        elif kind == b"fmt ":
            fields = file.read(min(length, 16))
            if len(fields) < 16:
                raise BadAudioError("truncated inside its header")
            _, channels, rate = struct.unpack(f"{order}HHI", fields[:8])
            check_rate(rate)
            if channels == 0:
                raise BadAudioError("0 channels in its header")
        elif kind == b"data":
            if channels == 0:
                raise BadAudioError("no format before its data")
            promised = long_length or length
            if promised == 0 and size - start > 8:
                raise BadAudioError(f"length of 0 in its header: {size - start} bytes of audio follow")
            if promised not in _UNKNOWN_SIZES:
                _check_length(promised, size - start)
            return
    raise BadAudioError("truncated: no audio data after its header")


def _check_aiff(file: io.BufferedIOBase, size: int) -> None:
    for kind, length, start in chunks(file, ">"):
        if kind == b"SSND":
            _check_length(length, size - start)
            return
    raise BadAudioError("truncated: no audio data after its header")


def _check_caf(file: io.BufferedIOBase, size: int) -> None:
    """Apple's Core Audio Format: chunks of 64-bit lengths, -1 for one that was not known."""
    file.seek(8)
    while len(header := file.read(12)) == 12:
        kind, length = struct.unpack(">4sq", header)
        start = file.tell()
        if kind == b"data":
            if length >= 0:
                _check_length(length, size - start)
            return
        file.seek(min(start + max(length, 0), size))
    raise BadAudioError("truncated: no audio data after its header")


def _check_w64(file: io.BufferedIOBase, size: int) -> None:
    """Sony's Wave64: chunks named by 16 bytes, their lengths with their own headers, padded to 8 bytes."""
    file.seek(40)
    while len(header := file.read(24)) == 24:
        length, start = struct.unpack("<Q", header[16:])[0], file.tell()
        if header.startswith(b"data"):
            _check_length(length - 24, size - start)
            return
        file.seek(min(start - 24 + -(-max(length, 24) // 8) * 8, size))
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


def _check_length(promised: int, there: int) -> None:
    if promised > there:
        raise BadAudioError(f"truncated: header promises {promised} bytes of audio, {max(there, 0)} are there")


def check_rate(rate: int) -> None:
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise BadAudioError(f"sample rate of {rate} Hz in its header")


CHECKS = {
    "WAV": _check_wav,
    "AIFF": _check_aiff,
    "AU": _check_au,
    "OGG": _check_ogg,
    "MP3": _check_mp3,
    "NIST": _check_nist,
    "CAF": _check_caf,
    "W64": _check_w64,
}
