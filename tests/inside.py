"""Bulk jobs in this process, for tests of what a job computes rather than of how its workers live and die.

The engine's own planning, supervision, attempts, commits and outcome; only Ray's scheduling is a loop, and the worker no
process of its own. A job that takes seconds to start on Ray takes none. Each stage has tests on a real session as well.
"""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from invertone.cluster.errors import UserError
from invertone.cluster.formats.ledger import Unit
from invertone.cluster.jobs import engine
from invertone.cluster.jobs.supervisor import Supervisor


class Inside(engine._Actor):
    """An actor whose worker is no process of its own, and so sees what lies in this one."""

    def __init__(self, supervisor: Supervisor, threads: int) -> None:
        from invertone.cluster.jobs.watch import Watch
        from invertone.cluster.jobs.worker_main import _Worker

        worker = _Worker(supervisor.term, supervisor.stage, threads, Watch())
        self._supervise = lambda unit: supervisor.do(unit, worker.answer)


def one_after_the_other(supervisor: Supervisor, units: Sequence[Unit], *_: Any) -> Iterator[dict[str, Any]]:
    """In place of `invertone.cluster.jobs.engine._on_ray`."""
    actor = engine._Actor(supervisor, 1)
    for unit in units:
        row = {name: column[0] for name, column in actor({"unit": [pickle.dumps(unit)]}).items()}
        if row["state"] == "refused":
            raise UserError(str(row["error"]))
        yield row


@contextlib.contextmanager
def inside() -> Iterator[None]:
    """Jobs that are run here need no Ray."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "_on_ray", one_after_the_other)
        patch.setattr(engine, "session", contextlib.nullcontext)
        patch.setattr(engine, "_Actor", Inside)
        yield
