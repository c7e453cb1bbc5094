"""The simulator: it asks of storage what a real job asks of a real S3 server, and it ends exactly once whatever happens."""

from __future__ import annotations

import os
import threading
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from http.client import HTTPResponse
from typing import Any

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.simulate import Model, Work, World, line, units_of
from benchmarks.simulated_s3 import Bucket, Faults, SimulatedS3
from benchmarks.simulated_time import LostError, VirtualTime
from invertone.cluster.config.shared import BulkConfig
from invertone.cluster.formats.ledger import ATTEMPTS, COMMITS, Ledger, Unit
from invertone.cluster.formats.runs import RUN
from invertone.cluster.jobs import driver as driving
from invertone.cluster.jobs import engine
from invertone.cluster.jobs.alone import fates_alone
from invertone.cluster.jobs.engine import run_units
from invertone.cluster.jobs.status import status
from invertone.cluster.jobs.supervisor import Fate, Supervisor
from invertone.cluster.storage.folder import Folder
from tests.chaos.proxy import FaultyProxy
from tests.inside import in_this_process

CALM: dict[str, Any] = {
    "reclaims": 0.0,
    "driver_deaths": 0,
    "errors": 0.0,
    "lost_answers": 0.0,
    "seconds": 0.01,
    "start": 0.0,
}


class CountingProxy(FaultyProxy):
    """Breaks nothing, and notes what kind each request is of."""

    def __init__(self, backend: str) -> None:
        super().__init__(backend, seed=0)
        self.kinds_seen: Counter[str] = Counter()

    def forward(
        self, method: str, target: str, headers: Sequence[tuple[str, str]], body: bytes
    ) -> tuple[HTTPResponse, bytes]:
        kind = "LIST" if method == "GET" and "list-type=" in target else "DELETE" if "delete" in target else method
        self.kinds_seen[kind] += 1
        return super().forward(method, target, headers, body)


@pytest.fixture
def counted(s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Counter[str]]]:
    """A bucket behind a proxy that counts, for this process and those it starts."""
    with CountingProxy(os.environ["AWS_ENDPOINT_URL"]) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        fsspec.filesystem("s3").clear_instance_cache()
        yield f"{s3}/{uuid.uuid4().hex}", proxy.kinds_seen
    fsspec.filesystem("s3").clear_instance_cache()


@pytest.fixture
def one_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no request depends on how long the job takes."""
    monkeypatch.setattr(driving, "BEAT_S", 3_600.0)
    monkeypatch.setattr(engine, "BEAT_S", 3_600.0)


def no_wait(number: int) -> None:
    """The stage's work, in a process of its own."""


def real_job(folder: Folder, units: list[Unit], lost: Sequence[str] = (), inside: bool = False) -> None:
    """`run_units` with a real supervisor and a real worker process, or one that is no process of its own if `inside`. `lost`:
    units that a worker of this session began and did not end."""

    def some_lost_first(supervisor: Supervisor, todo: Sequence[Unit], threads: int) -> Iterator[Fate]:
        for name in lost:
            supervisor.ledger.begin(name, "elsewhere")
        yield from (in_this_process if inside else fates_alone)(supervisor, todo, threads)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "threads_alone", lambda *_: 1)
        patch.setattr(engine, "fates_alone", some_lost_first)
        folder.publish_json(RUN, {"stage": "infer", "name": "encoder", "config": {}, "fingerprint": {}})
        with driving.driving(folder) as driver:
            run_units(driver, Work(folder, no_wait), units, what="real", settings=BulkConfig())


@pytest.mark.parametrize("count", [3, 7])
def test_a_simulated_job_asks_what_a_real_one_asks(
    counted: tuple[str, Counter[str]], one_beat: None, count: int
) -> None:
    uri, seen = counted
    folder = Folder.at(f"{uri}/run")
    folder.publish_bytes("input/shard.tar", b"clips")
    seen.clear()
    real_job(folder, units_of(count))
    real = Counter(seen)
    assert len(folder.names(COMMITS)) == count
    assert World(Model(1, count, **CALM)).run().requests == real


