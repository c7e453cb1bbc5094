"""One engine for bulk work: a list of units, workers that turn one unit into published files, a ledger.

Runs on Ray Data, or by workers of this machine where no cluster is named. A unit's outputs have names fixed by the plan
and are committed last, so running it twice, on two workers or after a crash, gives the same files once. Each Ray actor keeps
a process of its own for the work (`invertone.cluster.jobs.worker_process`): a unit that kills or hangs it is found out, its
guilty item left out and listed.
"""

from __future__ import annotations

import contextlib
import logging
import pickle
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from invertone.cluster.config.shared import FAILED as ONLY_FAILED
from invertone.cluster.config.shared import BulkConfig
from invertone.cluster.errors import JobIncompleteError, UserError, cause_of_type
from invertone.cluster.formats.ledger import EXCLUDED, QUARANTINED, Commit, Ledger, Unit
from invertone.cluster.formats.runs import SUMMARY
from invertone.cluster.jobs.driver import BEAT_S, Driver
from invertone.cluster.jobs.here import fates_here, this_machine
from invertone.cluster.jobs.sums import Sum
from invertone.cluster.jobs.supervisor import REFUSED, Fate, Supervisor
from invertone.cluster.jobs.watch import Watch
from invertone.cluster.progress import Progress
from invertone.cluster.ray.resources import Capacity
from invertone.cluster.ray.session import session
from invertone.cluster.ray.staffing import staffed

MAX_BLOCKS = 10_000
JOURNAL_COMMITS, JOURNAL_S = 1_000, 60.0


@dataclass
class UnitResult:
    """What a unit made: files by name inside the run folder, and numbers that merge by summing.

    outputs: a mapping, or pairs of name and content that are made as they are published, when a unit's files are more than
    memory should hold; one file that is more than that is a path, of `Folder.scratch`, and is moved. Statistics and failed may
    still change while pairs are made.
    failed: items that have an error in place of a result, with the reason. They are listed, and `retry` tries them again.
    """

    outputs: Mapping[str, bytes] | Iterator[tuple[str, bytes | Path]] = field(default_factory=dict)
    statistics: dict[str, Any] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)

    def files(self) -> Iterator[tuple[str, bytes | Path]]:
        """Name and content of each output, once."""
        return iter(self.outputs.items() if isinstance(self.outputs, Mapping) else self.outputs)


@runtime_checkable
class UnitStage(Protocol):
    """What a stage gives the engine. Picklable; `open` runs once per worker and loads what every unit needs.

    While it works, the stage tells `watch` which items it has in hand, leaves out those that are excluded (writing the
    given error in their place) and works on suspects alone.
    """

    def open(self, threads: int, watch: Watch) -> Callable[[Mapping[str, Any]], UnitResult]: ...


@dataclass(frozen=True)
class Outcome:
    """A finished job: how many units there were, how many this run did, and the merged statistics of all.

    excluded: items that have an error in place of a result.
    """

    units: int
    new: int
    statistics: dict[str, Any]
    items: int = 0
    bytes: int = 0
    seconds: float = 0.0
    excluded: int = 0
    uri: str = ""

    def summary(self) -> dict[str, Any]:
        """What every stage's summary.json begins with."""
        counts = {"units": self.units, "items": self.items, "bytes": self.bytes, "items_excluded": self.excluded}
        return counts | {"seconds_of_last_run": round(self.seconds, 1), "units_of_last_run": self.new}

    def check(self) -> None:
        """Raises JobIncompleteError if items have no result. Called when everything else is written."""
        if self.excluded:
            raise JobIncompleteError(
                f"{self.excluded:,} of {self.items:,} items have an error in place of a result; all others are done",
                where=self.uri,
                fix="`invertone failed` lists them, `invertone retry` tries them again",
            )


def run_units(
    driver: Driver,
    stage: UnitStage,
    units: Sequence[Unit],
    *,
    what: str,
    items: str = "clips",
    settings: BulkConfig | None = None,
    device: str = "cpu",
    plan: Mapping[str, Any] | None = None,
) -> Outcome:
    """Does every unit that is not committed yet. Raises JobIncompleteError, listing them, if some could not be done.

    device: auto and cuda let workers have a GPU each where the cluster has them.
    """
    began = time.monotonic()
    settings = settings or BulkConfig()
    folder = driver.term.folder
    ledger = Ledger(folder, driver.term.session)
    ledger.fix_plan(units, plan or {})
    todo, done = _chosen(ledger, units, settings)
    if todo:
        total = sum(unit.items for unit in units)
        finished = sum(unit.items for unit in units if unit.name in done)
        driver.tell(units=len(done), of_units=len(units), items=finished, of_items=total, what=items)
        supervisor = Supervisor(ledger, driver.term, pickle.dumps(stage), settings.max_attempts, settings.stall_timeout)
        here = this_machine(settings, device)
        with (
            _Journal(ledger) as journal,
            Progress(what, total, items, start=finished) as progress,
            contextlib.closing(
                _on_ray(supervisor, todo, settings, device)
                if here is None
                else _here(supervisor, todo, settings, device, here)
            ) as fates,
        ):
            failed, checked, last_error = 0, began, ""
            for fate in fates:
                if fate.state == REFUSED:
                    raise UserError(fate.error)
                if fate.commit is not None:
                    journal.add(fate.commit)
                    finished += fate.items
                    driver.tell(units=driver.progress["units"] + 1, items=finished)
                else:
                    failed, last_error = failed + 1, fate.error
                driver.tell(failed=failed, rate=progress.rate)
                if time.monotonic() - checked > BEAT_S:
                    driver.check()
                    checked = time.monotonic()
                progress.update(finished, note=f"{failed} units failed" if failed else "")
        return _outcome(ledger, units, len(todo), time.monotonic() - began, last_error)
    return _outcome(ledger, units, 0, time.monotonic() - began)


