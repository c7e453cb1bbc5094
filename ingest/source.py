"""Where a corpus lies: a folder, an archive, or a folder of archives. Listed once, then read at any place.

Archives are never unpacked to disk. A .tar is read at its members' offsets; for a .tar.gz the one pass that lists it also
builds an index of seek points (indexed_gzip), so that any worker can start in its middle.
"""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import indexed_gzip

from cluster.errors import UserError
from cluster.shards import Reject
from cluster.storage import Folder, absolute, filesystem, is_remote, sha256

TAR, TAR_GZ, ZIP = (".tar",), (".tar.gz", ".tgz"), (".zip",)
ARCHIVES = TAR + TAR_GZ + ZIP
SEEK_POINT_SPACING = 8 << 20
READ_ERRORS = (
    OSError,
    EOFError,
    zlib.error,
    zipfile.BadZipFile,
    tarfile.TarError,
    indexed_gzip.ZranError,
    NotImplementedError,
)
"""What reading a member of a damaged archive, or a file one may not read, raises."""


@dataclass(frozen=True)
class Member:
    """One file of a source. `archive` is its archive's address ("" for a plain file), `offset` its place in a tar."""

    name: str
    size: int
    archive: str = ""
    offset: int = -1


@dataclass
class Listing:
    """What a source holds, sorted by name. `rejects` are entries that are no readable file; `indices` gzip seek points."""

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
    """Every file of the source. Raises UserError where it does not exist or is an archive that cannot be opened at all."""
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

    def open(self, member: Member) -> IO[bytes]:
        """A seekable file. Raises one of READ_ERRORS where the member cannot be read."""
        if not member.archive:
            fs, path = filesystem(f"{self.source.rstrip('/')}/{member.name}")
            return Path(path).open("rb") if not is_remote(self.source) else io.BytesIO(fs.cat_file(path))
        archive = self._open_archive(member.archive)
        if isinstance(archive, zipfile.ZipFile):
            return io.BytesIO(archive.read(member.name))
        archive.seek(member.offset)
        data = archive.read(member.size)
        if len(data) < member.size:
            raise EOFError(f"archive ends {member.size - len(data)} bytes before this file does")
        return io.BytesIO(data)

    def _open_archive(self, uri: str) -> Any:
        if uri not in self._archives:
            raw = _open_raw(uri)
            if uri.lower().endswith(ZIP):
                self._archives[uri] = zipfile.ZipFile(raw)
            elif uri.lower().endswith(TAR_GZ):
                gz = indexed_gzip.IndexedGzipFile(fileobj=raw, spacing=SEEK_POINT_SPACING)
                gz.import_index(fileobj=io.BytesIO(self.indices.read_bytes(index_name(uri))))
                self._archives[uri] = gz
            else:
                self._archives[uri] = raw
        return self._archives[uri]


def index_name(archive: str) -> str:
    return f"{archive.rsplit('/', 1)[-1]}.index"


def _archives_in(uri: str) -> list[str]:
    folder = Folder.at(uri)
    return [folder.path_of(name) for name in folder.names() if is_archive(name)]


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
            if name and not _hidden(name) and not ("/" not in name and is_archive(name)):
                yield Member(name, int(info["size"]))
        return
    root = Path(absolute(uri))
    seen: set[Path] = set()
    stack = [root]
    while stack:
        folder = stack.pop()
        real = folder.resolve()
        if real in seen:  # a link that leads back: walking it again would never end
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
                    stack.append(Path(entry.path))
                    continue
                member = _plain_file(entry, name, root, listing)
            except OSError as error:
                listing.rejects.append(Reject(_text(Path(entry.path)), "", f"cannot be read: {error.strerror}"))
                continue
            if member is not None:
                yield member


def _plain_file(entry: os.DirEntry[str], name: str, root: Path, listing: Listing) -> Member | None:
    if "/" not in name and is_archive(name):
        return None
    where = _text(Path(entry.path))
    if not name.isprintable() or where != str(Path(entry.path)):
        listing.rejects.append(Reject(where, "", "file name is not printable UTF-8"))
        return None
    if not entry.is_file():
        reason = "dangling link" if entry.is_symlink() else "not a regular file"
        listing.rejects.append(Reject(where, "", reason))
        return None
    return Member(name, entry.stat().st_size)


def _text(path: Path) -> str:
    """The path as printable text even where the file name is no UTF-8."""
    return os.fsencode(path).decode("utf-8", errors="replace")


def _hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


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
    except zipfile.BadZipFile as error:
        raise UserError(f"not a readable zip archive ({error})", where=uri, fix="fetch it again") from None
    for info in archive.infolist():
        if info.is_dir():
            continue
        kind = (info.external_attr >> 16) & 0o170000
        if kind not in (0, 0o100000):
            listing.rejects.append(Reject(f"{uri}!/{info.filename}", "", "not a regular file"))
        elif info.flag_bits & 1:
            listing.rejects.append(Reject(f"{uri}!/{info.filename}", "", "encrypted"))
        else:
            _add(Member(info.filename, info.file_size, archive=uri), uri, listing)


def _list_tar(uri: str, listing: Listing) -> None:
    """Walks the tar's headers. One that is cut short or damaged gives all that lies whole before the damage."""
    gzipped = uri.lower().endswith(TAR_GZ)
    raw = _open_raw(uri)
    file: Any = indexed_gzip.IndexedGzipFile(fileobj=raw, spacing=SEEK_POINT_SPACING) if gzipped else raw
    found = 0
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            while (info := archive.next()) is not None:
                archive.members = []  # the list would grow with the archive
                found += 1
                if info.isfile():
                    _probe_end(file, info.offset_data + info.size)
                    _add(
                        Member(info.name.removeprefix("./"), info.size, archive=uri, offset=info.offset_data),
                        uri,
                        listing,
                    )
                elif not info.isdir():
                    listing.rejects.append(Reject(f"{uri}!/{info.name}", "", "not a regular file (link or device)"))
            if not _has_end_mark(file, archive.offset):
                raise EOFError("no end mark")
    except READ_ERRORS as error:
        if not found:
            raise UserError(f"not a readable tar archive ({error})", where=uri, fix="fetch it again") from None
        listing.rejects.append(Reject(uri, "", f"archive is cut short or damaged after {found} entries ({error})"))
    if gzipped:
        index = io.BytesIO()
        file.export_index(fileobj=index)
        listing.indices[index_name(uri)] = index.getvalue()


def _probe_end(file: Any, end: int) -> None:
    """Reads the last byte of a member's data: a cut archive ends before it."""
    if end > 0:
        file.seek(end - 1)
        if not file.read(1):
            raise EOFError("the last file is not whole")


def _has_end_mark(file: Any, offset: int) -> bool:
    """A tar ends with at least one block of zeros; one cut exactly between two files does not."""
    file.seek(max(0, offset - 512))
    return b"\0" * 512 in (file.read(1_536) or b"")


def _add(member: Member, uri: str, listing: Listing) -> None:
    """Takes a member of an archive unless its path could climb out of a folder."""
    where = f"{uri}!/{member.name}"
    parts = member.name.replace("\\", "/").split("/")
    if member.name.startswith(("/", "\\")) or ".." in parts or (len(parts[0]) == 2 and parts[0][1] == ":"):
        listing.rejects.append(Reject(where, "", "path climbs out of the archive"))
    elif not member.name.isprintable() or "�" in where or not _encodable(member.name):
        listing.rejects.append(
            Reject(where.encode("utf-8", "replace").decode(), "", "file name is not printable UTF-8")
        )
    elif not _hidden(member.name):
        listing.members.append(member)


def _encodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
