"""A virtual clock on which ordinary blocking code waits: each process is a greenlet, and who waits gives way to the next.

So the ledger, the supervisor and the driver run as they are, a thousand at once, and an hour of theirs costs no waiting.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from greenlet import getcurrent, greenlet


class LostError(BaseException):
    """The machine under this process is gone. No Exception: the code that runs there has no chance to handle it."""


class VirtualTime:
    """What `time` is to the code that runs here: `monotonic`, `time` and `sleep`, in seconds since the start."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, greenlet, type[BaseException] | None]] = []
        self._number = 0
        self._hub: greenlet | None = None
        self._expects: dict[greenlet, int] = {}  # which entry may resume a waiting process; older ones are void
        self._parked: set[greenlet] = set()
        self._alive: set[greenlet] = set()
        self._ended = False

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Outside of a process (a measurement after the run) no time passes."""
        process = getcurrent()
        if self._hub is None or process is self._hub:
            return
        if self._ended:
            raise LostError
        self._at(self.now + seconds, process)
        self._hub.switch()

    def park(self) -> None:
        """Waits until somebody calls `wake`."""
        assert self._hub is not None
        if self._ended:
            raise LostError
        self._parked.add(getcurrent())
        self._hub.switch()

    def wake(self, process: greenlet) -> None:
        """Nothing happens to a process that is not parked."""
        if process in self._parked:
            self._parked.discard(process)
            self._at(self.now, process)

    def kill(self, process: greenlet) -> None:
        """The process sees LostError wherever it waits."""
        self._number += 1
        heapq.heappush(self._due, (self.now, self._number, process, LostError))

    def start(self, work: Callable[..., Any], *arguments: Any) -> greenlet:
        def run() -> None:
            with suppress(LostError):
                work(*arguments)
            self._alive.discard(process)

        process = greenlet(run)
        self._alive.add(process)
        self._at(self.now, process)
        return process

    def run(self, until: greenlet) -> None:
        """Lets time pass until that process has ended. Others stay where they are, for another `run` or `end`."""
        self._hub = getcurrent()
        try:
            while not until.dead:
                self.now, number, process, error = heapq.heappop(self._due)
                if process.dead or (error is None and self._expects.get(process) != number):
                    continue
                self._expects.pop(process, None)
                self._parked.discard(process)
                process.parent = self._hub
                if error is None:
                    process.switch()
                elif process:
                    process.throw(error)
                else:  # one that has not begun never does: nothing resumes it any more
                    self._alive.discard(process)
        finally:
            self._hub = None

    def end(self) -> None:
        """All that still waits is lost. A greenlet left waiting would be ended by the garbage collector, in any thread."""
        self._hub, self._ended = getcurrent(), True
        for process in tuple(self._alive):
            if process:
                process.parent = self._hub
                process.throw(LostError)
        self._hub, self._due, self._expects, self._parked, self._alive = None, [], {}, set(), set()

    def _at(self, when: float, process: greenlet) -> None:
        self._number += 1
        self._expects[process] = self._number
        heapq.heappush(self._due, (when, self._number, process, None))
