"""Archives as sources: listed from their headers, read at any place, never unpacked to disk.

A .tar is read at its members' offsets; for a .tar.gz the one pass that lists it also builds an index of seek points
(indexed_gzip), so that any worker can start in its middle.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import struct
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import indexed_gzip

from invertone.audio.recording import EXTENSIONS, extension
from invertone.cluster.errors import UserError
from invertone.cluster.formats.shards import Reject
from invertone.cluster.storage.addresses import filesystem, is_remote
from invertone.cluster.storage.folder import storage_failed
from invertone.ingest.sources.members import Listing, Member

TAR, TAR_GZ, ZIP = (".tar",), (".tar.gz", ".tgz"), (".zip",)
TAR_XZ, TAR_BZ2 = (".tar.xz", ".txz"), (".tar.bz2", ".tbz2", ".tbz")
ARCHIVES = TAR + TAR_GZ + TAR_XZ + TAR_BZ2 + ZIP
WRONG_CHECKSUM = "its checksum is not that of its content"
_SPLIT = re.compile(
    r"\.(zip|7z|rar|tar|tgz|tar\.[a-z0-9]{2,3})\.([0-9]{2,4}|part[0-9]+|[a-z]{2})$|\.z[0-9]{2}$", re.IGNORECASE
)
NOT_VOUCHED = "its checksum is lost, and nothing vouches for those {}"
UNREAD = (".rar", ".7z", ".tar.zst", ".tzst", ".tar.lz4", ".tar.lz", ".tar.z", ".gz", ".bz2", ".xz", ".zst")
"""Archives and packed files that are not read, wherever they lie."""
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
    UnicodeDecodeError,
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


def stem(name: str) -> str:
    """An archive's name without its ending."""
    ending = max((each for each in ARCHIVES if name.lower().endswith(each)), key=len, default="")
    return name[: len(name) - len(ending)]


def unread(name: str) -> str:
    """Why an archive with this name is not read where it lies inside a source; "" if it is none."""
    if _SPLIT.search(name):
        return "a part of an archive that was split: join its parts"
    if name.lower().endswith(ARCHIVES + UNREAD):
        return "an archive of a kind or in a place that is not read: unpack it"
    return ""


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
    except (zipfile.BadZipFile, UnicodeDecodeError, NotImplementedError, ValueError, IndexError) as error:
        raise UserError(f"not a readable zip archive ({error})", where=uri, fix="fetch it again") from None
    found = _Found(uri, listing)
    for info in archive.infolist():
        kind = (info.external_attr >> 16) & 0o170000
        name = _windows_name(_unicode_name(info))
        if not name:
            found.refuse(name, "an entry without a name")
        elif name.endswith("/"):
            found.folder(name.rstrip("/"))
        elif kind not in (0, 0o100000):
            found.refuse(name, "not a regular file")
        elif info.flag_bits & 1:
            found.refuse(name, "encrypted")
        else:
            found.file(name, info.file_size, info.header_offset)
    found.listed()


def _unicode_name(info: zipfile.ZipInfo) -> str:
    """The name in UTF-8 that some packers write beside one in an older encoding (Info-ZIP's extra field 0x7075), for which
    Python takes CP437; unzip prefers it, too."""
    extra = info.extra
    while len(extra) >= 4:
        kind, length = struct.unpack("<HH", extra[:4])
        data, extra = extra[4 : 4 + length], extra[4 + length :]
        if kind == 0x7075 and len(data) > 5 and data[0] == 1 and not info.flag_bits & 0x800:
            written = info.orig_filename.encode("cp437", "replace")
            if struct.unpack("<I", data[1:5])[0] == zlib.crc32(written):
                return data[5:].decode("utf-8", "replace")
    return info.filename


def _windows_name(name: str) -> str:
    """Some packers on Windows separate folders by backslashes, against the format; unzip reads them so, too."""
    return name if "/" in name else name.replace("\\", "/")


