"""What a file is, by its content: containers that libsndfile cannot tell or misreads."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from invertone.audio.recording.recording import HIGHEST_RATE, LOWEST_RATE

W64_RIFF = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb"


def instead(head: bytes) -> str:
    """What a file is that is no sound, as far as its first bytes tell."""
    if head.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS: fetch the file itself with `git lfs pull`"
    if head.startswith((b"/annex/objects/", b"../.git/annex", b".git/annex")):
        return "a pointer of git-annex: fetch the file itself with `git annex get`"
    for magic, kind in _OTHER_KINDS.items():
        if head.startswith(magic) or head[4:].startswith(magic):
            return kind
    text = head.lstrip().lower()
    return "a web page" if text.startswith((b"<!doctype", b"<html")) else "no known header"


_OTHER_KINDS = {
    b"Creative Voice File": "VOC, which is not read: convert it",
    b"\x1aE\xdf\xa3": "Matroska or WebM, which is not read: convert it",
    b"0&\xb2u\x8ef\xcf\x11": "Windows Media, which is not read: convert it",
    b"PK\x03\x04": "a zip archive",
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"\x1f\x8b": "a gzip archive",
    b"%PDF": "a PDF",
}


@dataclass(frozen=True)
class PlainWav:
    """What the header of the plainest WAV says, whose 16-bit samples begin at byte `BEGINS` and end the file."""

    channels: int
    rate: int
    frames: int

    BEGINS: ClassVar[int] = 44


_PLAIN = struct.Struct("<4sI4s4sIHHIIHH4sI")


def plain_wav(head: bytes, size: int) -> PlainWav | None:
    """The commonest of all files, in which nothing is left for a library to interpret: RIFF, 16-bit PCM, mono or stereo, a
    header of 44 bytes in which all is as it must be for the file's `size`. None for any other, be it a WAV or not."""
    if len(head) < _PLAIN.size:
        return None
    riff, rest, wave, fmt, length, kind, channels, rate, speed, frame, bits, data, sound = _PLAIN.unpack_from(head)
    if (riff, wave, fmt, length, kind, bits, data) != (b"RIFF", b"WAVE", b"fmt ", 16, 1, 16, b"data"):
        return None
    if not (
        rest == size - 8 and sound == size - _PLAIN.size > 0 and channels in (1, 2) and sound % (2 * channels) == 0
    ):
        return None
    if frame != 2 * channels or speed != rate * frame or not LOWEST_RATE <= rate <= HIGHEST_RATE:
        return None
    return PlainWav(channels, rate, sound // frame)


def container(head: bytes) -> str | None:
    """What the first bytes of a file say that it is: a key of EXTENSIONS' values, or None."""
    if head[:4] in (b"RIFF", b"RIFX", b"RF64") and head[8:12] == b"WAVE":
        return "WAV"
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return "AIFF"
    known = (
        (b"fLaC", "FLAC"),
        (b"OggS", "OGG"),
        (b".snd", "AU"),
        (b"NIST_1A", "NIST"),
        (b"caff", "CAF"),
        (W64_RIFF, "W64"),
        (b"ID3", "MP3"),
    )
    for magic, container in known:
        if head.startswith(magic):
            return container
    if head[4:8] == b"ftyp":
        return "M4A"
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return "AAC"
    return "MP3" if mpeg_frame(head) else None


def untagged(file: io.BufferedIOBase, size: int) -> tuple[io.BufferedIOBase, int]:
    """The file without ID3 tags before its sound; taggers put them before FLAC and WAV too. An MP3 keeps its own."""
    _, at = after_tags(file)
    if at == 0 or at >= size:
        return file, size
    file.seek(at)
    if container(file.read(256)) in (None, "MP3"):
        return file, size
    return io.BufferedReader(Part(file, at, size - at)), size - at


def after_tags(file: io.BufferedIOBase) -> tuple[bytes, int]:
    """The first ten bytes that are no ID3 tag, and where they lie."""
    file.seek(0)
    head, at = file.read(10), 0
    while len(head) == 10 and head[:3] == b"ID3":
        length = 0
        for each in head[6:]:  # 7 bits a byte
            length = length << 7 | each & 0x7F
        at += 10 + length + (10 if head[5] & 0x10 else 0)
        file.seek(at)
        head = file.read(10)
    return head, at


def joined(file: io.BufferedIOBase, size: int, container: str) -> int:
    """Where a second file begins that was joined to the end of this one (`cat a.flac b.flac`); 0 if none was."""
    if container in ("WAV", "AIFF"):
        file.seek(0)
        head = file.read(8)
        (length,) = struct.unpack("<I" if head[:4] in (b"RIFF", b"RF64") else ">I", head[4:])
        end = 8 + length + length % 2
        file.seek(end)
        return end if 12 < end < size - 12 and file.read(4) == head[:4] else 0
    if container == "MP3":
        start, promised = mp3_promise(file)
        file.seek(start + promised)
        return start + promised if promised and mpeg_frame(file.read(4)) else 0
    magic = {"FLAC": b"fLaC\0\0\0\x22", "OGG": b"OggS\0\x02"}.get(container)
    if magic is None:
        return 0
    at = 0
    if container == "OGG":  # the streams of one file all begin with its first pages
        file.seek(0)
        while len(page := file.read(27)) == 27 and page.startswith(magic):
            at = file.tell() + page[26] + sum(file.read(page[26]))
            file.seek(at)
    else:
        at = 8
    file.seek(at)
    rest = b""
    while data := file.read(1 << 20):
        found = (rest + data).find(magic)
        if found >= 0:
            return at - len(rest) + found
        at, rest = at + len(data), (rest + data)[-len(magic) + 1 :]
    return 0


class Part(io.RawIOBase):
    """A stretch of a file."""

    def __init__(self, file: io.BufferedIOBase, begins: int, size: int) -> None:
        self._file, self._begins, self._size, self._at = file, begins, size, 0

    def readinto(self, buffer: Any) -> int:
        self._file.seek(self._begins + self._at)
        data = self._file.read(max(0, min(len(buffer), self._size - self._at)))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True


@dataclass(frozen=True)
class _MpegFrame:
    """What the header of a frame of MPEG audio says. information: where its first frame may hold the stream's length."""

    bytes: int
    samples: int
    information: int


_BIT_RATES = {
    (1, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""kbit/s by version and layer (ISO/IEC 11172-3 section 2.4.2.3, 13818-3)."""


def mpeg_frame(head: bytes) -> _MpegFrame | None:
    """The frame that begins with these four bytes; None where they begin none, or one of a free bit rate."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    rate, bits = head[2] >> 2 & 3, head[2] >> 4
    if version == 1 or layer == 4 or rate == 3 or bits in (0, 15):
        return None
    first = version == 3
    hertz = (44_100, 48_000, 32_000)[rate] >> {3: 0, 2: 1, 0: 2}[version]
    bit_rate = _BIT_RATES[1 if first else 2, layer][bits] * 1_000
    padding, mono = head[2] >> 1 & 1, head[3] >> 6 == 3
    if layer == 1:
        return _MpegFrame((12 * bit_rate // hertz + padding) * 4, 384, 0)
    samples = 576 if layer == 3 and not first else 1_152
    information = 4 + ((17 if mono else 32) if first else (9 if mono else 17))
    return _MpegFrame(samples // 8 * bit_rate // hertz + padding, samples, information)


def chunks(file: io.BufferedIOBase, order: str) -> Iterator[tuple[bytes, int, int]]:
    """Kind, length and place of each chunk behind a RIFF's or AIFF's 12 bytes; the file stands at the chunk's data."""
    file.seek(12)
    while len(header := file.read(8)) == 8:
        kind, length = struct.unpack(f"{order}4sI", header)
        start = file.tell()
        yield kind, length, start
        file.seek(start + length + length % 2)


def mp3_promise(file: io.BufferedIOBase) -> tuple[int, int]:
    """Where an MP3's first frame begins, and how many bytes it promises from there on (the tags of Xing, LAME and
    Fraunhofer); 0 if it does not say."""
    _, start = after_tags(file)
    file.seek(start)
    frame = mpeg_frame(head := file.read(64))
    if frame is None:
        return start, 0
    tag = head[frame.information :]
    if tag[:4] in (b"Xing", b"Info") and len(tag) >= 16 and tag[7] & 2:
        at = 12 if tag[7] & 1 else 8
        return start, int.from_bytes(tag[at : at + 4], "big")
    return start, int.from_bytes(head[46:50], "big") if head[36:40] == b"VBRI" else 0