def simulated() -> tuple[Folder, Bucket]:
    SimulatedS3.bucket = Bucket(VirtualTime())
    return Folder.at("simulated://bucket/run"), SimulatedS3.bucket


def test_each_operation_costs_what_s3fs_makes_of_it(counted: tuple[str, Counter[str]]) -> None:
    """The ledger's operations, those of a lost worker's unit and of `status` among them, on both storages."""
    uri, seen = counted
    made, bucket = simulated()
    real = Folder.at(f"{uri}/run")

    def costs(folder: Folder, requests: Counter[str]) -> list[dict[str, int]]:
        one = Ledger(folder, "s")
        steps = [
            lambda: one.fix_plan(units_of(3), {}),
            lambda: one.fix_plan(units_of(3), {}),
            lambda: one.begin("train-0000000", "here"),
            lambda: one.begin("train-0000000", "here"),
            lambda: one.committed("train-0000000"),
            one.done,
            lambda: folder.create_json(f"{COMMITS}/train-0000001.json", commit),
            lambda: folder.create_json(f"{COMMITS}/train-0000001.json", commit),
            lambda: folder.create_json(f"{COMMITS}/train-0000001.json", {**commit, "items": 2}),
            one.done,
            lambda: list(one.unjournaled()),
            lambda: list(one.commits()),
            one.failures,
            lambda: one.attempted("s"),
            lambda: folder.exists(f"{ATTEMPTS}/train-0000000.s.1.json"),
            lambda: folder.exists(f"{ATTEMPTS}/train-0000009.s.1.json"),
            lambda: folder.exists(ATTEMPTS),
            lambda: folder.publish_json(RUN, {"stage": "infer", "name": "encoder"}),
            lambda: status(folder),
        ]
        found = []
        for step in steps:
            before = Counter(requests)
            step()
            found.append(dict(requests - before))
        return found

    commit = {"unit": "train-0000001", "items": 1, "outputs": [], "statistics": {}, "excluded": {}}
    assert costs(made, bucket.requests) == costs(real, seen)


def test_a_unit_whose_worker_was_lost_costs_the_same_again(counted: tuple[str, Counter[str]], one_beat: None) -> None:
    uri, seen = counted
    made, bucket = simulated()
    real = Folder.at(f"{uri}/run")
    costs = []
    for folder, requests in ((real, seen), (made, bucket.requests)):
        folder.publish_bytes("input/shard.tar", b"clips")
        before = Counter(requests)
        real_job(folder, units_of(2), lost=["train-0000001"], inside=True)
        costs.append(requests - before)
    assert costs[0] == costs[1]


@settings(max_examples=10)
@given(
    seed=st.integers(0, 2**31),
    workers=st.sampled_from([1, 3, 20]),
    reclaims=st.sampled_from([0.0, 20.0, 60.0]),
    zombies=st.sampled_from([0.0, 0.5, 1.0]),
    deaths=st.integers(0, 3),
)
def test_every_unit_is_committed_exactly_once_whatever_dies(
    seed: int, workers: int, reclaims: float, zombies: float, deaths: int
) -> None:
    model = Model(
        workers,
        60,
        seconds=20.0,
        reclaims=reclaims,
        zombies=zombies,
        driver_deaths=deaths,
        errors=0.02,
        lost_answers=0.02,
        replaced_after=30.0,
        workers_per_node=2,
        seed=seed,
    )
    report = World(model).run()
    assert report.exactly_once
    assert report.executions >= 60 and report.useful <= report.alive
    assert line(report).split()[-1] == "yes"


def test_losses_are_seen_and_a_unit_may_be_worked_on_twice() -> None:
    """Not a simulation in which nothing happens: nodes and drivers are lost, work is done again, requests are refused."""
    model = Model(20, 200, seconds=60.0, reclaims=10.0, zombies=0.5, driver_deaths=1, errors=0.01, workers_per_node=2)
    report = World(model).run()
    assert report.node_losses > 5 and report.driver_losses == 1 and report.refused > 10
    assert report.executions > 200 and report.exactly_once


