"""One rule for every command that is told to stop, by Ctrl-C (130), SIGTERM (143) or a terminal that closes (SIGHUP, 129).

The first signal raises `Stopped` in the main thread, and the command ends in order. Where that does not come to pass within
`GRACE_S`, because foreign code blocks the main thread or swallows the exception, a thread says the line, ends the processes
that this one has started, and ends this one. It hears of signals by a pipe that Python's C handler writes into, so that it
needs nothing of the main thread.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE_S = 6.0
LINE = "\ninvertone: stopped; the same command continues from here"
STOPPED = 128 + signal.SIGINT


class Stopped(KeyboardInterrupt):
    """A signal told the command to stop. Whoever tidies up after Ctrl-C does so for every signal."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.code = 128 + number


class Stop:
    """What is known of a command's end: the first signal that arrived, if any."""

    def __init__(self) -> None:
        self.arrived: int | None = None
        self._raised = self._said = self._over = False
        self._left = threading.Event()
        self._stderr = os.dup(2)  # what is 2 now may lead nowhere when it is needed, as while Ray starts
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)

    @property
    def code(self) -> int:
        """The exit code by convention: 128 and the signal's number."""
        return 128 + (self.arrived or signal.SIGINT)

    def say(self) -> None:
        """The line on stderr, once; a terminal that is gone hears nothing."""
        if not self._said:
            self._said = True
            with suppress(OSError, ValueError):
                print(LINE, file=sys.stderr, flush=True)

    def heard(self, number: int, _: FrameType | None = None) -> None:
        """The handler, in the main thread. Raises Stopped once: what tidies up must not be interrupted again."""
        self.arrived = self.arrived or number
        if not self._raised and not self._over:
            self._raised = True
            raise Stopped(number)

    def watch(self) -> None:
        """The thread: waits for a signal, then for the command's end, then ends it."""
        while self.arrived is None:
            told = os.read(self._reading, 64)
            if self._left.is_set():
                return
            self.arrived = self.arrived or next((each for each in told if each in SIGNALS), None)
        if self._left.wait(GRACE_S):
            return
        if not self._said:
            with suppress(OSError):
                os.write(self._stderr, f"{LINE}\n".encode())
        end_children(os.getpid())
        os._exit(self.code)

    def leave(self, last: bool, before: dict[signal.Signals, Any], wakeup: int) -> None:
        """After the command. last: the process ends too; a stopped one stays watched until it is gone, and one that is
        done is disturbed no more."""
        self._over = True
        if last and self.arrived:
            return
        for each, handler in before.items():
            signal.signal(each, signal.SIG_IGN if last else _settable(handler))
        signal.set_wakeup_fd(wakeup)
        self._left.set()
        os.write(self._writing, b"\0")


@contextmanager
def stoppable(last: bool) -> Iterator[Stop]:
    """Holds the rule for what is done inside. last: the process ends after it. Signals that are ignored stay so (`nohup`)."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {each: signal.getsignal(each) for each in SIGNALS}
    before = {each: handler for each, handler in before.items() if handler is not signal.SIG_IGN}
    wakeup = signal.set_wakeup_fd(stop._writing, warn_on_full_buffer=False)
    for each in before:
        signal.signal(each, stop.heard)
    watcher = threading.Thread(target=stop.watch, name="stop", daemon=True)
    watcher.start()
    try:
        yield stop
    finally:
        stop.leave(last, before, wakeup)
        if stop._left.is_set():
            watcher.join()
            for handle in (stop._reading, stop._writing, stop._stderr):
                os.close(handle)


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Keeps the handlers of our signals while foreign code runs that would put its own in place: Ray's start-up, Ray Train
    and Ray Tune do, each leaves it there for good, and none says that the job was stopped."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    set_handler = signal.signal
    before: dict[int, Any] = {each: signal.getsignal(each) for each in SIGNALS}

    def refused(number: int, handler: Any) -> Any:
        ours = before.get(number)
        return set_handler(number, handler if ours is None else ours)  # anew: native code may have replaced it unseen

    signal.signal = refused  # type: ignore[assignment]
    try:
        yield
    finally:
        signal.signal = set_handler
        for each, handler in before.items():
            if handler is not None:
                set_handler(each, handler)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Holds the signals to stop back until the end, for what must not be cut short: Python raises wherever the main thread is.

    Inside a callback of espeak or of soundfile the exception would be swallowed: the command would not stop, and a mutilated
    clip might be kept. In the middle of Ray's shutdown it would leave a core that ends the process when its raylet goes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    usual = {each: signal.signal(each, lambda number, frame: arrived.append(number)) for each in SIGNALS}
    try:
        yield
    finally:
        for each, handler in usual.items():
            signal.signal(each, _settable(handler))
        if arrived:
            signal.raise_signal(arrived[0])


def _settable(handler: Any) -> Any:
    """What `signal.signal` takes again: a handler that native code has put in place cannot be named."""
    return signal.SIG_DFL if handler is None else handler


def end_children(process: int) -> None:
    """Kills every process below `process`, as far as the system lists them."""
    for child in below(process):
        with suppress(OSError):
            os.kill(child, signal.SIGKILL)


def below(process: int) -> set[int]:
    """The processes that `process` has started, theirs included. Empty where the system has no /proc."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    family = {process}
    while grown := {child for child, parent in parents.items() if parent in family} - family:
        family |= grown
    return family - {process}
