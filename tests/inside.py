"""Bulk jobs in this process, for tests of what a job computes rather than of how its workers live and die.

The engine's own planning, supervision, attempts, commits and outcome; only Ray's scheduling is a loop, and the worker no
process of its own. A job that takes seconds to start on Ray takes none. Each stage has tests on a real session as well.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Sequence

import pytest

from invertone.cluster.formats.ledger import Unit
from invertone.cluster.jobs import engine
from invertone.cluster.jobs.supervisor import Fate, Supervisor
from invertone.cluster.jobs.watch import Watch
from invertone.cluster.jobs.worker_main import _Worker
from invertone.cluster.ray.resources import Capacity, Node
from invertone.stages import Stage

ONE_CPU = Capacity(1, 0, 1, (Node(1, 0, 2.0**40),))
"""A machine with one CPU and no GPU, whatever this one has."""


def in_this_process(supervisor: Supervisor, units: Sequence[Unit], *_: object) -> Generator[Fate, None, None]:
    """In place of `invertone.cluster.jobs.here.fates_here`."""
    worker = _Worker(supervisor.term, supervisor.stage, 1, Watch())
    for unit in units:
        yield supervisor.fate(unit, worker.answer)


@contextlib.contextmanager
def inside() -> Iterator[None]:
    """Jobs that are run here need no Ray."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "this_machine", lambda *_: ONE_CPU)
        patch.setattr(engine, "fates_here", in_this_process)
        patch.setattr(Stage, "_early_worker", lambda self: contextlib.nullcontext())
        yield
