"""A compressed tar as it is unpacked, of which a worker unpacks every stretch once and not once a shard.

The recordings of a shard lie scattered over the whole archive. Whoever enters it anew for each unpacks most of it for each
shard: of Speech Commands, which make two hundred shards, two hundred times.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import IO, Any

from invertone.ingest.sources.remote import READ_ERRORS

STRETCH_BYTES = 8 << 20
KEPT_BYTES = 4 << 30
"""What one archive may take of the disk for temporary files, for a worker."""
LEFT_FREE = 0.1
"""The share of that disk that stays free whatever there would be to keep."""


class Unpacked:
    """Reads like `file`, what it unpacks to, and keeps whole stretches of it in a temporary file while there is room.

    jumps: whether `file` can begin at any place; if not, all that comes before is unpacked as well, and kept.
    """

    def __init__(self, file: Any, *, jumps: bool) -> None:
        self._file, self._jumps, self._at = file, jumps, 0
        self._kept: IO[bytes] | None = None
        self._ends: dict[int, int] = {}
        self._unkept: set[int] = set()

    def seek(self, offset: int) -> None:
        self._at = offset

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, fewer where a stretch ends; none at the end. Raises as `file` does."""
        number = self._at // STRETCH_BYTES
        if number not in self._ends and number not in self._unkept:
            self._keep(number)
        if number in self._unkept:
            self._file.seek(self._at)
            data = bytes(self._file.read(size))
        else:
            assert self._kept is not None, "a stretch that is kept nowhere"
            data = os.pread(self._kept.fileno(), min(size, max(0, self._ends[number] - self._at)), self._at)
        self._at += len(data)
        return data

    def _keep(self, number: int) -> None:
        """Unpacks a stretch, and those before it that must be. One that is damaged or has no room is not kept: what is whole
        of it is read as it would be without this."""
        first = number if self._jumps else max((each + 1 for each in self._ends if each < number), default=0)
        for each in range(first, number + 1):
            if each in self._unkept or not self._has_room():
                self._unkept.add(number)
                return
            try:
                data = self._unpack(each)
            except READ_ERRORS:
                self._unkept |= {each, number}
                return
            if self._kept is None:
                self._kept = tempfile.TemporaryFile()  # noqa: SIM115 (as long-lived as this)
            try:
                _write(self._kept.fileno(), data, each * STRETCH_BYTES)
            except OSError:  # the disk is full
                self._unkept |= {each, number}
                return
            self._ends[each] = each * STRETCH_BYTES + len(data)

    def _unpack(self, number: int) -> bytes:
        self._file.seek(number * STRETCH_BYTES)
        data = bytearray()
        while len(data) < STRETCH_BYTES and (more := self._file.read(STRETCH_BYTES - len(data))):
            data += more
        return bytes(data)

    def _has_room(self) -> bool:
        if (len(self._ends) + 1) * STRETCH_BYTES > KEPT_BYTES:
            return False
        disk = shutil.disk_usage(tempfile.gettempdir())
        return disk.free - STRETCH_BYTES > LEFT_FREE * disk.total


def _write(descriptor: int, data: bytes, offset: int) -> None:
    written = 0
    while written < len(data):
        written += os.pwrite(descriptor, memoryview(data)[written:], offset + written)
