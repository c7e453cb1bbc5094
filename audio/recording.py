"""A recording of any format, rate and channel count → mono int16 at 16 kHz; or the reason why it is none.

What a file is, its content decides, not its name. libsndfile is lenient: it shortens a truncated WAV, AIFF, AU, MP3 or Ogg
silently. An archive's owner wants to know, so header and length are checked here.
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from invertone.audio.clip import FULL_SCALE, SAMPLE_RATE, Samples, to_int16

EXTENSIONS = {
    "wav": "WAV",
    "flac": "FLAC",
    "ogg": "OGG",
    "oga": "OGG",
    "opus": "OGG",
    "mp3": "MP3",
    "aiff": "AIFF",
    "aif": "AIFF",
    "aifc": "AIFF",
    "au": "AU",
    "snd": "AU",
    "sph": "NIST",
    "nist": "NIST",
    "wave": "WAV",
    "bwf": "WAV",
    "rf64": "WAV",
    "caf": "CAF",
    "w64": "W64",
}
"""File-name extensions that promise audio, and the container each usually is."""

LOWEST_RATE, HIGHEST_RATE = 1_000, 768_000
BLOCK_FRAMES = 1 << 20
LOUDEST_FLOAT = 16.0
"""Full scale is 1; what lies far above is no sound that was recorded too loud, but another range."""
CANCELLED = 0.01
"""The share of the channels' mean power below which a mix has lost the sound (-20 dB)."""
_W64_RIFF = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb"
_UNKNOWN_SIZES = (0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000)
"""Data sizes that streaming writers leave in a header because they do not know the length yet."""
_UNKNOWN_FRAMES = 1 << 60
"""What libsndfile says of a FLAC that was written as a stream, whose header says no length."""


class BadAudioError(Exception):
    """The input is not a usable recording. The message is the reason, for the rejects table."""


@dataclass(frozen=True)
class Concern:
    """What should be known of a recording that is taken nevertheless: `what`, and how much of it."""

    what: str
    amount: float


@dataclass(frozen=True)
class Recording:
    """samples: int16 [n], mono at `SAMPLE_RATE`; clipped: samples past full scale; concerns: what was done to it."""

    samples: Samples
    source_sample_rate: int
    clipped: int
    concerns: tuple[Concern, ...] = ()


def extension(name: str) -> str:
    return name.rpartition(".")[2].lower() if "." in name.rpartition("/")[2] else ""


def read_recording(file: io.BufferedIOBase) -> Recording:
    """Decodes a whole seekable file, mixes down (mean of channels) and resamples (soxr, high quality).

    Raises BadAudioError with a reason.
    """
    decoder = Decoder(file)
    samples = np.concatenate(list(decoder.blocks()))
    return Recording(samples, decoder.source_sample_rate, decoder.clipped, decoder.concerns())


