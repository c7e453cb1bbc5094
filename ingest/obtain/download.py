"""One file over HTTP: resumed after a break or a restart, verified by checksum, and only then given its name."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

from invertone.cluster.errors import UserError
from invertone.cluster.progress import Progress

CHUNK = 1 << 18
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
SPARE_BYTES = 64 << 20
"""Disk space that a job leaves free."""
_PASSING_STATUS = (408, 425, 429, 500, 502, 503, 504)
_NO_NETWORK = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN)


class _PassingError(ConnectionError):
    """The server is there and says that it cannot answer now."""


def download(url: str, checksum: str, target: Path, retries: int, timeout_s: float) -> None:
    """Makes `target` appear, whole, with `checksum` (`sha256:…` or `md5:…`).

    Until then its bytes are in `target.part`, from where the next call goes on. Connections that break are taken up
    again until `retries` in a row gained nothing. Raises UserError where the file cannot be had, or is another one.
    """
    with Part(url, checksum, target) as part:
        if not part.is_whole():
            _receive_all(part, retries, timeout_s)
        part.finish()


def verify(target: Path, checksum: str) -> None:
    """Raises UserError where the file `target` has another checksum."""
    algorithm, _, published = checksum.partition(":")
    found = hashlib.new(algorithm, usedforsecurity=False)
    with target.open("rb") as file, Progress(f"verifying {target.name}", target.stat().st_size, "bytes") as progress:
        while chunk := file.read(CHUNK):
            found.update(chunk)
            progress.update(file.tell())
    if found.hexdigest() != published:
        raise UserError(
            f"is there, but its {algorithm} is {found.hexdigest()}, not the published {published}",
            where=str(target),
            fix="remove it, or give another out",
        )


def part_of(target: Path) -> Path:
    """Where the bytes of an unfinished `target` are."""
    return target.with_name(target.name + ".part")


def make_folder(folder: Path) -> None:
    """Raises UserError where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot be made: {error.strerror}", where=str(folder), fix="give another folder as out"
        ) from None


def need_space(folder: Path, size: int) -> None:
    """Raises UserError where `size` more bytes would fill the disk that holds `folder`."""
    free = shutil.disk_usage(folder).free
    if size + SPARE_BYTES > free:
        raise UserError(
            f"{size / 1e9:.2f} GB are still to be written and {free / 1e9:.2f} GB are free",
            where=str(folder),
            fix="make room, or give an out on another disk",
        )


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


def _receive_all(part: Part, retries: int, timeout_s: float) -> None:
    failures, most, reached = 0, part.size, False
    while True:
        try:
            _receive(part, timeout_s)
            return
        except (OSError, http.client.HTTPException) as error:
            cause = error.reason if isinstance(error, urllib.error.URLError) else error
            # Only bytes beyond every earlier connection's count: with a server that ignores Range and always breaks off
            # this would never end.
            gained = part.size > most
            reached = reached or gained or isinstance(cause, _PassingError)
            _refuse_hopeless(cause, part.url, reached)
            failures, most = (0 if gained else failures + 1), max(most, part.size)
            if failures > retries:
                raise UserError(
                    f"gave up after {failures} connections in a row that gained nothing: {_words(cause)}",
                    where=part.url,
                    fix="type the same command again to go on from here",
                ) from None
            pause = min(FIRST_PAUSE_S * 2 ** max(failures - 1, 0), LONGEST_PAUSE_S)
            print(f"{part.target.name}: {_words(cause)}; going on in {pause:g} s", file=sys.stderr, flush=True)
            time.sleep(pause)


def _receive(part: Part, timeout_s: float) -> None:
    """One connection, up to the file's end. Raises OSError or HTTPException where it broke off."""
    with _connect(part, timeout_s) as response:
        length = response.headers.get("Content-Length")
        total = part.size + int(length) if length else None
        if total is not None:
            need_space(part.target.parent, total - part.size)
        with Progress(part.target.name, total or part.size, "bytes", start=part.size) as progress:
            while chunk := response.read(CHUNK):
                part.write(chunk)
                progress.update(part.size)
            if total is not None and part.size < total:
                raise ConnectionError(f"the connection ended at byte {part.size:,} of {total:,}")


def _connect(part: Part, timeout_s: float) -> Any:
    """A response whose body goes on where `part` ends; what cannot be continued starts anew."""
    response = _ask(part, timeout_s)
    if part.size and not part.is_continued_by(response):
        part.restart()
        if response.status != 200:
            response.close()
            response = _ask(part, timeout_s)
    part.remember(response)
    return response


def _ask(part: Part, timeout_s: float) -> Any:
    try:
        return urllib.request.urlopen(part.request(), timeout=timeout_s)  # noqa: S310 (checked to be http or https)
    except urllib.error.HTTPError as error:
        if error.code == 416 and part.size:
            return error
        with error:
            said = f"the server answers {error.code} {error.reason}"
        if error.code in _PASSING_STATUS:
            raise _PassingError(said) from None
        raise UserError(
            said, where=part.url, fix="give mirror=… with the address of a folder that has this file"
        ) from None


def _refuse_hopeless(cause: object, url: str, reached: bool) -> None:
    """Raises UserError for what trying again will not mend: no network, no such host, no trust."""
    if isinstance(cause, ssl.SSLCertVerificationError):
        raise UserError(
            f"its certificate is not trusted: {cause.verify_message}", where=url, fix="give a mirror that is"
        ) from None
    unreachable = (
        isinstance(cause, (socket.gaierror, ConnectionRefusedError)) or getattr(cause, "errno", None) in _NO_NETWORK
    )
    if unreachable and not reached:
        raise UserError(
            f"cannot be reached: {_words(cause)}",
            where=url,
            fix="check the network and its proxy settings, or give mirror=…",
        ) from None


def _words(cause: object) -> str:
    return str(getattr(cause, "strerror", None) or cause or type(cause).__name__)
