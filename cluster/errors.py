"""The error law: what a user did wrong is one line, exit code 2; a job that ended without all its work, code 3."""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Iterator, Sequence

STORAGE_LIBRARIES = (
    *("botocore", "aiobotocore", "aiohttp", "s3fs", "fsspec", "gcsfs", "adlfs", "azure", "urllib3", "requests"),
    *("httpx", "httpx2", "httpcore", "httpcore2", "huggingface_hub"),
)
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+\b")


class UserError(Exception):
    """Something the user can mend. Shown as one line: what happened, where, and what to do.

    >>> str(UserError("no such folder", where="runs/sc09", fix="ingest a corpus first"))
    'runs/sc09: no such folder; ingest a corpus first'
    """

    exit_code = 2

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        super().__init__(what, where, fix)
        self.what, self.where, self.fix = what, where, fix

    def __str__(self) -> str:
        line = f"{self.where}: {self.what}" if self.where else self.what
        return " ".join((f"{line}; {self.fix}" if self.fix else line).split())

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        # Exceptions cross process borders by pickle, which calls the class with `args` alone; ours takes keywords.
        return _rebuild, (type(self), self.what, self.where, self.fix)


class JobIncompleteError(UserError):
    """The job ended, and some of its units did not: they are listed, everything else is done."""

    exit_code = 3


def as_user_error(error: BaseException) -> UserError | None:
    """What a user can mend about storage, from what a storage library raised or caused; None for anything else.

    Recognised by name, so that no storage library is imported for it.
    """
    fixes = {
        "NoCredentialsError": "give credentials by environment, profile or role",
        "PartialCredentialsError": "give credentials by environment, profile or role",
        "EndpointConnectionError": "check AWS_ENDPOINT_URL and that the server runs",
        "ConnectTimeoutError": "check AWS_ENDPOINT_URL and that the server runs",
        "StorageError": "check that the server runs, then run the same command again",
        "PermissionError": "check permissions and credentials",
        "NoSuchBucket": "create the bucket, or check its name",
    }
    numbers = {
        errno.ENOSPC: "make room, then run the same command again",
        errno.EDQUOT: "make room, then run the same command again",
        errno.EROFS: "give a place that can be written",
        errno.EIO: "check the disk, then run the same command again",
        errno.EMFILE: "raise `ulimit -n`, then run the same command again",
        errno.ENAMETOOLONG: "give a shorter name",
    }
    for seen in _causes(error):
        number = seen.errno if isinstance(seen, OSError) else None
        fix = fixes.get(type(seen).__name__) or numbers.get(number or 0)
        if fix:
            return UserError(f"storage refused: {without_addresses(str(seen))}", fix=fix)
        if is_of_a_library(seen):
            told = f"{type(seen).__name__}: {without_addresses(str(seen))}"
            return UserError(f"storage did not answer: {told}", fix="check address, network and credentials")
        if isinstance(seen, MemoryError):
            return UserError(
                f"out of memory{f': {seen}' if str(seen) else ''}", fix="use smaller batches or fewer workers"
            )
    return None


def without_addresses(text: str) -> str:
    """`text` without the places of objects in memory, which differ from run to run: equal faults get equal words.

    >>> without_addresses("Error opening <_io.BytesIO object at 0x7f52d1c0>: Format not recognised.")
    'Error opening <_io.BytesIO object>: Format not recognised.'
    """
    return _ADDRESS.sub("", text)


def is_of_a_library(error: BaseException) -> bool:
    """Whether a library that speaks to storage raised `error`."""
    return type(error).__module__.split(".")[0] in STORAGE_LIBRARIES


def _rebuild(kind: type[UserError], what: str, where: str, fix: str) -> UserError:
    return kind(what, where=where, fix=fix)


def cause_of_type(error: BaseException, kind: type[Exception]) -> Exception | None:
    """The first exception of type `kind` that `error` is, wraps or was caused by.

    Ray wraps what a worker raised: in `cause`, in `worker_failures` (one per rank), in `__cause__`.
    """
    return next((each for each in _causes(error) if isinstance(each, kind)), None)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """`error` and all that it wraps or was caused by, the nearest first."""
    queue, seen = [error], set()
    while queue:
        current = queue.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        failures = getattr(current, "worker_failures", None)
        wrapped = [getattr(current, "cause", None), current.__cause__, current.__context__]
        wrapped += list(failures.values()) if isinstance(failures, dict) else []
        queue += [each for each in wrapped if isinstance(each, BaseException)]


def did_you_mean(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""
