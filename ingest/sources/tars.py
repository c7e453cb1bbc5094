"""The members of a tar, from its headers alone, whatever is wrong with some of them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zlib
from dataclasses import dataclass
from typing import IO, Any

import indexed_gzip

from invertone.cluster.errors import UserError
from invertone.cluster.formats.shards import Reject
from invertone.ingest.sources.found import Found
from invertone.ingest.sources.kinds import TAR_BZ2, TAR_GZ, TAR_XZ, index_name
from invertone.ingest.sources.members import Listing
from invertone.ingest.sources.remote import READ_ERRORS, open_raw, seekable_gzip


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


WRONG_CHECKSUM = "its checksum is not that of its content"
NOT_VOUCHED = "its checksum is lost, and nothing vouches for those {}"


def list_tar(uri: str, listing: Listing) -> None:
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
    found = Found(uri, listing)
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
