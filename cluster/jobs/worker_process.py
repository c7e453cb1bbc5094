"""A process of our own in which a stage works: whatever kills or hangs it kills no Ray actor and is told as a reason.

The parent side. The child (`cluster.jobs.worker_main`) publishes a unit's files itself, so that their bytes cross no pipe.
"""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import IO, Any

from invertone.cluster import user_folder
from invertone.cluster.formats.ledger import Output
from invertone.cluster.jobs.driver import Term
from invertone.cluster.jobs.watch import Recorder
from invertone.cluster.secrets import without_secrets

POLL_S = 0.5
LAST_WORDS, MAX_OUTPUT = 8_000, 1_000_000
"""How many characters of a dead worker's last output are kept, and how many bytes of a living one's."""


@dataclass(frozen=True)
class Task:
    """A unit for the child: its work, the items to leave out, and those to work on alone."""

    work: Mapping[str, Any]
    excluded: Mapping[str, str]
    suspects: frozenset[str]


@dataclass(frozen=True)
class Finished:
    """The unit's files are published. failed: items that have an error in place of a result."""

    outputs: tuple[Output, ...]
    statistics: Mapping[str, Any]
    failed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Refused:
    """The stage cannot open or the run folder has another driver: a user's mistake, and the end of the job."""

    error: str


@dataclass(frozen=True)
class Raised:
    """The stage raised. lasting: a damaged input, which trying again does not mend. storage: it may be mended."""

    error: str
    traceback: str
    in_hand: tuple[str, ...]
    lasting: bool
    storage: bool


@dataclass(frozen=True)
class Died:
    """The process is gone, or hung and was killed. in_hand: what it was working on. traceback: its last output."""

    error: str
    traceback: str
    in_hand: tuple[str, ...]


Answer = Finished | Refused | Raised | Died


class EndedError(Exception):
    """The worker was told to end while it had a unit in hand."""


class WorkerProcess:
    """Starts the child when there is work and it is not running; `stage` is the pickled stage."""

    def __init__(self, term: Term, stage: bytes, threads: int, stall_timeout: float) -> None:
        self._start = (term, stage, threads)
        self._stall_timeout = stall_timeout
        self._files: tuple[IO[bytes], IO[bytes]] | None = None
        self._child: _Child | None = None
        self._ended = False

    def run(self, task: Task) -> Answer:
        """Does one unit, however that ends. Raises EndedError once `end` was called."""
        if self._ended:
            raise EndedError
        child = self._child or self._spawned()
        output = child.files[1].fileno()
        if os.fstat(output).st_size > MAX_OUTPUT:  # a stage that talks must not fill the memory
            os.ftruncate(output, 0)
        try:
            child.connection.send(task)
            seen, since = child.recorder.progress, time.monotonic()
            while not child.connection.poll(POLL_S):
                if self._ended:
                    raise EndedError
                now, progress = time.monotonic(), child.recorder.progress
                if progress != seen:
                    seen, since = progress, now
                elif now - since > self._stall_timeout:
                    return self._hung(child)
            answer: Answer = child.connection.recv()
            return answer
        except (EOFError, OSError):
            if self._ended:
                raise EndedError from None
            return self._dead(child)

    def end(self) -> None:
        """Has `run`, in whichever thread it is, let go of its unit at once. That thread calls `stop`."""
        self._ended = True
        child = self._child
        if child is not None:
            child.process.kill()

    def stop(self) -> None:
        """Ends the child."""
        if self._child is not None:
            self._child.end()
            self._child = None
        if self._files is not None:
            _close(self._files)
            self._files = None

    def _spawned(self) -> _Child:
        child = _early() if self._files is None else None
        child = child or _Child.started(self._files or _files())
        self._files, self._child = child.files, child
        child.connection.send(self._start)
        return child

    def _hung(self, child: _Child) -> Died:
        """Asks the child for the stacks of its threads, then kills it."""
        with suppress(OSError):
            child.process.send_signal(signal.SIGUSR1)  # faulthandler answers even while native code holds the lock
            time.sleep(POLL_S)
        return self._died(child, f"its worker made no progress for {self._stall_timeout:g} s")

    def _dead(self, child: _Child) -> Died:
        code = child.process.wait()
        if code >= 0:
            return self._died(child, f"its worker ended with exit code {code}")
        hint = " (out of memory?)" if -code == signal.SIGKILL else ""
        return self._died(child, f"its worker was killed by {signal.Signals(-code).name}{hint}")

    def _died(self, child: _Child, error: str) -> Died:
        child.process.kill()
        child.process.wait()
        in_hand, output = tuple(child.recorder.read()), child.files[1].fileno()
        said = os.pread(output, os.fstat(output).st_size, 0).decode(errors="replace")
        child.end()
        self._child = None
        return Died(error, without_secrets(said)[-LAST_WORDS:], in_hand)


@dataclass
class _Child:
    """A started process. files: what it notes of itself, and its output. lifeline: when this is closed it ends."""

    files: tuple[IO[bytes], IO[bytes]]
    process: subprocess.Popen[bytes]
    connection: Connection
    recorder: Recorder
    lifeline: int

    @staticmethod
    def started(files: tuple[IO[bytes], IO[bytes]], module: str = "") -> _Child:
        """module: what it imports before it is told anything."""
        recorded, output = files
        recorder = Recorder(recorded, create=True)
        connection, theirs = multiprocessing.Pipe()
        lifeline, ours = os.pipe()
        environment = {
            # spinning threads would halve the speed of a machine that has other work as well
            "OMP_WAIT_POLICY": "PASSIVE",
            **os.environ,
            "PYTHONPATH": os.pathsep.join(user_folder.path()),
        }
        with theirs:
            process = subprocess.Popen(  # noqa: S603 (our own module)
                [
                    sys.executable,
                    "-P",  # the folder where it starts is the user's
                    "-m",
                    "invertone.cluster.jobs.worker_main",
                    str(theirs.fileno()),
                    str(lifeline),
                    str(recorded.fileno()),
                    module,
                ],
                pass_fds=(theirs.fileno(), lifeline, recorded.fileno()),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
            )
        os.close(lifeline)
        return _Child(files, process, connection, recorder, ours)

    def end(self) -> None:
        """Kills it, if it lives. What it wrote stays in its files."""
        self.process.kill()
        self.process.wait()
        self.connection.close()
        self.recorder.close()
        os.close(self.lifeline)


_EARLY: list[_Child] = []


@contextmanager
def early_worker(module: str) -> Iterator[None]:
    """While inside, the first worker process that is needed is there already and imports `module`, as long as this process
    still plans (importing torch takes a second or two). If none is needed, it ends at the end."""
    _EARLY.append(_Child.started(_files(), module))
    try:
        yield
    finally:
        child = _early()
        if child is not None:
            child.end()
            _close(child.files)


def _early() -> _Child | None:
    with suppress(IndexError):
        return _EARLY.pop()
    return None


def _close(files: tuple[IO[bytes], IO[bytes]]) -> None:
    for file in files:
        file.close()


def _files() -> tuple[IO[bytes], IO[bytes]]:
    files = _unnamed(), _unnamed()
    fcntl.fcntl(files[1], fcntl.F_SETFL, os.O_APPEND)
    return files


def _unnamed() -> IO[bytes]:
    """A file in memory without a name: Ray kills an actor with its children, and nobody would be left to remove it."""
    memory = "/dev/shm"  # noqa: S108 (the file has no name there)
    return tempfile.TemporaryFile(dir=memory if os.access(memory, os.W_OK) else None)
