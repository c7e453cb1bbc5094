"""What is planned, tried, done and given up, as files in the run folder; a unit counts only when its commit is there.

Below `__invertone/` (invertone.cluster.storage.layout):

ledger/plan.json, units.pq             the units, fixed once per run folder
ledger/attempts/UNIT.SESSION.N.json    created before attempt N starts
ledger/commits/UNIT.json               created last: outputs with bytes and sha256, statistics, excluded items
ledger/failures/UNIT.json              why a unit failed or was quarantined; or, for a committed one, its excluded items
ledger/journal/*.jsonl                 commits the driver has heard of, a thousand to a file, so that none is read alone

Truth is the commits. The journal only saves reading them one by one; without it every answer is the same.
"""

from __future__ import annotations

import hashlib
import io
import json
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from invertone.cluster.errors import UserError
from invertone.cluster.storage.folder import Folder
from invertone.cluster.storage.layout import OURS
from invertone.cluster.storage.parquet import read_parquet

VERSION = 2
LEDGER = f"{OURS}/ledger"
PLAN, UNITS = f"{LEDGER}/plan.json", f"{LEDGER}/units.pq"
ATTEMPTS, COMMITS, FAILURES, JOURNAL = (f"{LEDGER}/{each}" for each in ("attempts", "commits", "failures", "journal"))
LIMIT = "limit"
"""In a unit's work: how many of its items are to be done, where not all are."""
FAILED, QUARANTINED, EXCLUDED = "failed", "quarantined", "items excluded"
READERS = 32
"""How many small files are read at the same time from storage where each costs a round trip."""
UNITS_SCHEMA = pa.schema([("name", pa.string()), ("items", pa.int64()), ("work", pa.string())])


@dataclass(frozen=True)
class Unit:
    """One piece of work: a name unique in the plan, and what the stage needs to know (plain JSON values).

    `items` counts what the user counts: clips, recordings, rows.
    """

    name: str
    work: Mapping[str, Any]
    items: int = 1


def first_items(units: Iterable[Unit], limit: int) -> list[Unit]:
    """The units that hold the first `limit` items of a plan (0: all); of the last one the work says how many it does."""
    if not limit:
        return list(units)
    chosen, left = [], limit
    for unit in units:
        if left >= unit.items:
            chosen.append(unit)
        elif left:
            chosen.append(Unit(unit.name, {**unit.work, LIMIT: left}, left))
        left = max(0, left - unit.items)
    return chosen


