"""Where a corpus lies: a folder, an archive, or a folder of archives. Listed once, then read at any place."""

from __future__ import annotations

import dataclasses
import gzip
import io
import os
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from invertone.audio.recording.recording import EXTENSIONS, extension
from invertone.cluster.errors import UserError
from invertone.cluster.formats.shards import Reject
from invertone.cluster.storage.addresses import absolute, filesystem, is_remote
from invertone.cluster.storage.folder import Folder, sha256
from invertone.ingest.sources.archives import list_archive
from invertone.ingest.sources.found import is_hidden
from invertone.ingest.sources.kinds import ARCHIVES, TAR_GZ, ZIP, index_name, is_archive
from invertone.ingest.sources.members import Listing, Member
from invertone.ingest.sources.remote import RemoteFile, open_raw, seekable_gzip
from invertone.ingest.sources.tars import unpacked

ASKED_AT_ONCE = 16
"""Requests under way at a time about files of a remote source."""
HELD_BYTES = 32 << 20
"""A larger file of an archive or of remote storage is copied into a temporary one to be read."""


@dataclass(frozen=True)
class Survey:
    """What a source holds, without a look into its files: `files` by name, `archives` by address, size and stamp of each.
    `rejects`: what cannot be listed."""

    files: Mapping[str, tuple[int, str]]
    archives: Mapping[str, tuple[int, str]]
    rejects: tuple[Reject, ...] = ()

    @property
    def identity(self) -> str:
        """A digest that changes when the source's files do: names and sizes; of archives their time of change as well."""
        plain = [f"{name} {size}" for name, (size, _) in self.files.items()]
        archives = [f"{uri.rsplit('/', 1)[-1]} {size} {stamp}" for uri, (size, stamp) in self.archives.items()]
        return sha256("\n".join(sorted(plain) + archives).encode())


def survey(uri: str) -> Survey:
    """As it is now. Raises UserError where the source does not exist."""
    filesystem(uri)[0].invalidate_cache()
    fs, path = _existing(uri)
    listing = Listing()
    if fs.isdir(path):
        files = {member.name: (member.size, member.stamp) for member in _walk(uri, listing)}
        archives = _archives_in(uri)
    else:
        files, archives = {}, [absolute(uri)]
    return Survey(files, {each: _size_and_stamp(each) for each in archives}, tuple(listing.rejects))


def stamp_of(info: Mapping[str, Any]) -> str:
    """What a file system says of a file that changes with its content: a digest, or a time of change."""
    for name in ("mtime", "ETag", "etag", "md5Hash", "LastModified", "last_modified", "updated"):
        if info.get(name):
            return str(info[name])
    return ""


def list_source(uri: str) -> Listing:
    """Every file of the source. Raises UserError where it does not exist or is an archive that cannot be opened."""
    fs, path = _existing(uri)
    listing = Listing()
    if fs.isdir(path):
        listing.members.extend(_walk(uri, listing))
        for archive in _archives_in(uri):
            try:
                _list_stamped(archive, listing)
            except UserError as error:
                listing.rejects.append(Reject(archive, "", error.what))
    elif is_archive(path):
        _list_stamped(absolute(uri), listing)
    else:
        raise UserError(
            "source is neither a folder nor an archive", where=uri, fix=f"give one of {', '.join(ARCHIVES)} or a folder"
        )
    listing.members.sort(key=lambda member: (member.name, member.archive))
    return listing


def _list_stamped(archive: str, listing: Listing) -> None:
    """Its members have the stamp that it had before it was read."""
    _, stamp = _size_and_stamp(archive)
    first = len(listing.members)
    list_archive(archive, listing)
    listing.members[first:] = [dataclasses.replace(each, stamp=stamp) for each in listing.members[first:]]


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
    """Opens members for reading; one per worker, keeps archives open between members."""

    def __init__(self, source: str, indices: Folder) -> None:
        self.source, self.indices = source, indices
        self._archives: dict[str, Any] = {}

    def open(self, member: Member) -> io.BufferedIOBase:
        """A seekable file. Raises one of READ_ERRORS where the member cannot be read."""
        if not member.archive:
            fs, path = filesystem(f"{self.source.rstrip('/')}/{member.name}")
            if not is_remote(self.source):
                return Path(path).open("rb")
            if member.size <= HELD_BYTES:
                return io.BytesIO(fs.cat_file(path))
            with fs.open(path, "rb", cache_type="readahead", block_size=8 << 20) as file:
                return _copied(RemoteFile(file), member.size)
        archive = self._open_archive(member.archive)
        if isinstance(archive, dict):
            zipped, info = archive[member.offset]
            with zipped.open(info) as file:
                copy = _copied(file, member.size)
                file.read(1)  # the end, where its checksum is held against it
                return copy
        archive.seek(member.offset)
        return _copied(archive, member.size)

    def check(self, members: Iterable[Member]) -> None:
        """Raises UserError if a file of these, or an archive, is not what it was when they were listed. Asked for after
        reading: what was read before is as it was then."""
        listed = self._listed(members)
        with ThreadPoolExecutor(ASKED_AT_ONCE if is_remote(self.source) else 1) as pool:
            for (uri, (size, stamp)), now in zip(listed.items(), pool.map(_found, listed), strict=True):
                if now and (now[1] != stamp or size not in (now[0], None)):
                    raise UserError(
                        "changed since this run began: what it held then and what it holds now would be mixed",
                        where=uri,
                        fix="give another out",
                    )

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
                self._archives[uri] = seekable_gzip(raw, index) if index else gzip.GzipFile(fileobj=raw)
            else:
                self._archives[uri] = unpacked(uri, raw)
        return self._archives[uri]


