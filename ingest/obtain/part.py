"""An unfinished file beside its place: its bytes, their checksum, and what its server said of it."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

from invertone.cluster.errors import UserError
from invertone.cluster.progress import Progress

CHUNK = 1 << 18


def part_of(target: Path) -> Path:
    """Where the bytes of an unfinished `target` are."""
    return target.with_name(target.name + ".part")


class Part:
    """The unfinished file: its bytes, their running checksum, and how its server tells that the file is still the same.

    Opening takes a lock and hashes what an earlier call left.
    """

    def __init__(self, url: str, checksum: str, target: Path) -> None:
        self.url, self.target = url, target
        self.algorithm, _, self.published = checksum.partition(":")
        self.path = part_of(target)
        self._marks = target.with_name(target.name + ".part.json")
        self._file = self.path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise UserError("is being fetched by another process", where=str(target), fix="wait for that one") from None
        self.validators = self._read_marks()
        self.size, self._hash = 0, hashlib.new(self.algorithm, usedforsecurity=False)
        self._hash_what_is_there()

    def __enter__(self) -> Part:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.size:
            self.path.unlink(missing_ok=True)
            self._marks.unlink(missing_ok=True)
        self._file.close()

    def is_whole(self) -> bool:
        return self._hash.hexdigest() == self.published

    def request(self) -> urllib.request.Request:
        """A request for what is missing, on condition that the file has not changed."""
        headers = {"User-Agent": "invertone", "Accept-Encoding": "identity"}
        if self.size:
            headers["Range"] = f"bytes={self.size}-"
            # A weak ETag may not stand in If-Range (RFC 9110, 13.1.5); the date then does, or in the end the checksum.
            tag = self.validators.get("ETag", "")
            condition = tag if tag.startswith('"') else self.validators.get("Last-Modified", "")
            if condition:
                headers["If-Range"] = condition
        return urllib.request.Request(self.url, headers=headers)  # noqa: S310 (the address is checked to be http or https)

    def is_continued_by(self, response: Any) -> bool:
        """Whether the response's first byte follows our last one, in the same file."""
        start = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if response.status != 206 or start is None or int(start[1]) != self.size:
            return False
        theirs = {name: response.headers.get(name) for name in self.validators}
        return all(value is None or value == self.validators[name] for name, value in theirs.items())

    def restart(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self.size, self._hash = 0, hashlib.new(self.algorithm, usedforsecurity=False)

    def remember(self, response: Any) -> None:
        found = {name: response.headers.get(name) for name in ("ETag", "Last-Modified")}
        self.validators = {name: value for name, value in found.items() if value}
        self._marks.write_text(json.dumps({"url": self.url, **self.validators}) + "\n", encoding="utf-8")

    def write(self, chunk: bytes) -> None:
        try:
            self._file.write(chunk)
        except OSError as error:
            raise UserError(
                f"cannot be written: {error.strerror}", where=str(self.path), fix="make room, then go on"
            ) from None
        self._hash.update(chunk)
        self.size += len(chunk)

    def finish(self) -> None:
        """Gives the file its name. Raises UserError, the bytes removed, where they are not the published ones."""
        if not self.is_whole():
            self.path.unlink()
            self._marks.unlink(missing_ok=True)
            raise UserError(
                f"the {self.algorithm} of what was received is {self._hash.hexdigest()}, "
                f"not the published {self.published}; it was removed",
                where=self.url,
                fix="type the same command again; if that fails too, the file there is another one",
            )
        self._file.flush()
        os.fsync(self._file.fileno())
        self.path.replace(self.target)
        self._marks.unlink(missing_ok=True)

    def _read_marks(self) -> dict[str, str]:
        """What the server said last time; nothing where another server is asked now, or the note was cut off."""
        try:
            marks = json.loads(self._marks.read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        return marks if marks.pop("url", "") == self.url else {}

    def _hash_what_is_there(self) -> None:
        total = self.path.stat().st_size
        if not total:
            return
        self._file.seek(0)
        with Progress(f"reading {self.path.name}", total, "bytes") as progress:
            while chunk := self._file.read(CHUNK):
                self._hash.update(chunk)
                self.size += len(chunk)
                progress.update(self.size)
