"""What a unit costs the engine, and what a hundred thousand of them cost planning and status.

Overhead: units that do nothing but write a line, through the engine and in a bare loop that writes the same files with
the same care (fsync, rename) and no ledger. Warm: the rate between two sizes, without what happens once.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from invertone.cluster.config.shared import BulkConfig
from invertone.cluster.formats.ledger import ATTEMPTS, COMMITS, JOURNAL, Commit, Ledger, Output, Unit
from invertone.cluster.formats.runs import RUN
from invertone.cluster.jobs.driver import driving
from invertone.cluster.jobs.engine import UnitResult, run_units
from invertone.cluster.jobs.watch import Watch
from invertone.cluster.ray.session import session
from invertone.cluster.storage.folder import Folder, json_bytes

SMALL, LARGE = 500, 3_500
MANY = 100_000


def run(many: int = MANY) -> None:
    """Prints both tables."""
    with tempfile.TemporaryDirectory(prefix="invertone-bench-") as name:
        place = Path(name)
        bare = [_bare(place / f"bare-{count}", count) for count in (SMALL, LARGE)]
        with session():
            engine = [_engine(place / f"engine-{count}", count) for count in (SMALL, LARGE)]
        each = [1e3 * (large - small) / (LARGE - SMALL) for small, large in (engine, bare)]
        print(f"\none worker, {LARGE - SMALL:,} units warm: engine {each[0]:.2f} ms, bare loop {each[1]:.2f} ms a unit")
        print(f"overhead {each[0] - each[1]:.2f} ms a unit; once per job {engine[0] - SMALL * each[0] / 1e3:.1f} s")
        print(f"\n{'units':>8} {'plan':>8} {'what is left':>13} {'status':>8} {'peak MB':>8}")
        for count in (1_000, many):
            folder = Folder.at(str(place / f"plan-{count}"))
            print(f"{count:8,} " + " ".join(_planned(folder, count)), flush=True)


def _units(count: int) -> list[Unit]:
    return [Unit(f"train-{number:06d}", {"name": f"train-{number:06d}"}, items=512) for number in range(count)]


def _bare(place: Path, count: int) -> float:
    folder, began = Folder.at(str(place)), time.monotonic()
    for unit in _units(count):
        folder.publish_bytes(f"{unit.name}.txt", b"done")
    return time.monotonic() - began


def _engine(place: Path, count: int) -> float:
    began = time.monotonic()
    with driving(Folder.at(str(place))) as driver:
        run_units(driver, _Nothing(), _units(count), what="units", settings=BulkConfig(workers=1))
    return time.monotonic() - began


@dataclass(frozen=True)
class _Nothing:
    def open(self, threads: int, watch: Watch) -> Callable[[Mapping[str, Any]], UnitResult]:
        return lambda work: UnitResult({f"{work['name']}.txt": b"done"}, {"clips": 512})


def _planned(folder: Folder, count: int) -> list[str]:
    """A run folder as a job of `count` units leaves it after 60 % of them; then planning it again and its status."""
    units, ledger = _units(count), Ledger(folder, "s")
    began = time.monotonic()
    ledger.fix_plan(units, {})
    planned = time.monotonic() - began
    _pretend(folder, ledger, units[: count * 6 // 10])
    began = time.monotonic()
    ledger.fix_plan(units, {})
    done = ledger.done()
    left = sum(unit.name not in done for unit in units)
    rest = time.monotonic() - began
    assert left == count - count * 6 // 10
    program = (
        "import json, sys, time\nfrom pathlib import Path\n"
        "from invertone.cluster.jobs.status import status\nfrom invertone.cluster.storage.folder import Folder\n"
        "began = time.monotonic()\nfound = status(Folder.at(sys.argv[1])).to_json()\n"
        "lines = Path('/proc/self/status').read_text().splitlines()\n"
        "peak = next(int(line.split()[1]) / 1024 for line in lines if line.startswith('VmHWM'))\n"
        "print(json.dumps([time.monotonic() - began, peak, found['units']['done'], found['items']['done']]))"
    )
    said = subprocess.run([sys.executable, "-c", program, folder.uri], check=True, capture_output=True).stdout
    seconds, peak, finished, items = json.loads(said)
    assert (finished, items) == (count - left, 512 * (count - left))
    return [f"{planned:6.2f} s", f"{rest:11.2f} s", f"{seconds:6.2f} s", f"{peak:8.0f}"]


def _pretend(folder: Folder, ledger: Ledger, units: list[Unit]) -> None:
    """The files that those units would have left, written without the care that makes them last."""
    for below in (ATTEMPTS, COMMITS, JOURNAL):
        Path(folder.path_of(below)).mkdir(parents=True, exist_ok=True)
    commits = []
    for unit in units:
        commit = Commit(unit.name, unit.items, (Output(f"{unit.name}.parquet", 1_000_000, "0" * 64),), {"clips": 512})
        Path(folder.path_of(f"{ATTEMPTS}/{unit.name}.s.1.json")).write_bytes(b"{}")
        Path(folder.path_of(f"{COMMITS}/{unit.name}.json")).write_bytes(json_bytes(commit.to_json()))
        commits.append(commit)
    whole = len(commits) - 500 if len(commits) > 1_000 else 0  # what a killed driver had not written yet is read alone
    for first in range(0, whole, 1_000):
        ledger.write_journal(f"s-{first:08d}", commits[first : min(first + 1_000, whole)])
    folder.publish_json(RUN, {"stage": "infer", "name": "encoder", "config": {}, "fingerprint": {}})