def test_the_same_seed_gives_the_same_job() -> None:
    first, again, other = (World(Model(5, 40, seconds=5.0, seed=seed)).run() for seed in (1, 1, 2))
    assert (first.requests, first.elapsed) == (again.requests, again.elapsed)
    assert first.elapsed != other.elapsed


def simulated_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "simulated"]


def test_no_thread_is_left_after_a_run() -> None:
    World(Model(5, 40, seconds=5.0, reclaims=60.0, zombies=0.5)).run()
    assert not simulated_threads()


def test_an_error_in_a_process_surfaces_and_the_others_are_lost() -> None:
    clock, seen = VirtualTime(), list[str]()

    def waiter() -> None:
        try:
            clock.park()
        except LostError:
            seen.append("lost")
            raise

    def faulty() -> None:
        clock.sleep(1.0)
        raise ValueError("broken")

    waiting, failing = clock.start(waiter), clock.start(faulty)
    with pytest.raises(ValueError, match="broken"):
        clock.run(until=waiting)
    assert failing.dead and not waiting.dead and len(simulated_threads()) == 1
    clock.end()
    assert waiting.dead and seen == ["lost"] and not simulated_threads()


def test_what_has_not_begun_at_the_end_never_does() -> None:
    clock, seen = VirtualTime(), list[str]()
    late = clock.start(seen.append, "began")
    clock.end()
    assert late.dead and not late.begun and not seen


def test_more_requests_than_are_guaranteed_are_refused_and_come_again() -> None:
    clock = VirtualTime()
    bucket = Bucket(clock, Faults(), limits={"read": 100.0, "write": 10.0})
    done: list[float] = []

    def client() -> None:
        bucket.request("PUT", lambda: None)
        done.append(clock.now)

    for _ in range(50):
        clock.start(client)
    clock.run(until=clock.start(clock.sleep, 600.0))
    clock.end()
    assert len(done) == 50 and max(done) > 4.0  # ten a second, after the first ten
    assert bucket.requests["PUT"] == 50 + bucket.refused
    assert bucket.refused > 0


def test_a_process_that_is_killed_sees_it_where_it_waits_and_nobody_else_does() -> None:
    clock, seen = VirtualTime(), list[str]()

    def victim() -> None:
        try:
            clock.sleep(100.0)
            seen.append("woke")
        except LostError:
            seen.append(f"lost at {clock.now}")
            raise

    def other() -> None:
        clock.sleep(10.0)
        clock.kill(process)
        clock.sleep(200.0)
        seen.append(f"end at {clock.now}")

    process = clock.start(victim)
    clock.run(until=clock.start(other))
    assert seen == ["lost at 10.0", "end at 210.0"] and process.dead


def test_a_wake_reaches_only_who_is_parked() -> None:
    """One that sleeps is not woken early by somebody who wanted to tell it something."""
    clock, seen = VirtualTime(), list[float]()

    def sleeper() -> None:
        clock.park()
        seen.append(clock.now)
        clock.sleep(50.0)
        seen.append(clock.now)

    def waker() -> None:
        for _ in range(3):
            clock.sleep(1.0)
            clock.wake(process)

    process = clock.start(sleeper)
    clock.start(waker)
    clock.run(until=process)
    clock.end()
    assert seen == [1.0, 51.0]


def test_what_still_waits_at_the_end_is_lost_and_waits_no_more() -> None:
    clock, seen = VirtualTime(), list[str]()

    def stubborn() -> None:
        for _ in range(2):
            try:
                clock.sleep(1e9)
            except LostError:
                seen.append("lost")

    process = clock.start(stubborn)
    clock.run(until=clock.start(clock.sleep, 1.0))
    clock.end()
    assert process.dead and seen == ["lost", "lost"]
