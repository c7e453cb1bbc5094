"""Archives on any storage, opened; storage that fails is told apart from data that is bad."""

from __future__ import annotations

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

from invertone.cluster.storage.addresses import filesystem, is_remote
from invertone.cluster.storage.folder import storage_failed

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


SEEK_POINT_SPACING = 8 << 20


def seekable_gzip(raw: IO[bytes], index: bytes = b"") -> Any:
    file = indexed_gzip.IndexedGzipFile(fileobj=raw, spacing=SEEK_POINT_SPACING)
    if index:
        file.import_index(fileobj=io.BytesIO(index))
    return file
