"""Members of a source opened for reading, at any place and on any worker."""

from __future__ import annotations

import gzip
import io
import os
import tempfile
import threading
import zipfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from invertone.audio.recording.containers import Part
from invertone.cluster.errors import UserError
from invertone.cluster.storage.addresses import absolute, filesystem, is_remote
from invertone.cluster.storage.folder import Folder
from invertone.ingest.sources.kinds import TAR, TAR_BZ2, TAR_GZ, TAR_XZ, ZIP, index_name
from invertone.ingest.sources.members import Member
from invertone.ingest.sources.remote import RemoteFile, open_raw, seekable_gzip
from invertone.ingest.sources.stamps import size_and_stamp
from invertone.ingest.sources.tars import unpacked
from invertone.ingest.sources.unpacked import Unpacked

ASKED_AT_ONCE = 16
"""Requests under way at a time about files of a remote source."""
PEEKED_BYTES = 1 << 16
"""What is read at once of a remote file whose header is wanted."""
HELD_BYTES = 32 << 20
"""A larger file of an archive or of remote storage is copied into a temporary one to be read."""


def _copied(file: Any, size: int) -> io.BufferedIOBase:
    """The next `size` bytes as a seekable file: in memory, or in a temporary file if they are many."""
    left = size
    target: Any = io.BytesIO() if size <= HELD_BYTES else tempfile.TemporaryFile()  # noqa: SIM115 (the caller closes it)
    while left and (data := file.read(min(left, 1 << 20))):
        target.write(data)
        left -= len(data)
    if left:
        raise EOFError(f"archive ends {left} bytes before this file does")
    target.seek(0)
    return target


class Opener:
    """Opens members for reading; one per worker, keeps archives open between members. Threads may share it."""

    def __init__(self, source: str, indices: Folder) -> None:
        self.source, self.indices = source, indices
        self._remote = is_remote(source)
        self._local = "" if self._remote else absolute(source)
        self._archives: dict[str, Any] = {}
        self._lock = threading.Lock()  # around archives, which have one place at which they are read

    def open(self, member: Member) -> io.BufferedIOBase:
        """A seekable file. Raises one of READ_ERRORS where the member cannot be read."""
        if not member.archive:
            if not self._remote:
                return _local(f"{self._local}/{member.name}")
            fs, path = filesystem(f"{self.source.rstrip('/')}/{member.name}")
            if member.size <= HELD_BYTES:
                return io.BytesIO(fs.cat_file(path))
            with fs.open(path, "rb", cache_type="readahead", block_size=8 << 20) as file:
                return _copied(RemoteFile(file), member.size)
        with self._lock:
            archive = self._open_archive(member.archive)
            if isinstance(archive, dict):
                zipped, info = archive[member.offset]
                with zipped.open(info) as file:
                    copy = _copied(file, member.size)
                    file.read(1)  # the end, where its checksum is held against it
                    return copy
            archive.seek(member.offset)
            return _copied(archive, member.size)

    @contextmanager
    def peek(self, member: Member) -> Iterator[io.BufferedIOBase]:
        """As `open`, while the context lasts; only what is asked for is read, where it lies so that this is possible: for
        headers."""
        if member.archive and not member.archive.lower().endswith(TAR):
            with self.open(member) as file:
                yield file
            return
        with self._peeked(member.archive or f"{self.source.rstrip('/')}/{member.name}") as raw:
            yield io.BufferedReader(Part(raw, member.offset, member.size)) if member.archive else raw

    def _peeked(self, place: str) -> Any:
        if not is_remote(place):
            return open(absolute(place), "rb")
        fs, path = filesystem(place)
        return io.BufferedReader(RemoteFile(fs.open(path, "rb", cache_type="readahead", block_size=PEEKED_BYTES)))

    def check(self, members: Iterable[Member]) -> None:
        """Raises UserError if a file of these, or an archive, is not what it was when they were listed. Asked for after
        reading: what was read before is as it was then."""
        listed = self._listed(members)
        if not self._remote:
            for uri, then in listed.items():
                _refuse_changed(uri, then, _found(uri))
            return
        with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
            for (uri, then), now in zip(listed.items(), pool.map(_found, listed), strict=True):
                _refuse_changed(uri, then, now)

    def _listed(self, members: Iterable[Member]) -> dict[str, tuple[int | None, str]]:
        """Size (None of an archive, which is not known here) and stamp of each file that these lie in."""
        there: dict[str, tuple[int | None, str]] = {}
        for member in (each for each in members if each.stamp):
            place = member.archive or f"{self.source.rstrip('/')}/{member.name}"
            there[place] = (None if member.archive else member.size, member.stamp)
        return there

    def _open_archive(self, uri: str) -> Any:
        if uri not in self._archives:
            raw = open_raw(uri)
            if uri.lower().endswith(ZIP):
                zipped = zipfile.ZipFile(raw)
                self._archives[uri] = {info.header_offset: (zipped, info) for info in zipped.infolist()}
            elif uri.lower().endswith(TAR_GZ):
                index = self.indices.read_bytes(index_name(uri))
                file = seekable_gzip(raw, index) if index else gzip.GzipFile(fileobj=raw)
                self._archives[uri] = Unpacked(file, jumps=bool(index))
            elif uri.lower().endswith(TAR_XZ + TAR_BZ2):
                self._archives[uri] = Unpacked(unpacked(uri, raw), jumps=False)
            else:
                self._archives[uri] = raw
        return self._archives[uri]


def _local(path: str) -> io.BufferedIOBase:
    """A file of this machine, at once in memory unless it is long: decoders ask for it in many small pieces."""
    file = open(path, "rb", buffering=0)  # noqa: SIM115 (returned, or closed below)
    if os.fstat(file.fileno()).st_size > HELD_BYTES:
        return io.BufferedReader(file)
    with file:
        return io.BytesIO(file.readall())


def _refuse_changed(uri: str, then: tuple[int | None, str], now: tuple[int, str] | None) -> None:
    """then: size (None where it is not known) and stamp as they were listed. now: as they are; None where it is gone."""
    if now and (now[1] != then[1] or then[0] not in (now[0], None)):
        raise UserError(
            "changed since this run began: what it held then and what it holds now would be mixed",
            where=uri,
            fix="give another out",
        )


def _found(uri: str) -> tuple[int, str] | None:
    """Size and stamp; None of what is gone, which was not read either and is listed."""
    try:
        return size_and_stamp(uri)
    except FileNotFoundError:
        return None
