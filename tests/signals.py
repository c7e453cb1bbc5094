"""`python -m tests.signals [TRIES]`: every kind of job told to stop by every signal, in each phase, alone and with its group.

Prints a table: exit code, seconds until the command had ended, whether it said so, and how many of its processes were left.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from invertone.cluster.formats.ledger import COMMITS
from invertone.cluster.formats.runs import SUMMARY
from invertone.cluster.jobs.driver import DRIVERS, _born
from invertone.cluster.stopping import LINE, SIGNALS, below
from tests.sounds import speechlike, write_sound

ROOT = Path(__file__).parents[1]
PHASES = ("start", "work", "end")
WAIT_S = 120.0


@dataclass(frozen=True)
class Job:
    """A command that writes into `out`; `works` tells from the run folder that it is at work, `ends` that it is at its end."""

    words: Sequence[str]
    out: Path
    works: Callable[[Path], bool]
    ends: Callable[[Path], bool]

    def reached(self, phase: str) -> bool:
        if phase == "start":  # the run folder has a driver, and Ray is about to start
            return any((self.out / DRIVERS).glob("*.json"))
        return self.works(self.out) if phase == "work" else self.ends(self.out)


@dataclass(frozen=True)
class Told:
    """How a command ended that was told to stop."""

    code: int
    seconds: float
    said: bool
    left: int
    errors: str


def tell(job: Job, phase: str, number: signal.Signals, group: bool, later: float = 0.0) -> Told:
    """Starts the job, sends the signal `later` seconds after `phase` is reached, to it alone or to its group."""
    process = started([sys.executable, "-m", "invertone", *job.words], subprocess.DEVNULL)
    until = time.monotonic() + WAIT_S
    while not job.reached(phase) and time.monotonic() < until and process.poll() is None:
        time.sleep(0.01)
    time.sleep(later)
    family = {each: _born(each) for each in below(process.pid)}
    sent = time.monotonic()
    if process.poll() is None:  # else it ended by itself, and its errors say why
        (os.killpg if group else os.kill)(process.pid, number)
    try:
        _, errors = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        _, errors = process.communicate()
    seconds = time.monotonic() - sent
    while (left := _living(family)) and time.monotonic() - sent < seconds + 3:
        time.sleep(0.1)
    return Told(process.returncode, seconds, LINE.strip() in errors, left, errors)


def started(command: Sequence[str], output: int) -> subprocess.Popen[str]:
    """A process of a session and group of its own that heeds signals, whatever this one ignores."""
    return subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heedful,
    )


def heedful() -> None:
    """What was started in the background inherits an ignored SIGINT, which a command rightly leaves ignored."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_DFL)


def _living(family: dict[int, str]) -> int:
    return sum(bool(born) and _born(each) == born for each, born in family.items())


def committed(count: int) -> Callable[[Path], bool]:
    return lambda out: sum(1 for _ in (out / COMMITS).glob("*.json")) >= count


def ingest(place: Path, out: Path, count: int = 12) -> Job:
    """An ingest of `count` shards of one recording each."""
    for number in range(count):
        if not (place / f"c/a/{number:02d}.wav").exists():
            write_sound(place / f"c/a/{number:02d}.wav", speechlike(0.3, number))
    words = ["ingest", "folder", f"source={place}/c", f"out={out}", "clips_per_shard=1"]
    return Job(words, out, committed(1), committed(count))


def train(shards: Path, out: Path, steps: int = 100_000) -> Job:
    """A training that writes a checkpoint every three updates; it never ends by itself within a test's time."""
    from tests.made import TINY

    given = {
        **TINY["classifier-debug"],
        "shards": shards,
        "out": out,
        "steps": steps,
        "checkpoint_every": 3,
        "samples": 0,
    }
    words = ["train", "classifier-debug", *(f"{key}={value}" for key, value in given.items())]
    found = lambda out: any((out / "checkpoints").glob("*"))  # noqa: E731
    return Job(words, out, found, lambda out: (out / SUMMARY).exists())


def tune(shards: Path, out: Path) -> Job:
    """A sweep of two trials that never end by themselves within a test's time."""
    from tests.made import TINY

    given = {f"given.{key}": value for key, value in _flat(TINY["classifier-debug"]).items()}
    given |= {"given.shards": shards, "given.steps": 100_000, "given.checkpoint_every": 3, "given.samples": 0}
    given |= {"training": "classifier-debug", "goals.accuracy": "max", "trials": 2, "search": "random", "out": out}
    words = ["tune", "debug", *(f"{key}={value}" for key, value in given.items())]
    found = lambda out: any(out.glob("trials/*/checkpoints/*"))  # noqa: E731
    return Job(words, out, found, lambda out: (out / SUMMARY).exists())


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found


def infer(place: Path, out: Path, shards: int) -> Job:
    """An inversion of `shards` shards by gradient."""
    words = [
        "infer",
        "gradient",
        f"shards={place}/shards",
        f"generator={place}/wavegan",
        f"out={out}",
        "evaluations=40",
    ]
    return Job(words, out, committed(1), committed(shards))


def makers(place: Path) -> dict[str, Callable[[Path], Job]]:
    """What makes a job of each kind, given its run folder. `place` takes shards and a generator, made at once."""
    from invertone.cluster.storage.folder import Folder
    from tests.made import made_shards, train_tiny

    folder = Folder.at(str(place))
    made_shards(folder / "shards", train=(6, 6, 6), validation=3)
    train_tiny("wavegan-debug", folder / "shards", folder / "wavegan", steps=1, checkpoint_every=1)
    return {
        "ingest": lambda out: ingest(place, out),
        "infer": lambda out: infer(place, out, 4),
        "train": lambda out: train(place / "shards", out),
        "tune": lambda out: tune(place / "shards", out),
    }


def right(told: Told, phase: str, number: signal.Signals) -> bool:
    """It says so, has the signal's exit code, and leaves no process. At its end a job may be done before it hears."""
    stopped = told.code == 128 + number and told.said
    return told.left == 0 and (stopped or (phase == "end" and told.code == 0 and not told.said))


def main() -> int:
    tries = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    print(f"{'job':8} {'phase':6} {'signal':8} {'to':8} {'code':>5} {'s':>6}  said  left", flush=True)
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="invertone-signals-") as name:
        place = Path(name)
        kinds = makers(place)
        cells = [
            (kind, phase, number, group)
            for _ in range(tries)
            for kind in kinds
            for phase in PHASES
            if (kind, phase) not in (("train", "end"), ("tune", "end"))
            for number in SIGNALS
            for group in (False, True)
        ]
        for count, (kind, phase, number, group) in enumerate(cells):
            later = 0.4 * (count % 9) if phase == "start" else 0.0
            told = tell(kinds[kind](place / f"out-{count}"), phase, number, group, later)
            good = right(told, phase, number)
            wrong += not good
            to = "group" if group else "process"
            line = f"{kind:8} {phase:6} {number.name:8} {to:8} {told.code:5} {told.seconds:6.1f}  {told.said!s:5} {told.left}"
            print(line + ("" if good else f"  WRONG ({later:.1f} s later)\n{told.errors[-2000:]}"), flush=True)
    print(f"{len(cells)} jobs, {wrong} ended wrongly")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
