"""The folder in which a user's own modules lie: where the command is typed, or what was sent of it with a job."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

VARIABLE = "INVERTONE_USER_FOLDER"
"""Tells worker processes which entry of their path it is; holds no secret."""


def use(folder: str) -> None:
    """Has modules of `folder` found, in this process and those it starts: after everything installed, so that a stray
    `queue.py` there breaks nothing that does not ask for it."""
    os.environ[VARIABLE] = folder
    if folder not in sys.path:
        sys.path.append(folder)


def path() -> list[str]:
    """What a process that this one starts has for a path: as here, the user's folder last, and the working directory where
    Python looks there. Ray puts it further up, where a stray module of theirs would hide the standard library's."""
    last = [os.environ.get(VARIABLE, "")] + [str(Path.cwd())] * ("" in sys.path)
    there = {os.path.realpath(folder) for folder in last if folder}
    here = {os.path.realpath(entry) for entry in sys.path}
    others = [entry for entry in sys.path if entry and os.path.realpath(entry) not in there]
    return [*others, *(folder for folder in dict.fromkeys(last) if folder and os.path.realpath(folder) in here)]


@contextlib.contextmanager
def first() -> Iterator[None]:
    """While a class of the user's is imported and made, its folder comes first, as for any script of theirs: a `models.py`
    beside it is what its `from models import …` means, whatever else of that name is installed."""
    folder = os.environ.get(VARIABLE, "")
    before = list(sys.path)
    if folder in before:
        sys.path[:] = [folder, *(entry for entry in before if entry != folder)]
    try:
        yield
    finally:
        if folder in before:
            added = [entry for entry in sys.path if entry not in before]
            sys.path[:] = [*added, *before]
