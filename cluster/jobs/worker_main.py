"""The child side of `cluster.jobs.worker_process`: opens the stage, does the units it is sent, publishes their files."""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from invertone.cluster.errors import UserError, without_addresses
from invertone.cluster.formats.ledger import Output
from invertone.cluster.jobs.driver import Term, superseded
from invertone.cluster.jobs.watch import Recorder, Watch
from invertone.cluster.jobs.worker_process import Answer, Finished, Raised, Refused, Task
from invertone.cluster.secrets import without_secrets
from invertone.cluster.storage.folder import digested, sha256, storage_failed


def main() -> None:
    descriptor, lifeline, recorded = map(int, sys.argv[1:4])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's; this process ends with its parent
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    threading.Thread(target=_end_with_parent, args=(lifeline,), daemon=True).start()
    _die_first()
    connection = Connection(descriptor)
    if module := "".join(sys.argv[4:]):  # while the parent plans; what goes wrong, the stage will meet again
        with contextlib.suppress(Exception):
            importlib.import_module(module)
    term, stage, threads = connection.recv()
    worker = _Worker(term, stage, threads, Watch(Recorder(os.fdopen(recorded, "r+b"))))
    while True:
        try:
            task = connection.recv()
        except EOFError:  # the parent is gone; the thread that waits for that may not come to its turn
            return
        connection.send(worker.answer(task))


class _Worker:
    """The stage is opened at the first unit, so that what goes wrong in opening is told as that unit's fate."""

    def __init__(self, term: Term, stage: bytes, threads: int, watch: Watch) -> None:
        self._term, self._stage, self._threads, self._watch = term, stage, threads, watch
        self._process: Callable[[Mapping[str, Any]], Any] | None = None

    def answer(self, task: Task) -> Answer:
        self._watch.start(task.excluded, task.suspects)
        try:
            if self._process is None:
                self._process = pickle.loads(self._stage).open(self._threads, self._watch)  # noqa: S301 (our driver's)
        except UserError as refusal:
            return Refused(str(refusal))
        except Exception as error:
            return self._raised(error)
        try:
            result = self._process(task.work)
            if self._term.superseded():
                return Refused(str(superseded(self._term.folder)))
            outputs = []
            for name, content in result.files():
                self._watch.beat()
                outputs.append(self._published(name, content))
            return Finished(tuple(outputs), result.statistics, dict(result.failed))
        except Exception as error:
            return self._raised(error)

    def _published(self, name: str, content: bytes | Path) -> Output:
        folder = self._term.folder
        if isinstance(content, bytes):
            folder.publish_bytes(name, content)
            return Output(name, len(content), sha256(content))
        with content.open("rb") as file:
            size, digest = digested(file, self._watch.beat)
        folder.publish_file(name, content)
        return Output(name, size, digest)

    def _raised(self, error: Exception) -> Raised:
        return Raised(
            error=without_addresses(without_secrets(f"{type(error).__name__}: {error}")),
            traceback=without_secrets("".join(traceback.format_exception(error))),
            in_hand=tuple(self._watch.raised_in),
            lasting=isinstance(error, UserError),
            storage=storage_failed(error),
        )


def _end_with_parent(lifeline: int) -> None:
    """Nobody ever writes into the lifeline: reading ends when the parent is gone, however it went."""
    os.read(lifeline, 1)
    os._exit(1)


def _die_first() -> None:
    """Where memory runs out, the system takes the process that holds it, not the actor that can tell of it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


if __name__ == "__main__":
    main()
