"""The error law: what a user did wrong is one line, exit code 2; a job that ended without all its work, code 3."""

from __future__ import annotations


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
    seen: BaseException | None = error
    while seen is not None:
        fix = fixes.get(type(seen).__name__)
        if fix:
            return UserError(f"storage refused: {seen}", fix=fix)
        seen = seen.__cause__ or seen.__context__
    return None


def _rebuild(kind: type[UserError], what: str, where: str, fix: str) -> UserError:
    return kind(what, where=where, fix=fix)


def cause_of_type(error: BaseException, kind: type[Exception]) -> Exception | None:
    """The first exception of type `kind` that `error` is, wraps or was caused by.

    Ray wraps what a worker raised: in `cause`, in `worker_failures` (one per rank), in `__cause__`.
    """
    queue, seen = [error], set()
    while queue:
        current = queue.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        if isinstance(current, kind):
            return current
        failures = getattr(current, "worker_failures", None)
        wrapped = [getattr(current, "cause", None), current.__cause__, current.__context__]
        wrapped += list(failures.values()) if isinstance(failures, dict) else []
        queue += [each for each in wrapped if isinstance(each, BaseException)]
    return None
