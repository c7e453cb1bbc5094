"""`python -m benchmarks simulate [units …] [workers=10,100,1000] [key=value …]`: what a job of many workers asks of storage.

A discrete-event simulation on a virtual clock. Real is the code: `run_units` with its planning, journal and outcome, the
supervisor's attempts and commits, the worker's publishing, `status`. Modelled are time and mishaps: units' durations
(lognormal), storage (`benchmarks.simulated_s3`), Ray Data (blocks handed out one after the other, begun anew where a worker
is lost), nodes that spot markets take back (exponential), some of which go on for a while although they count as lost,
and a driver that is killed half way and started again. tests/test_simulation.py compares its requests with a real job's.
"""

from __future__ import annotations

import contextlib
import random
import time
import tracemalloc
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any
from unittest import mock

import fsspec
import numpy as np

from benchmarks.simulated_s3 import Bucket, Faults, SimulatedS3
from benchmarks.simulated_time import Process, VirtualTime
from invertone.cluster.config.shared import FAILED, BulkConfig
from invertone.cluster.errors import JobIncompleteError
from invertone.cluster.formats import ledger
from invertone.cluster.formats.ledger import COMMITS, LEDGER, Ledger, Unit
from invertone.cluster.formats.runs import RUN
from invertone.cluster.jobs import driver as driving
from invertone.cluster.jobs import engine, worker_main
from invertone.cluster.jobs.driver import Driver, Term
from invertone.cluster.jobs.engine import UnitResult, run_units
from invertone.cluster.jobs.status import status
from invertone.cluster.jobs.supervisor import Fate, Supervisor
from invertone.cluster.jobs.watch import Watch
from invertone.cluster.storage import folder as storage
from invertone.cluster.storage.folder import Folder

RUN_FOLDER = "simulated://bucket/run"
OUTPUT = b"latents"


@dataclass(frozen=True)
class Model:
    """What is assumed. seconds: mean of a unit, with `spread` of its logarithm. reclaims: of a node, per hour. zombies: the
    share of lost nodes that go on until their unit ends. dispatch: the driver's seconds per block, one after the other."""

    workers: int
    units: int
    seconds: float = 30.0
    spread: float = 0.5
    workers_per_node: int = 8
    reclaims: float = 0.05
    zombies: float = 0.1
    replaced_after: float = 180.0
    start: float = 15.0
    dispatch: float = 0.010
    driver_deaths: int = 1
    driver_back_after: float = 60.0
    errors: float = 0.001
    lost_answers: float = 0.0005
    seed: int = 0


@dataclass(frozen=True)
class Work:
    """A stage that reads its shard, takes its time and makes one file. `wait(number)` is what takes time."""

    folder: Folder
    wait: Callable[[int], None]

    def open(self, threads: int, watch: Watch) -> Callable[[Mapping[str, Any]], UnitResult]:
        return self.process

    def process(self, work: Mapping[str, Any]) -> UnitResult:
        self.folder.read_bytes(work["shard"])
        self.wait(work["number"])
        return UnitResult({f"{work['name']}.parquet": OUTPUT}, {"rows": 512})


def units_of(count: int) -> list[Unit]:
    return [
        Unit(f"train-{n:07d}", {"name": f"train-{n:07d}", "number": n, "shard": "input/shard.tar"}, items=512)
        for n in range(count)
    ]


@dataclass
class Report:
    """What came of a simulated job. Seconds are virtual, but `cost`. memory: in MB, 0 where it was not traced."""

    model: Model
    elapsed: float = 0.0
    requests: Counter[str] = field(default_factory=Counter)
    peaks: dict[str, int] = field(default_factory=dict)
    refused: int = 0
    ledger_bytes: int = 0
    alive: float = 0.0
    useful: float = 0.0
    storage_wait: float = 0.0
    executions: int = 0
    node_losses: int = 0
    driver_losses: int = 0
    quarantined: int = 0
    rows: int = 0
    committed: int = 0
    commits_created: int = 0
    status_seconds: float = 0.0
    status_lists: int = 0
    memory: float = 0.0
    cost: float = 0.0

    @property
    def exactly_once(self) -> bool:
        """Every unit has its commit, none was created twice, and what is added up counts each once."""
        count = self.model.units
        return self.committed == count and self.commits_created == count and self.rows == 512 * count


