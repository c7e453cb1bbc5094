"""Where a corpus lies: a folder, an archive, or a folder of archives. Listed once, then read at any place.

Archives are never unpacked to disk. A .tar is read at its members' offsets; for a .tar.gz the one pass that lists it
also builds an index of seek points (indexed_gzip), so that any worker can start in its middle.
"""

from __future__ import annotations

import dataclasses
import gzip
import io
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import indexed_gzip

from audio.recording import EXTENSIONS, extension
from cluster.errors import UserError
from cluster.shards import Reject
from cluster.storage import Folder, absolute, filesystem, is_remote, sha256
from cluster.storage import storage_failed as failed

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


def storage_failed(error: BaseException, uri: str) -> bool:
    """Whether `error`, one of READ_ERRORS, says that remote storage did not answer, and nothing about what lies there."""
    data = (FileNotFoundError, PermissionError, gzip.BadGzipFile)
    return is_remote(uri) and failed(error) and not isinstance(error, data)


@dataclass(frozen=True)
class Member:
    """One file of a source. `archive` is its archive's address ("" for a plain file), `offset` its place in there."""

    name: str
    size: int
    archive: str = ""
    offset: int = -1


@dataclass
class Listing:
    """What a source holds, sorted by name. `rejects`: entries that are no readable file. `indices`: gzip seek points,
    empty for an archive that is damaged and can only be read from its beginning."""

    members: list[Member] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    indices: dict[str, bytes] = field(default_factory=dict)


def member_uri(source: str, member: Member) -> str:
    """An address that tells a person where a clip came from: `…/corpus.tar.gz!/yes/1.wav` inside an archive."""
    return f"{member.archive}!/{member.name}" if member.archive else f"{source.rstrip('/')}/{member.name}"


def is_archive(name: str) -> bool:
    return name.lower().endswith(ARCHIVES)


def identity(uri: str) -> str:
    """A digest that changes when the source's files do: names and sizes; of archives their time of change as well."""
    fs, path = filesystem(uri)
    if not fs.exists(path):
        raise UserError(
            "source does not exist", where=uri, fix="check the path, or fetch one with `invertone corpus fetch`"
        )
    if not fs.isdir(path):
        archives, plain = [absolute(uri)], []
    else:
        listing = Listing()
        plain = [f"{m.name} {m.size}" for m in _walk(uri, listing)]
        archives = _archives_in(uri)
    return sha256("\n".join(sorted(plain) + [_archive_identity(each) for each in archives]).encode())


def list_source(uri: str) -> Listing:
    """Every file of the source. Raises UserError where it does not exist or is an archive that cannot be opened."""
    fs, path = filesystem(uri)
    if not fs.exists(path):
        raise UserError(
            "source does not exist", where=uri, fix="check the path, or fetch one with `invertone corpus fetch`"
        )
    listing = Listing()
    if fs.isdir(path):
        listing.members.extend(_walk(uri, listing))
        archives = _archives_in(uri)
        for archive in archives:
            try:
                _list_archive(archive, listing)
            except UserError as error:
                listing.rejects.append(Reject(archive, "", error.what))
    elif is_archive(path):
        _list_archive(absolute(uri), listing)
    else:
        raise UserError(
            "source is neither a folder nor an archive", where=uri, fix=f"give one of {', '.join(ARCHIVES)} or a folder"
        )
    listing.members.sort(key=lambda member: (member.name, member.archive))
    return listing


class Opener:
    """Opens members for reading; one per worker, keeps archives open between members."""

    def __init__(self, source: str, indices: Folder) -> None:
        self.source, self.indices = source, indices
        self._archives: dict[str, Any] = {}

    def open(self, member: Member) -> io.BufferedIOBase:
        """A seekable file. Raises one of READ_ERRORS where the member cannot be read."""
        if not member.archive:
            fs, path = filesystem(f"{self.source.rstrip('/')}/{member.name}")
            return Path(path).open("rb") if not is_remote(self.source) else io.BytesIO(fs.cat_file(path))
        archive = self._open_archive(member.archive)
        if isinstance(archive, dict):
            zipped, info = archive[member.offset]
            return io.BytesIO(zipped.read(info))
        archive.seek(member.offset)
        data = archive.read(member.size)
        if len(data) < member.size:
            raise EOFError(f"archive ends {member.size - len(data)} bytes before this file does")
        return io.BytesIO(data)

    def _open_archive(self, uri: str) -> Any:
        if uri not in self._archives:
            raw = _open_raw(uri)
            if uri.lower().endswith(ZIP):
                zipped = zipfile.ZipFile(raw)
                self._archives[uri] = {info.header_offset: (zipped, info) for info in zipped.infolist()}
            elif uri.lower().endswith(TAR_GZ):
                index = self.indices.read_bytes(index_name(uri))
                self._archives[uri] = _seekable_gzip(raw, index) if index else gzip.GzipFile(fileobj=raw)
            else:
                self._archives[uri] = raw
        return self._archives[uri]