class Decoder:
    """One pass over a seekable file, in blocks: memory does not grow with the recording. Raises BadAudioError with a reason
    for a file that is none."""

    def __init__(self, file: io.BufferedIOBase) -> None:
        size = file.seek(0, io.SEEK_END)
        if size == 0:
            raise BadAudioError("empty file (0 bytes)")
        self._file, size = _untagged(file, size)
        self._file.seek(0)
        head = self._file.read(256)
        container = _container(head)
        if container is None:
            raise BadAudioError(f"not audio ({_instead(head)})")
        self._container = container
        if container in _CHECKS:
            self._file.seek(0)
            _CHECKS[container](self._file, size)
        self._joined = _joined(self._file, size, container)
        if self._joined and container in ("WAV", "AIFF"):  # libsndfile takes what follows for a damaged chunk
            self._file = io.BufferedReader(_Part(self._file, 0, self._joined))
        self.source_sample_rate, self.clipped = 0, 0
        self._levels = _Levels()

    def blocks(self) -> Iterator[Samples]:
        """int16 at `SAMPLE_RATE`. Where it raises BadAudioError, nothing of what came before may be used."""
        scale = self._float_scale()
        self._file.seek(0)
        self._levels, self.clipped, made = _Levels(scale), 0, 0
        with _reasons(), soundfile.SoundFile(self._file) as sound:
            _check_rate(sound.samplerate)
            if sound.frames == 0:
                raise BadAudioError("no samples")
            if sound.frames >= _UNKNOWN_FRAMES:
                sound.seekable = lambda: False  # soundfile would seek after each block, and there it cannot
            expected, self.source_sample_rate = sound.frames, sound.samplerate
            frames = 0
            for block in _resampled(_mixed(sound, self._levels), sound.samplerate):
                samples, outside = to_int16(block.mono)
                frames += block.frames
                self.clipped += outside
                made += len(samples)
                if len(samples):
                    yield samples
        # an MP3's frame count is an estimate, a stream's is none
        if frames < expected < _UNKNOWN_FRAMES and self._container != "MP3":
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

    def _float_scale(self) -> float:
        """1, or what brings floating-point samples that were written in an integer's range back to ±1."""
        self._file.seek(0)
        with _reasons(), soundfile.SoundFile(self._file) as sound:
            if sound.subtype not in ("FLOAT", "DOUBLE") or not sound.seekable():
                return 1.0
            peak, whole = 0.0, True
            while len(block := sound.read(BLOCK_FRAMES, dtype="float64", always_2d=True)):
                peak = max(peak, float(np.abs(block).max()))
                whole = whole and bool((block == np.rint(block)).all())
        if not np.isfinite(peak) or peak <= LOUDEST_FLOAT:
            return 1.0
        if peak <= 1.1 * FULL_SCALE:
            return 1 / FULL_SCALE
        for bits in (24, 32):
            if whole and peak <= 2 ** (bits - 1):
                return 2.0 ** (1 - bits)
        raise BadAudioError(f"beyond any full scale: samples up to {peak:g} in floating point, where it is 1")


@contextmanager
def _reasons() -> Iterator[None]:
    """What libsndfile says, as a reason."""
    try:
        yield
    except (soundfile.LibsndfileError, soundfile.SoundFileError, RuntimeError) as error:
        # its text names the Python object that was read, with an address that differs from run to run
        text = error.error_string if isinstance(error, soundfile.LibsndfileError) else str(error)
        raise BadAudioError(f"not decodable: {' '.join(text.split())}") from None


