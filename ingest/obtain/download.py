"""One file over HTTP: resumed after a break or a restart, verified by checksum, and only then given its name."""

from __future__ import annotations

import errno
import hashlib
import http.client
import shutil
import socket
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from invertone.cluster.errors import UserError
from invertone.cluster.progress import Progress
from invertone.ingest.obtain.part import CHUNK, Part

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