def index_name(archive: str) -> str:
    return f"{archive.rsplit('/', 1)[-1]}.index"


def _archives_in(uri: str) -> list[str]:
    folder = Folder.at(uri)
    return [folder.path_of(name) for name in folder.names() if is_archive(name) and name.isprintable()]


def _archive_identity(uri: str) -> str:
    fs, path = filesystem(uri)
    info = fs.info(path)
    changed = info.get("mtime") or info.get("ETag") or info.get("LastModified") or ""
    return f"{uri.rsplit('/', 1)[-1]} {info['size']} {changed}"


def _walk(uri: str, listing: Listing) -> Iterator[Member]:
    """Plain files below a folder, hidden ones and top-level archives left out; what cannot be listed is a reject."""
    if is_remote(uri):
        fs, path = filesystem(uri)
        for found, info in fs.find(path, detail=True).items():
            name = found[len(path.rstrip("/")) + 1 :]
            if not name or _hidden(name):
                continue
            if not name.isprintable():
                listing.rejects.append(Reject(f"{uri}/{name}", "", "file name is not printable UTF-8"))
            elif "/" in name or not is_archive(name):
                yield Member(name, int(info["size"]))
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
            if entry.name.startswith("."):
                continue
            try:
                if entry.is_dir():
                    if extension(name) in EXTENSIONS:
                        listing.rejects.append(Reject(_text(Path(entry.path)), "", "a folder, not a file"))
                    (links if entry.is_symlink() else stack).append(Path(entry.path))
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
    return Member(name, entry.stat().st_size)


def _text(path: Path) -> str:
    """The path as printable text even where the file name is no UTF-8."""
    return os.fsencode(path).decode("utf-8", errors="replace")


def _hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _seekable_gzip(raw: IO[bytes], index: bytes = b"") -> Any:
    file = indexed_gzip.IndexedGzipFile(fileobj=raw, spacing=SEEK_POINT_SPACING)
    if index:
        file.import_index(fileobj=io.BytesIO(index))
    return file


def _open_raw(uri: str) -> IO[bytes]:
    fs, path = filesystem(uri)
    return (
        Path(path).open("rb") if not is_remote(uri) else fs.open(path, "rb", cache_type="readahead", block_size=8 << 20)
    )


def _list_archive(uri: str, listing: Listing) -> None:
    try:
        if uri.lower().endswith(ZIP):
            _list_zip(uri, listing)
        else:
            _list_tar(uri, listing)
    except PermissionError as error:
        raise UserError(f"archive cannot be read: {error.strerror}", where=uri, fix="check its permissions") from None


def _list_zip(uri: str, listing: Listing) -> None:
    try:
        archive = zipfile.ZipFile(_open_raw(uri))
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
    file: Any = _seekable_gzip(_open_raw(uri)) if gzipped else _open_raw(uri)
    found, damage = _walk_tar(file, uri)
    if gzipped and damage:
        # the seekable reader reads far ahead and loses what lies whole before the damage; the plain one does not
        found, also = _walk_tar(gzip.GzipFile(fileobj=_open_raw(uri)), uri)
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


def _walk_tar(file: Any, uri: str) -> tuple[list[tuple[str, Member]], str]:
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
        if storage_failed(error, uri):
            raise
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
    elif not _hidden(name):
        listing.members.append(dataclasses.replace(member, name=name))


def _refuse_folder(name: str, archive: str, listing: Listing) -> None:
    """A folder is nothing to report, unless its name promises audio."""
    if extension(name) in EXTENSIONS:
        listing.rejects.append(Reject(_printable(f"{archive}!/{name}"), "", "a folder, not a file"))


def _printable(text: str) -> str:
    """Names from a tar may hold lone surrogates, which no table takes."""
    return text.encode("utf-8", "replace").decode()


def _encodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