def _list_tar(uri: str, listing: Listing) -> None:
    """Takes a tar's entries from its headers. One that is cut short gives all that lies whole before; of one whose content
    is damaged, what its checksums do not vouch for is listed as rejects."""
    gzipped = uri.lower().endswith(TAR_GZ)
    file: Any = seekable_gzip(open_raw(uri)) if gzipped else unpacked(uri, open_raw(uri))
    entries, error, damage = _walk_tar(file)
    vouched: int | None = None
    if gzipped and damage:
        # the seekable reader reads far ahead and loses what lies whole before the damage; the plain one does not
        entries, error, also = _walk_tar(gzip.GzipFile(fileobj=open_raw(uri)))
        vouched, broken = _vouched(open_raw(uri))
        damage = broken or f"{also or damage}; {NOT_VOUCHED.format(len(entries))}"
    elif uri.lower().endswith(TAR_XZ + TAR_BZ2) and isinstance(error, EOFError):
        damage = f"{damage}; {NOT_VOUCHED.format(len(entries))}"
    elif uri.lower().endswith(TAR_XZ + TAR_BZ2) and error is not None and not isinstance(error, tarfile.TarError):
        vouched, damage = 0, _in_words(error)
    if damage and not entries:
        raise UserError(f"not a readable tar archive ({damage})", where=uri, fix="fetch it again")
    if damage:
        reason = f"archive is cut short or damaged after {len(entries)} entries: {damage}"
        listing.rejects.append(Reject(uri, "", reason))
    if gzipped:
        index = io.BytesIO()
        if not damage:
            file.export_index(fileobj=index)
        listing.indices[index_name(uri)] = index.getvalue()
    found = _Found(uri, listing)
    for entry in entries:
        if entry.kind == "file" and vouched is not None and entry.offset + entry.size > vouched:
            found.refuse(entry.name, "checksum: the archive's own does not vouch for it")
        elif entry.kind == "file":
            found.file(entry.name, entry.size, entry.offset)
        elif entry.kind == "folder":
            found.folder(entry.name)
        elif entry.kind == "link":
            found.link(entry.name, entry.target)
        elif entry.kind == "sparse":
            found.refuse(entry.name, "packed as a sparse file: pack it again without --sparse")
        else:
            found.refuse(entry.name, "not a regular file (link or device)")
    found.listed()


def unpacked(uri: str, raw: IO[bytes]) -> Any:
    """The tar inside: of .tar.xz and .tar.bz2 with the standard library, which goes back by beginning again."""
    if uri.lower().endswith(TAR_XZ):
        return lzma.LZMAFile(raw)
    return bz2.BZ2File(raw) if uri.lower().endswith(TAR_BZ2) else raw


def _vouched(raw: IO[bytes]) -> tuple[int | None, str]:
    """How many bytes of a gzip's content its checksums vouch for, and what is wrong after them. None: it is only cut short,
    so that what comes before the cut is as it was written."""
    unzip, whole, made, data = zlib.decompressobj(wbits=31), 0, 0, b""
    try:
        while data := data or raw.read(1 << 20):
            made += len(unzip.decompress(data, 1 << 22))
            data = unzip.unconsumed_tail
            if unzip.eof:
                whole, data, unzip = made, unzip.unused_data.lstrip(b"\0"), zlib.decompressobj(wbits=31)
    except zlib.error as error:
        if "data check" in str(error):
            return whole, WRONG_CHECKSUM
        return whole, "what follows its end is no gzip" if made == whole > 0 else "its compressed data is damaged"
    return None, ""


@dataclass(frozen=True)
class _Entry:
    """An entry of a tar as its header tells it. kind: file, folder, link (a hard one, to `target`), sparse or other."""

    kind: str
    name: str
    size: int
    offset: int
    target: str = ""


def _walk_tar(file: Any) -> tuple[list[_Entry], BaseException | None, str]:
    """The entries that are whole, of all archives that were joined into this one; and what is wrong after them, as an error
    and in words (None and "" if nothing)."""
    found: list[_Entry] = []
    last: list[_Entry] = []  # whole only once what follows it is read
    lost = ""
    try:
        begins = 0
        while begins >= 0:
            file.seek(begins)
            with tarfile.open(fileobj=file, mode="r:") as archive:
                while (info := archive.next()) is not None:
                    found += last
                    archive.members = []  # type: ignore[attr-defined]  # the list would grow with the archive
                    last = [_entry(info)]
                found, last = found + last, []
            file.seek(archive.offset)
            if file.read(tarfile.BLOCKSIZE) == bytes(tarfile.BLOCKSIZE):
                begins = _next_header(file, archive.offset + tarfile.BLOCKSIZE)
            elif (begins := _next_header(file, archive.offset + tarfile.BLOCKSIZE, lost=True)) < 0:
                raise EOFError("no end mark")  # cut between two files
            else:
                lost = lost or f"a header at byte {archive.offset:,} is damaged, and what it tells of is lost"
    except READ_ERRORS as error:
        return found, error, f"{last[0].name} is not whole ({_in_words(error)})" if last else _in_words(error)
    return found, tarfile.ReadError(lost) if lost else None, lost


