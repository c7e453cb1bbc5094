"""One storage class for local disk and whatever fsspec serves. Files appear whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import fsspec
from fsspec.spec import AbstractFileSystem

from cluster.errors import UserError

_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def is_remote(uri: str) -> bool:
    """True for `s3://bucket/x` and the like; `file://` and plain paths are local."""
    return bool(_SCHEME.match(uri)) and not uri.startswith("file://")


def absolute(uri: str) -> str:
    """Local paths made absolute, so that they mean the same to a worker with another working directory.

    Raises UserError for credentials written into an address, without repeating them.
    """
    if is_remote(uri):
        _refuse_credentials(uri)
        return uri.rstrip("/")
    return str(Path(uri.removeprefix("file://")).expanduser().absolute())


def filesystem(uri: str) -> tuple[AbstractFileSystem, str]:
    """The fsspec filesystem that serves `uri`, and the path inside it.

    Raises UserError for a scheme that nothing serves and for credentials written into the address.
    """
    if not is_remote(uri):  # not by url_to_fs: a local name may hold `::`, with which fsspec chains addresses
        return fsspec.filesystem("file"), absolute(uri)
    try:
        return fsspec.core.url_to_fs(absolute(uri))
    except (ValueError, ImportError) as error:
        raise UserError(
            f"cannot be reached: {error}", where=uri, fix="use a local path or an address fsspec knows"
        ) from error


def _refuse_credentials(uri: str) -> None:
    """`s3://key:secret@bucket`; a secret may hold a slash, so that its `@` comes later than the first one."""
    scheme, _, rest = uri.partition("://")
    authority = rest.split("/", 1)[0]
    after = authority.rpartition(":")[2] if ":" in authority else "0"
    if "@" in authority or ("@" in rest and not after.isdigit()):
        raise UserError(
            "credentials do not belong in an address, they would end up in logs and run folders",
            where=f"{scheme}://…",
            fix="give them by environment, profile or role",
        )


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class Folder:
    """A folder on any storage. Names inside are relative, with forward slashes. Picklable: it holds an address only."""

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
        return bool(fs.exists(path))

    def names(self, below: str = "") -> list[str]:
        """Names of the files directly inside `below`, sorted; hidden files (unfinished writes) are left out."""
        fs, path = self._at(below)
        try:
            found = fs.ls(path, detail=True)
        except FileNotFoundError:
            return []
        names = (entry["name"].rstrip("/").rsplit("/", 1)[-1] for entry in found if entry["type"] == "file")
        return sorted(name for name in names if not name.startswith("."))

    def folders(self, below: str = "") -> list[str]:
        """Names of the folders directly inside `below`, sorted; hidden ones are left out."""
        fs, path = self._at(below)
        try:
            found = fs.ls(path, detail=True)
        except FileNotFoundError:
            return []
        names = (entry["name"].rstrip("/").rsplit("/", 1)[-1] for entry in found if entry["type"] == "directory")
        return sorted(name for name in names if not name.startswith("."))

    def size(self, name: str) -> int:
        fs, path = self._at(name)
        return int(fs.size(path))

    def open(self, name: str) -> IO[bytes]:
        fs, path = self._at(name)
        return fs.open(path, "rb")

    def read_bytes(self, name: str) -> bytes:
        fs, path = self._at(name)
        return bytes(fs.cat_file(path))

    def read_json(self, name: str) -> Any:
        return json.loads(self.read_bytes(name))

    def publish_bytes(self, name: str, data: bytes) -> None:
        """Makes `name` appear with exactly `data`: atomically on local disk, in one whole upload elsewhere."""
        if self.local is not None:
            target = Path(self.path_of(name))
            target.parent.mkdir(parents=True, exist_ok=True)
            part = unfinished(target)
            try:
                with part.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                part.replace(target)
            finally:
                part.unlink(missing_ok=True)
            return
        fs, path = self._at(name)
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
        fs.put_file(str(source), path)
        source.unlink()

    def publish_json(self, name: str, value: Any) -> None:
        self.publish_bytes(name, json_bytes(value))

    def scratch(self, name: str, temporary: Path) -> Path:
        """Where to write `name` before it is published: beside its target if local, else in the folder `temporary`."""
        target = Path(self.path_of(name)) if self.local is not None else temporary / Path(name).name
        target.parent.mkdir(parents=True, exist_ok=True)
        return unfinished(target)

    def remove(self, name: str) -> None:
        """Removes a file or a whole folder; nothing happens where there is none."""
        fs, path = self._at(name)
        if fs.exists(path):
            fs.rm(path, recursive=True)

    def read_lines(self, name: str) -> Iterator[str]:
        yield from self.read_bytes(name).decode().splitlines()


def unfinished(target: Path) -> Path:
    """A hidden name beside `target`, unique to this writer, that readers never list."""
    return target.with_name(f".{target.name}.{uuid.uuid4().hex[:12]}.part")


def json_bytes(value: Any) -> bytes:
    """JSON for people and diffs: sorted keys, indented, a newline at the end, NaN refused."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()
