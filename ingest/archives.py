"""Archives as sources: listed from their headers, read at any place, never unpacked to disk.

A .tar is read at its members' offsets; for a .tar.gz the one pass that lists it also builds an index of seek points
(indexed_gzip), so that any worker can start in its middle.
"""

from __future__ import annotations

import dataclasses
import gzip
import io
import lzma
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import indexed_gzip

from audio.recording import EXTENSIONS, extension
from cluster.errors import UserError
from cluster.shards import Reject
from cluster.storage import filesystem, is_remote, storage_failed
from ingest.members import Listing, Member

TAR, TAR_GZ, ZIP = (".tar",), (".tar.gz", ".tgz"), (".zip",)
ARCHIVES = TAR + TAR_GZ + ZIP
SEEK_POINT_SPACING = 8 << 20
READ_ERRORS = (
    OSError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    tarfile.TarError,
    indexed_gzip.ZranError,
    NotImplementedError,
)
"""What reading a member of a damaged archive, or a file one may not read, raises."""
_ABOUT_THE_DATA = (FileNotFoundError, PermissionError, gzip.BadGzipFile)
_failed = threading.local()


@contextmanager
def storage_watched() -> Iterator[None]:
    """Raises the error of remote storage that did not answer inside, whatever the archive's library made of it.

    Such libraries take any error for the end or the damage of an archive, and then clips would be lost in silence.
    """
    _failed.error = None
    try:
        yield
    except (
        Exception
    ) as error:  # libraries wrap it, differently in each version of Python; ours may have taken it for damage
        if _failed.error is not None and _failed.error is not error:
            raise _failed.error from error
        raise
    if _failed.error is not None:
        raise _failed.error


def read_fails_for_now(error: BaseException, uri: str) -> bool:
    """Whether `error`, one of READ_ERRORS, says that remote storage did not answer, and nothing about what lies there."""
    return is_remote(uri) and storage_failed(error) and not isinstance(error, _ABOUT_THE_DATA)


class RemoteFile(io.RawIOBase):
    """A file on remote storage that remembers if it could not be read, for `storage_watched`."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._file.read(len(buffer))
        except Exception as error:
            if storage_failed(error) and not isinstance(error, _ABOUT_THE_DATA):
                _failed.error = error
            raise
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()


def open_raw(uri: str) -> IO[bytes]:
    """The archive's own bytes, seekable."""
    fs, path = filesystem(uri)
    if not is_remote(uri):
        return Path(path).open("rb")
    remote = RemoteFile(fs.open(path, "rb", cache_type="readahead", block_size=8 << 20))
    return io.BufferedReader(remote, buffer_size=1 << 20)


def seekable_gzip(raw: IO[bytes], index: bytes = b"") -> Any:
    file = indexed_gzip.IndexedGzipFile(fileobj=raw, spacing=SEEK_POINT_SPACING)
    if index:
        file.import_index(fileobj=io.BytesIO(index))
    return file


def index_name(archive: str) -> str:
    return f"{archive.rsplit('/', 1)[-1]}.index"


def is_archive(name: str) -> bool:
    return name.lower().endswith(ARCHIVES)


def list_archive(uri: str, listing: Listing) -> None:
    try:
        with storage_watched():
            if uri.lower().endswith(ZIP):
                _list_zip(uri, listing)
            else:
                _list_tar(uri, listing)
    except PermissionError as error:
        raise UserError(f"archive cannot be read: {error.strerror}", where=uri, fix="check its permissions") from None


