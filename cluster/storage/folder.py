"""One storage class for local disk and whatever fsspec serves. Files appear whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from fsspec.spec import AbstractFileSystem

from invertone.cluster.errors import UserError, is_of_a_library
from invertone.cluster.storage import s3
from invertone.cluster.storage.addresses import absolute, filesystem, is_remote

_SINGLE_PUT_BYTES = 5 * 2**20
_CREATE_ATTEMPTS = 6
_BLOCK_BYTES = 2**23


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def digested(file: IO[bytes], beat: Callable[[], None] = lambda: None) -> tuple[int, str]:
    """Bytes and sha256 of what is left of `file`, of which memory holds a block. beat: called after each."""
    size, digest = 0, hashlib.sha256()
    while block := file.read(_BLOCK_BYTES):
        size += len(block)
        digest.update(block)
        beat()
    return size, digest.hexdigest()


class Described(Protocol):
    """A file as a manifest or a commit records it."""

    @property
    def name(self) -> str: ...

    @property
    def sha256(self) -> str: ...


def content_digest(files: Iterable[Described]) -> str:
    """Identifies what these files hold, wherever they lie."""
    return sha256("\n".join(f"{each.name} {each.sha256}" for each in files).encode())


class StorageError(OSError):
    """Storage did not answer, or not whole, however often it was asked; nothing is said about what lies there."""


def storage_failed(error: BaseException) -> bool:
    """Whether `error` comes from storage. Its libraries raise network failures as they please, mostly no OSError."""
    return isinstance(error, OSError) or is_of_a_library(error)


@contextmanager
def _failing_as_oserror() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) or not storage_failed(error):
            raise
        raise StorageError(f"{type(error).__name__}: {error}") from error


@dataclass(frozen=True)
class Folder:
    """A folder on any storage. Names inside are relative, with forward slashes. Picklable: it holds an address only.

    Storage that fails raises OSError, whichever library noticed. On S3, names that are written once, and creates, are
    safe against a request that was given up and arrives later; a name published again with other content is not.
    """

    uri: str

    @staticmethod
    def at(uri: str) -> Folder:
        return Folder(absolute(uri))

    def __truediv__(self, name: str) -> Folder:
        return Folder(self.path_of(name))

    def path_of(self, name: str) -> str:
        return f"{self.uri.rstrip('/')}/{name}"

    @property
    def local(self) -> Path | None:
        """The folder as a local path, or None where it is remote."""
        return None if is_remote(self.uri) else Path(self.uri)

    def _at(self, name: str) -> tuple[AbstractFileSystem, str]:
        fs, path = filesystem(self.path_of(name) if name else self.uri)
        fs.invalidate_cache(path)  # a listing remembered in this process hides what other writers published since
        return fs, path

    def exists(self, name: str = "") -> bool:
        fs, path = self._at(name)
        with _failing_as_oserror():
            return bool(fs.exists(path))

    def names(self, below: str = "") -> list[str]:
        """Names of the files directly inside `below`, sorted; hidden files (unfinished writes) are left out."""
        return self._listed(below, "file")

    def folders(self, below: str = "") -> list[str]:
        """Names of the folders directly inside `below`, sorted; hidden ones are left out."""
        return self._listed(below, "directory")

    def _listed(self, below: str, kind: str) -> list[str]:
        if self.local is not None:  # without a stat for each of what may be a hundred thousand files
            try:
                with os.scandir(self.path_of(below) if below else self.uri) as entries:
                    found = [each.name for each in entries if (each.is_file() if kind == "file" else each.is_dir())]
            except (FileNotFoundError, NotADirectoryError):
                return []
            return sorted(name for name in found if not name.startswith("."))
        fs, path = self._at(below)
        try:
            with _failing_as_oserror():
                listed = fs.ls(path, detail=True)
        except FileNotFoundError:
            return []
        names = [entry["name"].rstrip("/").rsplit("/", 1)[-1] for entry in listed if entry["type"] == kind]
        fs.invalidate_cache(path)  # which would keep the details of every file
        return sorted(name for name in names if not name.startswith("."))

    def sizes(self, below: str = "") -> dict[str, int]:
        """The files directly inside `below` with their bytes, by one listing; hidden ones are left out."""
        if self.local is not None:
            try:
                with os.scandir(self.path_of(below) if below else self.uri) as entries:
                    return {
                        each.name: each.stat().st_size
                        for each in entries
                        if each.is_file() and not each.name.startswith(".")
                    }
            except (FileNotFoundError, NotADirectoryError):
                return {}
        fs, path = self._at(below)
        try:
            with _failing_as_oserror():
                listed = fs.ls(path, detail=True)
        except FileNotFoundError:
            return {}
        fs.invalidate_cache(path)
        sizes = {each["name"].rstrip("/").rsplit("/", 1)[-1]: each["size"] for each in listed if each["type"] == "file"}
        return {name: int(size or 0) for name, size in sizes.items() if not name.startswith(".")}

    def size(self, name: str) -> int:
        fs, path = self._at(name)
        with _failing_as_oserror():
            return int(fs.size(path))

    def open(self, name: str, ahead: int | None = None) -> IO[bytes]:
        """`name` to read. ahead: how many bytes beyond those asked for come along from object stores, where each request
        costs a round trip; None leaves it to the library, whose tens of megabytes suit who reads everything."""
        fs, path = self._at(name)
        given = {} if ahead is None or self.local is not None else {"cache_type": "readahead", "block_size": ahead}
        with _failing_as_oserror():
            return fs.open(path, "rb", **given)

    def read_bytes(self, name: str) -> bytes:
        fs, path = self._at(name)
        with _failing_as_oserror():
            return bytes(fs.cat_file(path))

    def read_json(self, name: str) -> Any:
        return json.loads(self.read_bytes(name))

    def publish_bytes(self, name: str, data: bytes) -> None:
        """Makes `name` appear with exactly `data`: atomically on local disk, in one whole upload elsewhere."""
        if self.local is not None:
            target = Path(self.path_of(name))
            with _written_beside(target, data) as part:
                part.replace(target)
            return
        fs, path = self._at(name)
        with _failing_as_oserror():
            fs.pipe_file(path, data)

    def publish_file(self, name: str, source: Path) -> None:
        """Moves a finished local file to `name`. On local disk `source` must lie on its file system (see `scratch`)."""
        if self.local is not None:
            target = Path(self.path_of(name))
            target.parent.mkdir(parents=True, exist_ok=True)
            with source.open("rb") as file:
                os.fsync(file.fileno())
            source.replace(target)
            return
        fs, path = self._at(name)
        with _failing_as_oserror():
            fs.put_file(str(source), path)
        source.unlink()

    def publish_json(self, name: str, value: Any) -> None:
        self.publish_bytes(name, json_bytes(value))

    def create_bytes(self, name: str, data: bytes) -> bool:
        """Publishes `data` as `name` unless something is there already. True if this call's `data` is what lies there.

        Of any number of writers with different data exactly one gets True. On object stores it is a single
        conditional PUT (`If-None-Match: *`); a retry after a lost answer finds its own data and counts as success, so
        that a call that raised may be repeated too.
        """
        if self.local is not None:
            target = Path(self.path_of(name))
            try:
                with _written_beside(target, data) as part:
                    os.link(part, target)
            except FileExistsError:
                return target.read_bytes() == data
            except OSError as error:
                if error.errno not in (errno.EPERM, errno.ENOTSUP):
                    raise
                what = "its file system has no hard links, without which two drivers cannot be told apart"
                raise UserError(what, where=self.uri, fix="give an out on another disk") from None
            return True
        fs, path = self._at(name)
        assert len(data) < _SINGLE_PUT_BYTES, f"{len(data)} bytes need a multi-part upload, which is not exclusive"
        for attempt in range(_CREATE_ATTEMPTS):
            try:
                with _failing_as_oserror():
                    fs.pipe_file(path, data, mode="create")
                return True
            except FileExistsError:
                pass
            except OSError as error:
                if not s3.create_refused(error):
                    raise
            try:
                return self.read_bytes(name) == data
            except FileNotFoundError:  # a conflict with another create that has not ended yet
                time.sleep(0.1 * 2**attempt)
        raise StorageError(f"{self.path_of(name)}: creation is refused, and nothing is there")

    def create_json(self, name: str, value: Any) -> bool:
        return self.create_bytes(name, json_bytes(value))

    def read_verified(self, name: str, size: int, digest: str, fix: str) -> bytes:
        """The file `name` if it has `size` bytes of sha256 `digest`. Raises UserError, saying what is wrong, if not."""
        try:
            data = self.read_bytes(name)
        except FileNotFoundError:
            raise UserError("file is missing", where=self.path_of(name), fix=fix) from None
        self._check(name, (len(data), sha256(data)), (size, digest), fix)
        return data

    def verify(self, name: str, size: int, digest: str, fix: str) -> None:
        """Raises UserError as `read_verified`, for a file that may be more than memory should hold."""
        try:
            with self.open(name) as file, _failing_as_oserror():
                found = digested(file)
        except FileNotFoundError:
            raise UserError("file is missing", where=self.path_of(name), fix=fix) from None
        self._check(name, found, (size, digest), fix)

    def _check(self, name: str, found: tuple[int, str], recorded: tuple[int, str], fix: str) -> None:
        if found[0] != recorded[0]:
            raise UserError(f"has {found[0]} bytes, {recorded[0]} were recorded", where=self.path_of(name), fix=fix)
        if found[1] != recorded[1]:
            raise UserError("content differs from what was recorded (sha256)", where=self.path_of(name), fix=fix)

    def scratch(self, name: str, temporary: Path) -> Path:
        """Where to write `name` before it is published: beside its target if local, else in the folder `temporary`."""
        target = Path(self.path_of(name)) if self.local is not None else temporary / Path(name).name
        target.parent.mkdir(parents=True, exist_ok=True)
        return unfinished(target)

    def remove(self, name: str) -> None:
        """Removes a file or a whole folder; nothing happens where there is none."""
        fs, path = self._at(name)
        with _failing_as_oserror():
            if fs.exists(path):
                fs.rm(path, recursive=True)

    def read_lines(self, name: str) -> Iterator[str]:
        yield from self.read_bytes(name).decode().splitlines()


@contextmanager
def _written_beside(target: Path, data: bytes) -> Iterator[Path]:
    """A hidden file beside `target` that holds `data` for good; removed at the end unless it was moved away."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = unfinished(target)
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield part
    finally:
        part.unlink(missing_ok=True)


def unfinished(target: Path) -> Path:
    """A hidden name beside `target`, unique to this writer, that readers never list."""
    return target.with_name(f".{target.name}.{uuid.uuid4().hex[:12]}.part")


def json_bytes(value: Any) -> bytes:
    """JSON for people and diffs: sorted keys, indented, a newline at the end, NaN refused."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()