class Cluster:
    """The nodes, workers and blocks of one driver's session, as Ray Data would keep them."""

    def __init__(self, world: World, supervisor: Supervisor, units: Sequence[Unit]) -> None:
        self.world, self.supervisor = world, supervisor
        size = -(-len(units) // engine.MAX_BLOCKS)
        self.waiting = deque(list(units[first : first + size]) for first in range(0, len(units), size))
        self.left, self.ready = len(units), deque[Fate]()
        self.driver: Process | None = None
        self.dispatched_until, self.over = 0.0, False
        self.slots: list[_Slot] = []
        model = world.model
        for first in range(0, min(model.workers, len(units)), model.workers_per_node):
            world.clock.start(self._node, min(model.workers_per_node, model.workers - first))

    def results(self) -> Iterator[Fate]:
        """What `invertone.cluster.jobs.engine._on_ray` yields."""
        self.driver = self.world.clock.current
        while self.left:
            while not self.ready:
                self.world.clock.park()
            self.left -= 1
            yield self.ready.popleft()
        self.over = True

    def _node(self, workers: int) -> None:
        """Lives until it is taken back, again and again while there is work."""
        world, model = self.world, self.world.model
        while not self.over:
            running = [_Slot() for _ in range(workers)]
            for slot in running:
                slot.process = world.clock.start(self._worker, slot)
            self.slots += running
            mean = 3_600 / model.reclaims if model.reclaims else float("inf")
            world.clock.sleep(world.random.expovariate(1 / mean) if model.reclaims else 1e12)
            if self.over:
                return
            world.report.node_losses += 1
            zombie = world.random.random() < model.zombies
            for slot in running:
                self._lose(slot, zombie)
                self.slots.remove(slot)
            world.clock.sleep(model.replaced_after)

    def _lose(self, slot: _Slot, zombie: bool) -> None:
        """Ray begins the lost worker's block anew, from its first unit."""
        if slot.block is not None:
            self.waiting.appendleft(slot.block)
            slot.block = None
        slot.lost = True
        if not zombie:
            self.world.clock.kill(slot.process)

    def end(self) -> None:
        """The driver is gone: its workers go with it, some of them only after their unit."""
        self.over = True
        for slot in self.slots:
            if self.world.random.random() >= self.world.model.zombies:
                self.world.clock.kill(slot.process)

    def _worker(self, slot: _Slot) -> None:
        world = self.world
        began = world.clock.now
        try:
            world.clock.sleep(world.model.start)
            inner = worker_main._Worker(self.supervisor.term, self.supervisor.stage, 1, Watch())
            while not self.over and not slot.lost:
                if not self.waiting:
                    if self.left <= len(self.ready):
                        return
                    world.clock.sleep(1.0)  # somebody else's block may still come back
                    continue
                slot.block = block = self.waiting.popleft()
                self.dispatched_until = max(self.dispatched_until, world.clock.now) + world.model.dispatch
                world.clock.sleep(self.dispatched_until - world.clock.now)
                fates = []
                for unit in block:
                    fates.append(self.supervisor.fate(unit, inner.answer))
                    if slot.lost or self.over:
                        return
                slot.block = None
                self.ready.extend(fates)
                if self.driver is not None:
                    world.clock.wake(self.driver)
        finally:
            world.report.alive += world.clock.now - began


class _Slot:
    """A worker's place: its process and the block it has in hand."""

    process: Process
    block: list[Unit] | None = None
    lost = False


_world: World


def _wait(number: int) -> None:
    """The stage travels as a pickle, and so cannot hold the world it works in."""
    _world.wait(number)


class _Silent:
    """In place of the progress bar."""

    rate = 0.0

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def update(self, done: int, note: str = "") -> None:
        pass

    def __enter__(self) -> _Silent:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class _Readers:
    """In place of a thread pool: `readers` at a time, each such group in the time that its requests take on average."""

    def __init__(self, bucket: Bucket, readers: int) -> None:
        self._bucket, self._readers = bucket, readers

    def map(self, work: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        answers = []
        for first in range(0, len(items), self._readers):
            with self._bucket.together():
                answers += [work(item) for item in items[first : first + self._readers]]
        return answers

    def __enter__(self) -> _Readers:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class World:
    """One job from its first driver to its end. trace: measures `status`'s memory, which leaves the process traced."""

    def __init__(self, model: Model, trace: bool = False) -> None:
        self.model, self.report, self.trace = model, Report(model), trace
        self.clock, self.random = VirtualTime(), random.Random(model.seed)
        self.bucket = Bucket(self.clock, Faults(model.errors, model.lost_answers), seed=model.seed)
        rng = np.random.default_rng(model.seed)
        mean = np.log(model.seconds) - model.spread**2 / 2
        self.durations = rng.lognormal(mean, model.spread, model.units)
        self.folder = Folder.at(RUN_FOLDER)
        self.cluster: Cluster | None = None
        self.finished, self.given_up = False, 0
        global _world
        _world = self

    def wait(self, number: int) -> None:
        self.clock.sleep(float(self.durations[number]))
        self.report.executions += 1

    def run(self) -> Report:
        real = time.monotonic()
        with self._in_place():
            self.bucket.objects["bucket/run/input"] = {"shard.tar": b""}
            try:
                self.clock.run(until=self.clock.start(self._drivers))
                self._told()
            finally:
                self.clock.end()
        self.report.cost = time.monotonic() - real
        return self.report

    @contextlib.contextmanager
    def _in_place(self) -> Iterator[None]:
        """The seams: time, Ray, threads and a progress bar. Everything else is the engine's own."""
        SimulatedS3.bucket = self.bucket
        served = fsspec.filesystem("simulated")
        places: list[tuple[Any, str, Any]] = [
            (engine, "time", self.clock),
            (storage, "time", self.clock),
            (storage, "filesystem", lambda uri: (served, uri.removeprefix("simulated://"))),  # saves a quarter
            (driving, "time", self.clock),
            (engine, "threads_alone", lambda *_: 0),
            (engine, "_on_ray", self._on_ray),
            (engine, "Progress", _Silent),
            (ledger, "ThreadPoolExecutor", lambda readers: _Readers(self.bucket, readers)),
        ]
        with contextlib.ExitStack() as stack:
            for module, name, ours in places:
                stack.enter_context(mock.patch.object(module, name, ours))
            yield

    def _on_ray(self, supervisor: Supervisor, units: Sequence[Unit], *_: Any) -> Iterator[Fate]:
        self.cluster = Cluster(self, supervisor, units)
        return self.cluster.results()

    def _drivers(self) -> None:
        """A driver; where it is killed, after a while the next; where units were given up, `retry`."""
        model, units = self.model, units_of(self.model.units)
        expected = model.units * model.seconds / model.workers
        deaths = [self.random.uniform(0.2, 0.8) * expected for _ in range(model.driver_deaths)]
        settings, number = BulkConfig(), 0
        while not self.finished:
            number += 1
            process = self.clock.start(self._driver, number, units, settings, self.clock.current)
            killer = self.clock.start(self._kill_driver, process, deaths.pop(), self.clock.current) if deaths else None
            self.clock.park()
            if killer is not None:
                self.clock.kill(killer)
            if self.finished:
                break
            given_up, self.given_up = self.given_up, 0
            settings = BulkConfig(units=FAILED) if given_up else BulkConfig()
            self.clock.sleep(model.driver_back_after)
        self.report.elapsed = self.clock.now

    def _kill_driver(self, process: Process, after: float, parent: Process) -> None:
        self.clock.sleep(after)
        if process.dead:
            return
        self.report.driver_losses += 1
        self.clock.kill(process)
        if self.cluster is not None:
            self.cluster.end()
        self.clock.wake(parent)

    def _driver(self, number: int, units: list[Unit], settings: BulkConfig, parent: Process) -> None:
        session = f"session{number}"
        if number == 1:
            self.folder.publish_json(RUN, {"stage": "infer", "name": "encoder", "config": {}, "fingerprint": {}})
        self.folder.names(driving.DRIVERS)
        self.folder.create_json(driving._name(number), {"session": session, **driving._this_process(), "started": 0})
        driver = Driver(Term(self.folder, number, session))
        beating = self.clock.start(self._beat, driver)
        try:
            outcome = run_units(driver, Work(self.folder, _wait), units, what="simulated", settings=settings)
            self.report.rows = outcome.statistics["rows"]
            self.finished = True
        except JobIncompleteError:
            self.given_up = len(Ledger(self.folder).failures())
            self.report.quarantined += self.given_up
        finally:
            self.clock.kill(beating)
        if self.cluster is not None:
            self.cluster.end()
        self.folder.publish_json(driving._name(number, ".done"), {"ended": self.clock.now, **driver.progress})
        self.clock.wake(parent)

    def _beat(self, driver: Driver) -> None:
        """As `invertone.cluster.jobs.driver._beat`, which is a thread there."""
        beats = 0
        while True:
            beats += 1
            with contextlib.suppress(OSError):
                self.folder.publish_json(
                    driving._name(driver.term.number, ".beat"),
                    {"beats": beats, "at": self.clock.now, **driver.progress},
                )
            self.clock.sleep(driving.BEAT_S)

    def _told(self) -> None:
        """Fills the report from what is stored, and asks for the status as somebody from outside would."""
        report, bucket = self.report, self.bucket
        report.requests, report.refused = Counter(bucket.requests), bucket.refused
        report.peaks = {kind: max(seconds.values()) for kind, seconds in bucket.by_second.items()}
        report.useful, report.storage_wait = float(self.durations.sum()), bucket.waited
        report.ledger_bytes = bucket.bytes_below(f"bucket/run/{LEDGER}")
        report.committed = len(bucket.objects[f"bucket/run/{COMMITS}"])
        report.commits_created = bucket.created["commits"]
        before, began = bucket.requests["LIST"], self.clock.now
        bucket.faults = Faults()
        asking = self.clock.start(lambda: status(self.folder))
        if self.trace:
            # Never stopped: where another thread, of Arrow's say, is about to note an allocation, `tracemalloc.stop` of
            # Python 3.11 ends the interpreter with a segmentation fault (python/cpython#128679, mended in 3.12.9).
            tracemalloc.start()
        self.clock.run(until=asking)
        if self.trace:
            report.memory = tracemalloc.get_traced_memory()[1] / 1e6
        report.status_seconds = self.clock.now - began
        report.status_lists = bucket.requests["LIST"] - before


HEAD = (
    f"{'workers':>7} {'units':>9} {'hours':>7} {'GET':>11} {'HEAD':>11} {'LIST':>11} {'PUT':>11} {'503+500':>7} {'ledger':>9} "
    f"{'overhead':>8} {'storage':>8} {'nodes lost':>10} {'again':>7} {'quarantined':>11} {'status':>8} {'memory':>8} "
    f"{'once':>4}"
)


def line(report: Report) -> str:
    """A row of the table: requests a second are mean/peak."""
    model = report.model
    rates = " ".join(
        f"{report.requests[kind] / report.elapsed:5.1f}/{report.peaks.get(kind, 0):<5,}"
        for kind in ("GET", "HEAD", "LIST", "PUT")
    )
    again = report.executions - model.units
    return (
        f"{model.workers:7,} {model.units:9,} {report.elapsed / 3_600:7.2f} {rates} {report.refused:7,} "
        f"{report.ledger_bytes / 1e6:6,.1f} MB {1 - report.useful / report.alive:8.1%} "
        f"{report.storage_wait / report.alive:8.2%} {report.node_losses:10,} {again:7,} {report.quarantined:11,} "
        f"{report.status_seconds:6.1f} s {report.memory:5,.0f} MB {'yes' if report.exactly_once else 'NO':>4}"
    )


def run(*units: int, workers: str = "10,100,1000", **given: str) -> None:
    """Prints the table; `given` are fields of Model, such as seconds=5 or reclaims=0.5."""
    kinds = {name: type(value) for name, value in vars(Model(1, 1)).items()}
    values = {name: kinds[name](value) for name, value in given.items()}
    print(HEAD, flush=True)
    models = [
        Model(number, count, **values) for count in units or (1_000, 100_000) for number in map(int, workers.split(","))
    ]
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as alone:  # traced to its end, each
        for report in alone.map(_traced, models):
            print(f"{line(report)}   {report.cost:.0f} s real", flush=True)


def _traced(model: Model) -> Report:
    return World(model, trace=True).run()
