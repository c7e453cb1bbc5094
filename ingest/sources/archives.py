"""Archives as sources: listed from their headers, read at any place.

A .tar is read at its members' offsets; for a .tar.gz the one pass that lists it also builds an index of seek points
(indexed_gzip), so that any worker can start in its middle; what it has unpacked once it keeps (`ingest.sources.unpacked`).
"""

from __future__ import annotations

import struct
import zipfile
import zlib

from invertone.cluster.errors import UserError
from invertone.ingest.sources.found import Found
from invertone.ingest.sources.kinds import ZIP
from invertone.ingest.sources.members import Listing
from invertone.ingest.sources.remote import open_raw, storage_watched
from invertone.ingest.sources.tars import list_tar


def list_archive(uri: str, listing: Listing) -> None:
    try:
        with storage_watched():
            if uri.lower().endswith(ZIP):
                _list_zip(uri, listing)
            else:
                list_tar(uri, listing)
    except PermissionError as error:
        raise UserError(f"archive cannot be read: {error.strerror}", where=uri, fix="check its permissions") from None


def _list_zip(uri: str, listing: Listing) -> None:
    try:
        archive = zipfile.ZipFile(open_raw(uri))
    except (zipfile.BadZipFile, UnicodeDecodeError, NotImplementedError, ValueError, IndexError) as error:
        raise UserError(f"not a readable zip archive ({error})", where=uri, fix="fetch it again") from None
    found = Found(uri, listing)
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