def _entry(info: tarfile.TarInfo) -> _Entry:
    plain = info.isreg() and not info.issparse()
    kind = "file" if plain else "folder" if info.isdir() else "link" if info.islnk() else "other"
    if info.issparse():
        kind = "sparse"
    return _Entry(kind, info.name, info.size, info.offset_data, info.linkname)


def _next_header(file: Any, at: int, lost: bool = False) -> int:
    """Where the next header of a tar begins, from `at` on; -1 if only zeros follow. Behind an end mark it is that of an
    archive that was joined to this one, and what is neither raises ReadError; `lost`: after a damaged header it is the first
    that makes sense, as for GNU tar."""
    while data := file.read(1 << 20):
        for start in range(0, len(data), tarfile.BLOCKSIZE):
            block = data[start : start + tarfile.BLOCKSIZE]
            if block.count(0) == len(block) or (lost and block[257:262] != b"ustar"):
                continue
            try:
                tarfile.TarInfo.frombuf(block, tarfile.ENCODING, "surrogateescape")
            except tarfile.HeaderError:
                if lost:
                    continue
                raise tarfile.ReadError("what follows its end mark is no archive") from None
            return at + start
        at += len(data)
    return -1


def _in_words(error: BaseException) -> str:
    """What libraries say in their own words, or not at all."""
    if isinstance(error, (zlib.error, lzma.LZMAError, indexed_gzip.ZranError)) or "readinto" in str(error):
        return "its compressed data is damaged"
    if isinstance(error, gzip.BadGzipFile) and "CRC" in str(error):
        return WRONG_CHECKSUM
    return str(error)


class _Found:
    """The entries of one archive, as its own tools would unpack them: of two with one name the later is left."""

    def __init__(self, archive: str, listing: Listing) -> None:
        self._archive, self._listing, self._files = archive, listing, dict[str, Member]()

    def file(self, name: str, size: int, offset: int) -> None:
        place = self._place(name)
        if place is None or is_hidden(place):
            return
        if place in self._files:
            self.refuse(place, "overwritten: a later entry of the archive has the same name")
            del self._files[place]
        self._files[place] = Member(place, size, self._archive, offset)

    def link(self, name: str, target: str) -> None:
        there = self._files.get(plain(target))
        if there is None:
            self.refuse(name, "a link to what is not in the archive before it")
        else:
            self.file(name, there.size, there.offset)

    def folder(self, name: str) -> None:
        """A folder is nothing to report, unless its name promises audio."""
        if extension(name) in EXTENSIONS:
            self.refuse(name, "a folder, not a file")

    def refuse(self, name: str, reason: str) -> None:
        self._listing.rejects.append(Reject(_printable(f"{self._archive}!/{name}"), "", reason))

    def listed(self) -> None:
        self._listing.members.extend(self._files.values())

    def _place(self, name: str) -> str | None:
        """The path inside a folder, unless it could climb out of one. `./a` and `a` are the same place."""
        parts = name.replace("\\", "/").split("/")
        place = plain(name)
        if name.startswith(("/", "\\")) or ".." in parts or (len(parts[0]) == 2 and parts[0][1] == ":"):
            self.refuse(name, "path climbs out of the archive")
        elif not place.isprintable() or "\ufffd" in name or not _encodable(place):
            self.refuse(name, "file name is not printable UTF-8")
        else:
            return place
        return None


def plain(name: str) -> str:
    """The path as tools show it: `./a//b` is a/b."""
    return "/".join(part for part in name.split("/") if part not in ("", "."))


_NEVER = re.compile(r"^(\.git|\.svn|\.hg|\.dvc|\.Trash.*|\.Trashes|\.AppleDouble|\.ipynb_checkpoints|__MACOSX)$")
"""Folders of other programs: what lies in them is nobody's recording."""


def is_hidden(name: str) -> bool:
    """Whether a file is passed over without a word: other programs' files, and those whose name begins with a dot unless
    it promises sound (`._x` is what macOS keeps beside a file x)."""
    *folders, file = name.split("/")
    if file.startswith("._") or any(_NEVER.match(each) for each in folders):
        return True
    return any(each.startswith(".") for each in name.split("/")) and extension(file) not in EXTENSIONS


def _printable(text: str) -> str:
    """Names from a tar may hold lone surrogates, which no table takes."""
    return text.encode("utf-8", "replace").decode()


def _encodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