@dataclass
class _Levels:
    """What mixing down has done to the sound so far. scale: what every sample was multiplied by."""

    scale: float = 1.0
    past_full_scale: bool = False
    channels: int = 1
    mixed: float = 0.0
    apart: float = 0.0

    def mix(self, block: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Float [n, channels] → their mean, [n]."""
        if self.scale != 1:
            block = block * np.float32(self.scale)
        self.channels = block.shape[1]
        mono = block.mean(axis=1) if self.channels > 1 else block[:, 0]
        self.past_full_scale = self.past_full_scale or bool(mono.max() > 1 or mono.min() < -1)
        self.mixed += float(np.dot(mono, mono))
        if self.channels > 1:
            self.apart += float(np.vdot(block, block)) / self.channels
        return mono

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
    mono: npt.NDArray[np.float32]
    frames: int


def _mixed(sound: soundfile.SoundFile, levels: _Levels) -> Iterator[npt.NDArray[np.float32]]:
    while True:
        block = sound.read(BLOCK_FRAMES, dtype="float32", always_2d=True)
        if len(block) == 0:
            return
        if not np.isfinite(block).all():
            raise BadAudioError("holds NaN or infinite samples")
        yield levels.mix(block)
        if len(block) < BLOCK_FRAMES:  # the end; a stream of no known length must not be asked for more
            return


def _resampled(blocks: Iterator[npt.NDArray[np.float32]], rate: int) -> Iterator[_Block]:
    """Blocks at `rate` → blocks at SAMPLE_RATE, seamless across their borders."""
    if rate == SAMPLE_RATE:
        yield from (_Block(block, len(block)) for block in blocks)
        return
    stream = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
    for block in blocks:
        yield _Block(stream.resample_chunk(block), len(block))
    yield _Block(stream.resample_chunk(np.zeros(0, np.float32), last=True), 0)


def _untagged(file: io.BufferedIOBase, size: int) -> tuple[io.BufferedIOBase, int]:
    """The file without ID3 tags before its sound; taggers put them before FLAC and WAV too. An MP3 keeps its own."""
    _, at = _after_tags(file)
    if at == 0 or at >= size:
        return file, size
    file.seek(at)
    if _container(file.read(256)) in (None, "MP3"):
        return file, size
    return io.BufferedReader(_Part(file, at, size - at)), size - at


def _joined(file: io.BufferedIOBase, size: int, container: str) -> int:
    """Where a second file begins that was joined to the end of this one (`cat a.flac b.flac`); 0 if none was."""
    if container in ("WAV", "AIFF"):
        file.seek(0)
        head = file.read(8)
        (length,) = struct.unpack("<I" if head[:4] in (b"RIFF", b"RF64") else ">I", head[4:])
        end = 8 + length + length % 2
        file.seek(end)
        return end if 12 < end < size - 12 and file.read(4) == head[:4] else 0
    if container == "MP3":
        start, promised = _mp3_promise(file)
        file.seek(start + promised)
        return start + promised if promised and _mpeg_frame(file.read(4)) else 0
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


class _Part(io.RawIOBase):
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


def _instead(head: bytes) -> str:
    """What a file is that is no sound, as far as its first bytes tell."""
    if head.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS: fetch the file itself with `git lfs pull`"
    if head.startswith((b"/annex/objects/", b"../.git/annex", b".git/annex")):
        return "a pointer of git-annex: fetch the file itself with `git annex get`"
    for magic, kind in _OTHER_KINDS.items():
        if head.startswith(magic) or head[4:].startswith(magic):
            return kind
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return "AAC, which is not read: convert it"
    text = head.lstrip().lower()
    return "a web page" if text.startswith((b"<!doctype", b"<html")) else "no known header"


_OTHER_KINDS = {
    b"Creative Voice File": "VOC, which is not read: convert it",
    b"ftyp": "MPEG-4 (m4a, mp4), which is not read: convert it",
    b"\x1aE\xdf\xa3": "Matroska or WebM, which is not read: convert it",
    b"0&\xb2u\x8ef\xcf\x11": "Windows Media, which is not read: convert it",
    b"PK\x03\x04": "a zip archive",
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"\x1f\x8b": "a gzip archive",
    b"%PDF": "a PDF",
}


def _container(head: bytes) -> str | None:
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
        (_W64_RIFF, "W64"),
        (b"ID3", "MP3"),
    )
    for magic, container in known:
        if head.startswith(magic):
            return container
    return "MP3" if _mpeg_frame(head) else None


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


def _mpeg_frame(head: bytes) -> _MpegFrame | None:
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


def _mp3_promise(file: io.BufferedIOBase) -> tuple[int, int]:
    """Where an MP3's first frame begins, and how many bytes it promises from there on (the tags of Xing, LAME and
    Fraunhofer); 0 if it does not say."""
    _, start = _after_tags(file)
    file.seek(start)
    frame = _mpeg_frame(head := file.read(64))
    if frame is None:
        return start, 0
    tag = head[frame.information :]
    if tag[:4] in (b"Xing", b"Info") and len(tag) >= 16 and tag[7] & 2:
        at = 12 if tag[7] & 1 else 8
        return start, int.from_bytes(tag[at : at + 4], "big")
    return start, int.from_bytes(head[46:50], "big") if head[36:40] == b"VBRI" else 0


def _check_mp3(file: io.BufferedIOBase, size: int) -> None:
    """As many bytes as its first frame promises, and a last frame that is whole."""
    start, promised = _mp3_promise(file)
    _check_length(promised, size - start)
    at = start
    file.seek(at)
    while (frame := _mpeg_frame(file.read(4))) is not None:
        if at + frame.bytes > size:
            raise BadAudioError(f"truncated: its last frame has {frame.bytes} bytes, {size - at} are there")
        at += frame.bytes
        file.seek(at)


def _after_tags(file: io.BufferedIOBase) -> tuple[bytes, int]:
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
            if promised == 0 and size - start > 8:
                raise BadAudioError(f"length of 0 in its header: {size - start} bytes of audio follow")
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


_CHECKS = {
    "WAV": _check_wav,
    "AIFF": _check_aiff,
    "AU": _check_au,
    "OGG": _check_ogg,
    "MP3": _check_mp3,
    "NIST": _check_nist,
    "CAF": _check_caf,
    "W64": _check_w64,
}