def _list_zip(uri: str, listing: Listing) -> None:
    try:
        archive = zipfile.ZipFile(open_raw(uri))
    except (zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise UserError(f"not a readable zip archive ({error})", where=uri, fix="fetch it again") from None
    for info in archive.infolist():
        kind = (info.external_attr >> 16) & 0o170000
        if info.is_dir():
            _refuse_folder(info.filename.rstrip("/"), uri, listing)
        elif kind not in (0, 0o100000):
            listing.rejects.append(Reject(f"{uri}!/{info.filename}", "", "not a regular file"))
        elif info.flag_bits & 1:
            listing.rejects.append(Reject(f"{uri}!/{info.filename}", "", "encrypted"))
        else:
            _add(Member(info.filename, info.file_size, uri, info.header_offset), listing)


def _list_tar(uri: str, listing: Listing) -> None:
    """Takes a tar's entries from its headers. One that is cut short or damaged gives all that lies whole before."""
    gzipped = uri.lower().endswith(TAR_GZ)
    file: Any = seekable_gzip(open_raw(uri)) if gzipped else open_raw(uri)
    found, damage = _walk_tar(file)
    if gzipped and damage:
        # the seekable reader reads far ahead and loses what lies whole before the damage; the plain one does not
        found, also = _walk_tar(gzip.GzipFile(fileobj=open_raw(uri)))
        damage = also or damage
    if damage and not found:
        raise UserError(f"not a readable tar archive ({damage})", where=uri, fix="fetch it again")
    if damage:
        reason = f"archive is cut short or damaged after {len(found)} entries: {damage}"
        listing.rejects.append(Reject(uri, "", reason))
    if gzipped:
        index = io.BytesIO()
        if not damage:
            file.export_index(fileobj=index)
        listing.indices[index_name(uri)] = index.getvalue()
    for kind, member in found:
        if kind == "file":
            _add(dataclasses.replace(member, archive=uri), listing)
        elif kind == "folder":
            _refuse_folder(member.name, uri, listing)
        else:
            listing.rejects.append(
                Reject(_printable(f"{uri}!/{member.name}"), "", "not a regular file (link or device)")
            )


def _walk_tar(file: Any) -> tuple[list[tuple[str, Member]], str]:
    """The entries that are whole, and what is wrong with the archive after them ("" if nothing)."""
    found: list[tuple[str, Member]] = []
    last: tuple[str, Member] | None = None
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            # that it comes to the next header says that the entry before is whole
            while (info := archive.next()) is not None:
                found += [last] if last else []
                archive.members = []  # type: ignore[attr-defined]  # the list would grow with the archive
                plain = info.isfile() and not info.issparse()
                kind = "file" if plain else "folder" if info.isdir() else "other"
                last = kind, Member(info.name, info.size, offset=info.offset_data)
            found += [last] if last else []
            last = None
            file.seek(archive.offset)
            if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):  # cut between two files, or a damaged header
                raise EOFError("no end mark")
    except READ_ERRORS as error:
        return found, f"{last[1].name} is not whole ({error})" if last else str(error)
    return found, ""


def _add(member: Member, listing: Listing) -> None:
    """Takes a member of an archive unless its path could climb out of a folder. `./a` and `a` are the same place."""
    where = f"{member.archive}!/{member.name}"
    parts = member.name.replace("\\", "/").split("/")
    name = "/".join(part for part in member.name.split("/") if part not in ("", "."))
    if member.name.startswith(("/", "\\")) or ".." in parts or (len(parts[0]) == 2 and parts[0][1] == ":"):
        listing.rejects.append(Reject(_printable(where), "", "path climbs out of the archive"))
    elif not name.isprintable() or "�" in where or not _encodable(name):
        listing.rejects.append(Reject(_printable(where), "", "file name is not printable UTF-8"))
    elif not is_hidden(name):
        listing.members.append(dataclasses.replace(member, name=name))


def _refuse_folder(name: str, archive: str, listing: Listing) -> None:
    """A folder is nothing to report, unless its name promises audio."""
    if extension(name) in EXTENSIONS:
        listing.rejects.append(Reject(_printable(f"{archive}!/{name}"), "", "a folder, not a file"))


def is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _printable(text: str) -> str:
    """Names from a tar may hold lone surrogates, which no table takes."""
    return text.encode("utf-8", "replace").decode()


def _encodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