def _chosen(ledger: Ledger, units: Sequence[Unit], settings: BulkConfig) -> tuple[list[Unit], set[str]]:
    """The units to do now, and the names of those that are done: not those whose files have been lost since."""
    failures = ledger.failures()
    if settings.units == ONLY_FAILED:
        ledger.forgive(failures)
        chosen = {failure.unit for failure in failures}
        return [unit for unit in units if unit.name in chosen], ledger.done()
    done = ledger.done()
    if lost := ledger.lost(done):
        ledger.withdraw(set(lost))
        done -= set(lost)
        told = [each for wrong in lost.values() for each in wrong]
        listed = f"{', '.join(told[:3])}{', …' if len(told) > 3 else ''}"
        print(f"{len(lost):,} of {len(units):,} units are done again, for their files are not as recorded: {listed}")
    barred = done | {failure.unit for failure in failures if failure.state == QUARANTINED}
    return [unit for unit in units if unit.name not in barred], done


def _outcome(ledger: Ledger, units: Sequence[Unit], new: int, seconds: float, last_error: str = "") -> Outcome:
    uri = ledger.folder.uri
    left = [each for each in ledger.failures() if each.state != EXCLUDED]
    if left:
        broken = {
            "units": len(units),
            "units_done": len(ledger.done()),
            "units_not_done": [each.unit for each in left[:100]],
        }
        ledger.folder.publish_json(SUMMARY, broken)
        listed = "; ".join(f"{each.unit} ({each.state}: {each.error})" for each in left[:3])
        raise JobIncompleteError(
            f"{len(left)} of {len(units)} units were not done: {listed}{'; …' if len(left) > 3 else ''}",
            where=uri,
            fix="everything else is committed; `invertone failed` lists them, `invertone retry` tries them again",
        )
    statistics, count, size, items, excluded = Sum(), 0, 0, 0, set[str]()
    for commit in ledger.commits():
        statistics.add(commit.statistics)
        count, items = count + 1, items + commit.items
        excluded |= commit.excluded.keys()
        size += sum(output.bytes for output in commit.outputs)
    if count < len(units):
        raise JobIncompleteError(
            f"{len(units) - count} of {len(units)} units are still to be done{f' ({last_error})' if last_error else ''}",
            where=uri,
            fix="run the job again",
        )
    return Outcome(len(units), new, statistics.value, items, size, seconds, len(excluded), uri)


def _here(
    supervisor: Supervisor, units: Sequence[Unit], settings: BulkConfig, device: str, machine: Capacity
) -> Generator[Fate, None, None]:
    """The fate of each unit, by workers of this machine."""
    workers, need = staffed(settings, settings.workers, len(units), device, machine)
    return fates_here(supervisor, units, workers, int(need.cpus))


def _on_ray(
    supervisor: Supervisor, units: Sequence[Unit], settings: BulkConfig, device: str
) -> Generator[Fate, None, None]:
    """The fate of each unit, as its worker tells it."""
    with session() as capacity:
        yield from _by_ray_data(supervisor, units, settings, device, capacity)


def _by_ray_data(
    supervisor: Supervisor, units: Sequence[Unit], settings: BulkConfig, device: str, capacity: Capacity
) -> Iterator[Fate]:
    import ray
    from ray.data import ActorPoolStrategy, DataContext

    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    workers, need = staffed(settings, settings.workers, len(units), device, capacity)
    threads = int(need.cpus)
    rows = [{"unit": pickle.dumps(unit)} for unit in units]
    dataset = ray.data.from_items(rows, override_num_blocks=min(len(rows), MAX_BLOCKS)).map_batches(
        _Actor,
        fn_constructor_args=(supervisor, threads),
        batch_size=1,
        batch_format="numpy",
        compute=ActorPoolStrategy(min_size=1, max_size=workers, initial_size=workers),
        num_cpus=need.cpus,
        num_gpus=need.gpus or None,
        memory=need.memory or None,
    )
    try:
        for batch in dataset.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0):
            for fate in batch["fate"]:
                yield pickle.loads(fate)  # noqa: S301 (our worker's)
    except Exception as error:
        user_error = cause_of_type(error, UserError)
        if user_error is not None:
            raise user_error from error
        raise


class _Actor:
    """What Ray Data runs: a supervisor beside its worker process."""

    def __init__(self, supervisor: Supervisor, threads: int) -> None:
        self._supervise = supervisor.started(threads)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[bytes]]:
        units = [pickle.loads(unit) for unit in batch["unit"]]  # noqa: S301 (our driver's)
        return {"fate": [pickle.dumps(self._supervise(unit)) for unit in units]}


class _Journal:
    """Folds commits into files of a thousand as the driver hears of them, beginning with what a killed driver left."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self._commits, self._files, self._last = ledger, list[Commit](), 0, time.monotonic()

    def __enter__(self) -> _Journal:
        for commit in self._ledger.unjournaled():
            self.add(commit)
        return self

    def add(self, commit: Commit) -> None:
        self._commits.append(commit)
        if len(self._commits) >= JOURNAL_COMMITS or time.monotonic() - self._last > JOURNAL_S:
            self._write()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None or issubclass(kind, (KeyboardInterrupt, UserError)):
            self._write()

    def _write(self) -> None:
        if self._commits:
            self._files += 1
            self._ledger.write_journal(f"{self._ledger.session}-{self._files:06d}", self._commits)
        self._commits, self._last = [], time.monotonic()
