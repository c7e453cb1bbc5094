"""One driver per run folder, on any storage, by exclusive creation alone.

ledger/drivers/000003.json        who drives in term 3; created exclusively, so that of several one wins
ledger/drivers/000003.beat.json   written again every few seconds while it lives, with its progress
ledger/drivers/000003.done.json   the term has ended

A driver that was killed leaves a term without an end. The next one looks whether that process still lives (same
machine) or whether its beat still moves (another machine), and if not, opens the next term. A driver that was only
paused finds the newer term before it or one of its workers publishes anything more.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from invertone.cluster.errors import UserError
from invertone.cluster.storage.folder import Folder
from invertone.cluster.storage.layout import OURS

DRIVERS = f"{OURS}/ledger/drivers"
BEAT_S = 5.0
LEASE_S = 30.0
"""A beat that stands still for so long belongs to a dead driver."""


@dataclass(frozen=True)
class Term:
    """The right to write into a run folder, for driver and workers; picklable."""

    folder: Folder
    number: int
    session: str

    def superseded(self) -> bool:
        """Whether another driver has taken over since. Asked before anything is published."""
        return self.folder.exists(_name(self.number + 1))


@dataclass
class Driver:
    """The driver of a run folder while it is open. What `progress` holds is written beside each beat."""

    term: Term
    progress: dict[str, Any] = field(default_factory=dict)

    def tell(self, **values: Any) -> None:
        """Adds to what is written beside the next beat."""
        self.progress = {**self.progress, **values}  # never changed in place: another thread reads it

    def check(self) -> None:
        """Raises UserError where another driver has taken over."""
        if self.term.superseded():
            raise superseded(self.term.folder)


def superseded(folder: Folder) -> UserError:
    return UserError(
        "another driver has taken over this run", where=folder.uri, fix="let it finish, `invertone status` follows it"
    )


@contextmanager
def driving(folder: Folder) -> Iterator[Driver]:
    """Takes the run folder for this process. Raises UserError where another driver is at work in it."""
    session = uuid.uuid4().hex[:12]
    while True:
        number, ended = _latest(folder)
        if number and not ended:
            _refuse_if_alive(folder, number)
        if folder.create_json(_name(number + 1), {"session": session, **_this_process(), "started": time.time()}):
            break
    driver = Driver(Term(folder, number + 1, session))
    over = threading.Event()
    beating = threading.Thread(target=_beat, args=(driver, over), name="driver-beat", daemon=True)
    beating.start()
    try:
        yield driver
    finally:
        over.set()
        beating.join()
        with suppress(OSError):  # an end that cannot be written is found out by the next driver
            folder.publish_json(_name(driver.term.number, ".done"), {"ended": time.time(), **driver.progress})


@dataclass(frozen=True)
class Seen:
    """What the folder says of its latest driver. `alive` by process where it is this machine's, else by its beat."""

    number: int
    record: Mapping[str, Any]
    beat: Mapping[str, Any]
    ended: bool
    alive: bool


def latest(folder: Folder) -> Seen | None:
    """The latest driver of a run folder, None where there never was one."""
    number, ended = _latest(folder)
    if not number:
        return None
    record, beat = folder.read_json(_name(number)), _read_beat(folder, number)
    if ended:
        beat = {**beat, **folder.read_json(_name(number, ".done"))}
    alive = not ended and (
        _seems_alive(folder, number, record, beat) if (here := _lives_here(record)) is None else here
    )
    return Seen(number, record, beat, ended, alive)


def _seems_alive(folder: Folder, number: int, record: Mapping[str, Any], beat: Mapping[str, Any]) -> bool:
    """Whether a driver on another machine lives. A beat of this moment says so. Any other may be a dead driver's, or one of
    a machine whose clock goes wrong: whether it moves tells."""
    if -BEAT_S < time.time() - beat.get("at", record["started"]) < 2 * BEAT_S:
        return True
    until = time.monotonic() + 2 * BEAT_S
    while time.monotonic() < until:
        time.sleep(min(1.0, BEAT_S / 5))
        if _read_beat(folder, number) != beat:
            return True
    return False


def _latest(folder: Folder) -> tuple[int, bool]:
    names = folder.names(DRIVERS)
    number = max((int(name.split(".")[0]) for name in names), default=0)
    return number, f"{number:06d}.done.json" in names


def _name(number: int, kind: str = "") -> str:
    return f"{DRIVERS}/{number:06d}{kind}.json"


def _refuse_if_alive(folder: Folder, number: int) -> None:
    record = folder.read_json(_name(number))
    alive = _lives_here(record)
    if alive is None:
        alive = _beats(folder, number, str(record["host"]))
    if alive:
        raise UserError(
            f"another driver is at work here (process {record['pid']} on {record['host']})",
            where=folder.uri,
            fix="wait for it or stop it; `invertone status` shows how far it is",
        )


def _beats(folder: Folder, number: int, host: str) -> bool:
    """Watches a driver's beat for a lease: clocks of two machines are not compared."""
    before, until = _read_beat(folder, number), time.monotonic() + LEASE_S
    print(
        f"this run's last driver, on {host}, has not ended: watching {LEASE_S:.0f} s for a sign of it", file=sys.stderr
    )
    while time.monotonic() < until:
        time.sleep(min(1.0, LEASE_S / 10))
        if _read_beat(folder, number) != before or _latest(folder) != (number, False):
            return _latest(folder) == (number, False)
    return False


def _read_beat(folder: Folder, number: int) -> dict[str, Any]:
    try:
        return dict(folder.read_json(_name(number, ".beat")))
    except FileNotFoundError:
        return {}


def _beat(driver: Driver, over: threading.Event) -> None:
    beats = 0
    while True:
        beats += 1
        with suppress(OSError):  # storage that fails for a moment costs a beat
            driver.term.folder.publish_json(
                _name(driver.term.number, ".beat"), {"beats": beats, "at": time.time(), **driver.progress}
            )
        if over.wait(BEAT_S):
            return


def _this_process() -> dict[str, Any]:
    return {"host": socket.gethostname(), "machine": _machine(), "pid": os.getpid(), "born": _born(os.getpid())}


def _machine() -> str:
    """This boot of this machine, and within it the container's process numbers; empty where the system does not say."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return ""


def _born(pid: int) -> str:
    """When process `pid` began, in ticks since the boot; empty if it is gone or only waits to be reaped."""
    try:
        values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if values[0] in "ZX" else values[19]


def _lives_here(record: Mapping[str, Any]) -> bool | None:
    """Whether the recorded process lives; None where that cannot be seen from this machine."""
    if not record.get("machine") or record["machine"] != _machine():
        return None
    return _born(record["pid"]) == record["born"]