@dataclass(frozen=True)
class Output:
    """A published file of a unit: its name in the run folder, and what it must hold."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Commit:
    """A unit that is done. excluded: items that have an error in place of a result, with the reason."""

    unit: str
    items: int
    outputs: tuple[Output, ...]
    statistics: Mapping[str, Any]
    excluded: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Commit:
        return Commit(**{**values, "outputs": tuple(Output(**each) for each in values["outputs"])})


@dataclass(frozen=True)
class Failure:
    """Why a unit is not done (`state` failed or quarantined), or which of its items are not (items excluded)."""

    unit: str
    state: str
    error: str
    traceback: str = ""
    attempts: int = 0
    items: int = 0
    excluded: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Attempt:
    """The record of an attempt, written before it starts: what earlier ones taught, should this worker be lost.

    deaths: attempts since the last exclusion that ended badly.
    """

    number: int
    where: str = ""
    excluded: Mapping[str, str] = field(default_factory=dict)
    suspects: tuple[str, ...] = ()
    deaths: int = 0


@dataclass(frozen=True)
class Ledger:
    """The ledger of one run folder, for driver and workers; picklable. `session` tells one driver's attempts from
    another's: that an earlier driver was killed is not the unit's fault."""

    folder: Folder
    session: str = ""

    # ------------------------------------------------------------------ the plan

    def fix_plan(self, units: Sequence[Unit], details: Mapping[str, Any], anew: bool = False) -> None:
        """Writes the plan once; refuses another plan in the same folder, saying in what it differs. anew: takes its place
        instead, for jobs whose number of units is not fixed."""
        assert len({unit.name for unit in units}) == len(units), "unit names are unique in a plan"
        works = [json.dumps(unit.work, sort_keys=True) for unit in units]
        digest = hashlib.sha256()
        for unit, work in zip(units, works, strict=True):
            digest.update(f"{unit.name}\0{unit.items}\0{work}\n".encode())
        plan: dict[str, Any] = {"version": VERSION, "units": len(units), "items": sum(unit.items for unit in units)}
        plan |= {"sha256": digest.hexdigest(), **details}
        previous = self.plan()
        if previous is None or (anew and previous != plan):
            columns = {"name": [unit.name for unit in units], "items": [unit.items for unit in units], "work": works}
            buffer = io.BytesIO()
            pq.write_table(pa.table(columns, schema=UNITS_SCHEMA), buffer, compression="zstd")
            self.folder.publish_bytes(UNITS, buffer.getvalue())
            if previous is not None:
                self.folder.publish_json(PLAN, plan)
                return
            if self.folder.create_json(PLAN, plan):
                return
            previous = self.plan() or {}
        differing = sorted(key for key in {*previous, *plan} if previous.get(key) != plan.get(key))
        if differing:
            changes = ", ".join(f"{key}: {previous.get(key)!r} → {plan.get(key)!r}" for key in differing[:3])
            raise UserError(
                f"the run's inputs have changed since it was planned ({changes})",
                where=self.folder.uri,
                fix="give another out",
            )

    def plan(self) -> dict[str, Any] | None:
        """The plan's header, None where nothing is planned yet."""
        try:
            return dict(self.folder.read_json(PLAN))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def planned(self) -> pa.Table:
        """Columns `name` and `items` of every unit, in plan order."""
        return read_parquet(self.folder.read_bytes(UNITS), columns=["name", "items"])

    # ------------------------------------------------------------------ attempts

    def begin(self, unit: str, where: str, known: Attempt | None = None) -> tuple[Attempt, bool]:
        """Records the next attempt at `unit` before it starts. Returns it, and whether this session tried before.

        What the caller does not know (`known` is None) is taken over from the latest attempt of this session, whose
        worker was lost and with it what it had learnt; that attempt counts as a death.
        """
        number = known.number if known else 0
        while True:
            number += 1
            attempt = Attempt(number, where, *((known.excluded, known.suspects, known.deaths) if known else ()))
            name = f"{ATTEMPTS}/{unit}.{self.session}.{number}.json"
            # the mark makes each record its own: a create counts as done where exactly this record lies already
            if self.folder.create_json(name, {**asdict(attempt), "mark": uuid.uuid4().hex}):
                return attempt, number > 1
            lost = self.folder.read_json(name)
            known = Attempt(number, where, lost["excluded"], tuple(lost["suspects"]), lost["deaths"] + 1)

    def attempted(self, session: str) -> dict[str, int]:
        """How often `session` has started each unit, by one listing."""
        counts: dict[str, int] = {}
        for name in self.folder.names(ATTEMPTS):
            unit, of_session, _, _ = name.rsplit(".", 3)
            if of_session == session:
                counts[unit] = counts.get(unit, 0) + 1
        return counts

    # ------------------------------------------------------------------ commits

    def commit(self, commit: Commit) -> bool:
        """Makes a unit done. False where another attempt was faster."""
        return self.folder.create_json(f"{COMMITS}/{commit.unit}.json", commit.to_json())

    def committed(self, unit: str) -> Commit | None:
        try:
            return Commit.from_json(self.folder.read_json(f"{COMMITS}/{unit}.json"))
        except FileNotFoundError:
            return None

    def done(self) -> set[str]:
        """Names of the units that are done, by one listing."""
        return {name.removesuffix(".json") for name in self.folder.names(COMMITS)}

    def commits(self, done: Collection[str] | None = None) -> Iterator[Commit]:
        """Every commit, in no particular order: by whole journals, and the rest one by one. `done` saves the listing
        to a caller that has it."""
        done = self.done() if done is None else set(done)
        for segment in self.folder.names(JOURNAL):
            for line in self.folder.read_lines(f"{JOURNAL}/{segment}"):
                commit = Commit.from_json(json.loads(line))
                if commit.unit in done:
                    done.discard(commit.unit)
                    yield commit
        yield from self._read(sorted(done))

    def lost(self, done: Collection[str]) -> dict[str, list[str]]:
        """Of the units that are `done`, those of whose files one is missing or has another size than was recorded: by unit,
        what is wrong. One listing per folder of outputs; contents are not read (`invertone.cluster.jobs.verify` does)."""
        sizes: dict[str, dict[str, int]] = {}
        lost: dict[str, list[str]] = {}
        for commit in self.commits(done):
            for output in commit.outputs:
                place = self.folder.path_of(output.name).removeprefix(f"{self.folder.uri.rstrip('/')}/")
                below, _, name = place.rpartition("/")
                if below not in sizes:
                    sizes[below] = self.folder.sizes(below)
                found = sizes[below].get(name)
                if found != output.bytes:
                    told = "is missing" if found is None else f"has {found} bytes, {output.bytes} were recorded"
                    lost.setdefault(commit.unit, []).append(f"{output.name} {told}")
        return lost

    def write_journal(self, name: str, commits: Sequence[Commit]) -> None:
        """One file of the journal. Called by the driver, about commits that are there."""
        lines = (json.dumps(commit.to_json(), sort_keys=True, ensure_ascii=False) for commit in commits)
        self.folder.publish_bytes(f"{JOURNAL}/{name}.jsonl", "".join(f"{line}\n" for line in lines).encode())

    def unjournaled(self) -> Iterator[Commit]:
        """Commits that no journal holds yet: a killed driver's last ones."""
        done = self.done()
        for segment in self.folder.names(JOURNAL):
            for line in self.folder.read_lines(f"{JOURNAL}/{segment}"):
                done.discard(json.loads(line)["unit"])
        return self._read(sorted(done))

    def withdraw(self, units: set[str]) -> None:
        """Makes committed units undone, to be tried again. First out of the journal: it must never know more than
        the commits."""
        for segment in self.folder.names(JOURNAL):
            lines = [Commit.from_json(json.loads(line)) for line in self.folder.read_lines(f"{JOURNAL}/{segment}")]
            kept = [commit for commit in lines if commit.unit not in units]
            if len(kept) < len(lines):
                self.write_journal(segment.removesuffix(".jsonl"), kept)
        for unit in units:
            self.folder.remove(f"{COMMITS}/{unit}.json")

    def _read(self, units: Sequence[str]) -> Iterator[Commit]:
        if self.folder.local is not None:
            yield from filter(None, map(self.committed, units))
            return
        with ThreadPoolExecutor(READERS) as pool:
            yield from filter(None, pool.map(self.committed, units))

    # ------------------------------------------------------------------ failures

    def fail(self, failure: Failure) -> None:
        self.folder.publish_json(f"{FAILURES}/{failure.unit}.json", asdict(failure))

    def failures(self) -> list[Failure]:
        """Units that are not done although they were tried, and committed ones with excluded items; by unit."""
        names = self.folder.names(FAILURES)
        if not names:
            return []
        done = self.done()
        with ThreadPoolExecutor(READERS) as pool:
            read = pool.map(lambda name: Failure(**self.folder.read_json(f"{FAILURES}/{name}")), names)
            return [each for each in read if (each.state == EXCLUDED) == (each.unit in done) and self._holds(each)]

    def _holds(self, failure: Failure) -> bool:
        """A unit may have been done without loss after a driver died between listing its excluded items and its commit."""
        if failure.state != EXCLUDED:
            return True
        commit = self.committed(failure.unit)
        return commit is not None and bool(commit.excluded)

    def forgive(self, failures: Iterable[Failure]) -> None:
        """Forgets failures, so that their units are tried again; those with excluded items are done anew."""
        failures = list(failures)
        self.withdraw({each.unit for each in failures if each.state == EXCLUDED})
        for each in failures:
            self.folder.remove(f"{FAILURES}/{each.unit}.json")
