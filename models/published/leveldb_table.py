"""A LevelDB table, as TensorFlow writes a checkpoint's index: sorted keys with values, in blocks with checksums.

Format: LevelDB's doc/table_format.md. Every number in the file is taken for a stranger's: it is checked before use, and what it
may cost in time and memory is bounded.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import google_crc32c

MAGIC = 0xDB4775248B80FB57
FOOTER_BYTES, TRAILER_BYTES = 48, 5
LONGEST_KEY = 1024
MOST_KEYS = 100_000
_MASK_DELTA = 0xA282EAD8
_COMPRESSIONS = {1: "snappy", 2: "zstd"}


class DamagedError(ValueError):
    """The bytes are not what the format says they are. The message says what is wrong, for people."""


def masked_crc32c(data: bytes | memoryview) -> int:
    """CRC-32C rotated right by 15 bits, plus a constant: the checksum of LevelDB and of TensorFlow's tensors."""
    crc = google_crc32c.value(bytes(data))
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


def has_magic(end: bytes) -> bool:
    """Whether a file whose last bytes are `end` is a table."""
    return end[-8:] == struct.pack("<Q", MAGIC)


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A base-128 number of at most 64 bits that begins at `at`, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise DamagedError("a number is cut short")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> 64:
                break
            return value, at
    raise DamagedError("a number has more than 64 bits")


def entries(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a whole table's bytes, in order. Raises DamagedError, also in the middle."""
    if len(table) < FOOTER_BYTES or not has_magic(table):
        raise DamagedError("does not end as a table does")
    footer = table[-FOOTER_BYTES:]
    _, at = _handle(footer, 0)  # of the metaindex, which TensorFlow leaves empty
    (offset, size), _ = _handle(footer, at)
    count, previous, free_from = 0, None, 0
    for _, place in _block(_checked(table, offset, size)):
        (offset, size), _ = _handle(place, 0)
        if offset < free_from:  # blocks named twice would let a small file cost any amount of work
            raise DamagedError("blocks overlap")
        free_from = offset + size
        for key, value in _block(_checked(table, offset, size)):
            if previous is not None and key <= previous:
                raise DamagedError("keys are out of order")
            count, previous = count + 1, key
            if count > MOST_KEYS:
                raise DamagedError(f"more than {MOST_KEYS:,} keys")
            yield key, value


def _handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    """Offset and size of a block, and where their numbers end."""
    offset, at = varint(data, at)
    size, at = varint(data, at)
    return (offset, size), at


def _checked(table: bytes, offset: int, size: int) -> bytes:
    """The block there, after its checksum held."""
    end = offset + size
    if end + TRAILER_BYTES > len(table) - FOOTER_BYTES:
        raise DamagedError("a block reaches beyond the file")
    kind, crc = table[end], int.from_bytes(table[end + 1 : end + TRAILER_BYTES], "little")
    if masked_crc32c(memoryview(table)[offset : end + 1]) != crc:
        raise DamagedError("a block differs from its checksum")
    if kind:
        raise DamagedError(f"a block is compressed ({_COMPRESSIONS.get(kind, kind)}), which is not read here")
    return table[offset:end]


def _block(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Entries of a block. A key is stored as how many bytes it shares with the one before it, and the rest."""
    if len(block) < 4:
        raise DamagedError("a block is cut short")
    end = len(block) - 4 - 4 * int.from_bytes(block[-4:], "little")  # less the restart points, for random access
    if end < 0:
        raise DamagedError("a block has more restart points than room")
    at, key = 0, b""
    while at < end:
        shared, at = varint(block, at)
        fresh, at = varint(block, at)
        length, at = varint(block, at)
        if shared > len(key) or at + fresh + length > end:
            raise DamagedError("an entry reaches beyond its block")
        if shared + fresh > LONGEST_KEY:
            raise DamagedError(f"a key has more than {LONGEST_KEY:,} bytes")
        key = key[:shared] + block[at : at + fresh]
        at += fresh + length
        yield key, block[at - length : at]