def _existing(uri: str) -> tuple[Any, str]:
    """The file system and path of a source that is there, and can be read at any place."""
    fs, path = filesystem(uri)
    if not fs.exists(path):
        what = "nothing is there, or its server does not answer" if is_remote(uri) else "source does not exist"
        raise UserError(what, where=uri, fix="check the path, or fetch one with `invertone corpus fetch`")
    if uri.startswith(("http://", "https://")):
        _refuse_without_ranges(fs, path, uri)
    return fs, path


def _refuse_without_ranges(fs: Any, path: str, uri: str) -> None:
    """Workers begin in the middle of an archive. A web server may only send files whole, or no list of a folder."""
    if fs.isdir(path):
        raise UserError("is a web page, no folder", where=uri, fix="give an archive, or download the folder first")
    size = fs.info(path).get("size")
    try:
        with fs.open(path, "rb", cache_type="none") as file:
            file.seek((size or 0) // 2)
            file.read(1)
    except (ValueError, TypeError):  # how fsspec says so
        what = "its server sends files whole only (it does not take range requests)"
        raise UserError(what, where=uri, fix="download it first") from None


def _archives_in(uri: str) -> list[str]:
    folder = Folder.at(uri)
    return [folder.path_of(name) for name in folder.names() if is_archive(name) and name.isprintable()]


def _size_and_stamp(uri: str) -> tuple[int, str]:
    fs, path = filesystem(uri)
    fs.invalidate_cache()  # another command, or another worker, may have seen it as it was
    info = fs.info(path)
    return int(info["size"]), stamp_of(info)


def _found(uri: str) -> tuple[int, str] | None:
    """Size and stamp; None of what is gone, which was not read either and is listed."""
    try:
        return _size_and_stamp(uri)
    except FileNotFoundError:
        return None


def _walk(uri: str, listing: Listing) -> Iterator[Member]:
    """Plain files below a folder, hidden ones and top-level archives left out; what cannot be listed is a reject."""
    if is_remote(uri):
        fs, path = filesystem(uri)
        for found, info in fs.find(path, detail=True).items():
            name = found[len(path.rstrip("/")) + 1 :]
            if not name or is_hidden(name):
                continue
            if name.endswith("/") and not info["size"]:  # an object store's mark of a folder
                if extension(name.rstrip("/")) in EXTENSIONS:
                    listing.rejects.append(Reject(f"{uri}/{name}", "", "a folder, not a file"))
                continue
            if not name.isprintable():
                listing.rejects.append(Reject(f"{uri}/{name}", "", "file name is not printable UTF-8"))
            elif "/" in name or not is_archive(name):
                yield Member(name, int(info["size"]), stamp=stamp_of(info))
        return
    root = Path(absolute(uri))
    seen: set[Path] = set()
    stack, links = [root], list[Path]()  # links last: a folder is listed under its own name
    while stack or links:
        folder = stack.pop() if stack else links.pop(0)
        real = folder.resolve()
        if real in seen:  # a link that leads back would never end
            listing.rejects.append(Reject(_text(folder), "", "link to a folder that is listed already"))
            continue
        seen.add(real)
        try:
            entries = sorted(os.scandir(folder), key=lambda each: each.name)
        except OSError as error:
            listing.rejects.append(Reject(_text(folder), "", f"folder cannot be listed: {error.strerror}"))
            continue
        for entry in entries:
            name = Path(entry.path).relative_to(root).as_posix()
            try:
                if entry.is_dir():
                    if is_hidden(f"{name}/x.wav"):
                        continue
                    if extension(name) in EXTENSIONS:
                        listing.rejects.append(Reject(_text(Path(entry.path)), "", "a folder, not a file"))
                    (links if entry.is_symlink() else stack).append(Path(entry.path))
                    continue
                if is_hidden(name):
                    continue
                member = _plain_file(entry, name, root, listing)
            except OSError as error:
                listing.rejects.append(Reject(_text(Path(entry.path)), "", f"cannot be read: {error.strerror}"))
                continue
            if member is not None:
                yield member


def _plain_file(entry: os.DirEntry[str], name: str, root: Path, listing: Listing) -> Member | None:
    where = _text(Path(entry.path))
    if not name.isprintable() or where != str(Path(entry.path)):
        listing.rejects.append(Reject(where, "", "file name is not printable UTF-8"))
        return None
    if not entry.is_file():
        reason = "dangling link" if entry.is_symlink() else "not a regular file"
        listing.rejects.append(Reject(where, "", reason))
        return None
    if "/" not in name and is_archive(name):
        return None
    status = entry.stat()
    return Member(name, status.st_size, stamp=str(status.st_mtime))


def _text(path: Path) -> str:
    """The path as printable text even where the file name is no UTF-8."""
    return os.fsencode(path).decode("utf-8", errors="replace")
