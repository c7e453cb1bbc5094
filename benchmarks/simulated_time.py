"""A virtual clock on which ordinary blocking code waits: each process is a thread, and who waits gives way to the next.

So the ledger, the supervisor and the driver run as they are, a thousand at once, and an hour of theirs costs no waiting.
Exactly one thread runs at a time, in an order that the clock alone decides: the same seed gives the same job.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from typing import Any

STACK = 1 << 20
"""Bytes of a process's stack: there are a thousand, and none goes deep."""


class LostError(BaseException):
    """The machine under this process is gone. No Exception: the code that runs there has no chance to handle it."""


class Process:
    """A thread that runs while it holds its baton; the clock hands it over and takes its turn again from `clock`.

    A lock that is taken from the beginning serves as each baton: to acquire it is to wait for one's turn, and who releases
    it says whose turn it is. There is no thread before the first turn.
    """

    def __init__(self, work: Callable[[], object], clock: threading.Lock) -> None:
        self.dead = False
        self.parked = False
        self.lost = False  # to be told at its next turn
        self.error: BaseException | None = None  # what it ended with, unless it was lost
        self.entry = 0  # which entry of the clock may give it a turn; older ones are void
        self._work, self._clock = work, clock
        self._baton = taken()
        self._thread: threading.Thread | None = None

    @property
    def begun(self) -> bool:
        return self._thread is not None

    def turn(self) -> None:
        """The clock lets it run. It must wait for its own baton then."""
        if self._thread is None:
            self._thread = started(self._live)
        else:
            self._baton.release()

    def give_way(self) -> None:
        """The process waits for its next turn, and learns there whether it is lost."""
        self._clock.release()
        self._baton.acquire()
        if self.lost:
            self.lost = False
            raise LostError

    def join(self) -> None:
        if self._thread is not None:
            self._thread.join()

    def _live(self) -> None:
        try:
            self._work()
        except LostError:
            pass
        except BaseException as error:  # raised again where the clock runs
            self.error = error
        finally:
            self.dead = True
            self._clock.release()


def taken() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


def started(work: Callable[[], None]) -> threading.Thread:
    """A daemon: where the clock is interrupted, the interpreter can end."""
    thread = threading.Thread(target=work, name="simulated", daemon=True)
    before = threading.stack_size(STACK)
    try:
        thread.start()
    finally:
        threading.stack_size(before)
    return thread


class VirtualTime:
    """What `time` is to the code that runs here: `monotonic`, `time` and `sleep`, in seconds since the start."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Process, bool]] = []  # when, number, whose turn, whether it is lost
        self._number = 0
        self._baton = taken()
        self._here = threading.local()
        self._running: Process | None = None
        self._alive: dict[Process, None] = {}
        self._ended = False

    @property
    def current(self) -> Process:
        """The process that asks."""
        process: Process = self._here.process
        return process

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Outside of a process (a measurement after the run) no time passes."""
        if not hasattr(self._here, "process"):
            return
        if self._ended:
            raise LostError
        self._at(self.now + seconds, self.current)
        self.current.give_way()

    def park(self) -> None:
        """Waits until somebody calls `wake`."""
        if self._ended:
            raise LostError
        self.current.parked = True
        self.current.give_way()

    def wake(self, process: Process) -> None:
        """Nothing happens to a process that is not parked."""
        if process.parked:
            process.parked = False
            self._at(self.now, process)

    def kill(self, process: Process) -> None:
        """The process sees LostError wherever it waits. One that has not begun never does."""
        self._number += 1
        heapq.heappush(self._due, (self.now, self._number, process, True))

    def start(self, work: Callable[..., Any], *arguments: Any) -> Process:
        def run() -> None:
            self._here.process = process
            work(*arguments)

        process = Process(run, self._baton)
        self._alive[process] = None
        self._at(self.now, process)
        return process

    def run(self, until: Process) -> None:
        """Lets time pass until that process has ended. Others stay where they are, for another `run` or `end`.

        An error that a process ends with, whichever, is raised here.
        """
        while not until.dead:
            self.now, number, process, lost = heapq.heappop(self._due)
            if process.dead or not (lost or process.entry == number):
                continue
            process.entry, process.parked = 0, False
            if lost:
                self._lose(process)
            else:
                self._resume(process)
            if process.error is not None:
                raise process.error

    def end(self) -> None:
        """All that still waits is lost, and no thread is left. The first error that one ended with meanwhile is raised."""
        self._ended = True
        if self._running is not None:  # `run` was interrupted
            self._until_it_waits(self._running)
        waiting = tuple(self._alive)
        for process in waiting:
            self._lose(process)
        self._due, self._alive = [], {}
        for process in waiting:
            if process.error is not None:
                raise process.error

    def _lose(self, process: Process) -> None:
        if process.begun:
            process.lost = True
            self._resume(process)
        else:
            process.dead = True
            del self._alive[process]

    def _resume(self, process: Process) -> None:
        self._running = process
        process.turn()
        self._until_it_waits(process)

    def _until_it_waits(self, process: Process) -> None:
        """Returns when the process has given way or ended."""
        self._baton.acquire()
        self._running = None
        if process.dead:
            process.join()
            self._alive.pop(process, None)

    def _at(self, when: float, process: Process) -> None:
        self._number += 1
        process.entry = self._number
        heapq.heappush(self._due, (when, self._number, process, False))
