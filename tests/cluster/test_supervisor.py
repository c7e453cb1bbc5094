"""Blame: whatever kills a worker among the items of a unit, exactly those are left out, in few attempts."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invertone.cluster.formats.ledger import ATTEMPTS, Ledger, Unit
from invertone.cluster.jobs.driver import Term
from invertone.cluster.jobs.supervisor import MAX_EXCLUDED, Supervisor
from invertone.cluster.jobs.watch import Watch
from invertone.cluster.jobs.worker_process import Answer, Died, Finished, Raised, Refused, Task
from invertone.cluster.storage.folder import Folder


def supervisor(max_attempts: int = 3) -> Supervisor:
    folder = Folder.at(f"memory://{uuid.uuid4().hex}")
    return Supervisor(Ledger(folder, "s"), Term(folder, 1, "s"), b"", max_attempts, 1.0)


def worker(items: list[str], killers: set[str], size: int, log: list[Task]) -> Callable[[Task], Answer]:
    """A worker process as the supervisor sees it: batches of `size`, suspects alone, dead when it meets a killer."""

    def work(task: Task) -> Answer:
        log.append(task)
        watch = Watch()
        watch.start(task.excluded, task.suspects)
        for batch in watch.batches(items, size, str):
            if killers & set(batch):
                return Died("its worker was killed by SIGSEGV", "stack", tuple(batch))
        return Finished((), {"rows": len(items)})

    return work


@given(
    count=st.integers(1, 40),
    killers=st.sets(st.integers(0, 39), max_size=4),
    size=st.integers(1, 16),
    max_attempts=st.integers(1, 4),
)
def test_exactly_the_guilty_are_left_out(count: int, killers: set[int], size: int, max_attempts: int) -> None:
    items, log = [f"i{number}" for number in range(count)], list[Task]()
    guilty = {f"i{number}" for number in killers} & set(items)
    one = supervisor(max_attempts)
    fate = one.do(Unit("u", {}, count), worker(items, guilty, size, log))
    assert fate.state == "done" and fate.commit is not None and set(fate.commit.excluded) == guilty
    assert len(log) <= 1 + len(guilty) * (max_attempts + 1)
    assert len(one.ledger.folder.names(ATTEMPTS)) == len(log)
    assert [set(each.excluded) for each in one.ledger.failures()] == ([guilty] if guilty else [])


def test_a_death_with_nothing_in_hand_quarantines_after_the_attempts() -> None:
    one, log = supervisor(), list[Task]()

    def work(task: Task) -> Answer:
        log.append(task)
        return Died("its worker was killed by SIGKILL (out of memory?)", "last words", ())

    fate = one.do(Unit("u", {}), work)
    assert (fate.state, len(log)) == ("quarantined", 3)
    failure = one.ledger.failures()[0]
    assert (failure.state, failure.attempts, failure.traceback) == ("quarantined", 3, "last words")


def test_a_death_that_does_not_come_again_is_nobody_s_fault() -> None:
    answers: list[Answer] = [Died("killed", "", ("a", "b")), Died("killed", "", ("c",)), Finished((), {})]
    one = supervisor()
    fate = one.do(Unit("u", {}), lambda task: answers.pop(0))
    assert fate.commit is not None and fate.commit.excluded == {} and one.ledger.failures() == []


def raised(in_hand: tuple[str, ...] = (), **kind: Any) -> Raised:
    return Raised("E: no", "trace", in_hand, **{"lasting": False, "storage": False, **kind})


@pytest.mark.parametrize(
    ("answer", "tries", "state", "excluded"),
    [
        (raised(), 3, "failed", set()),
        (raised(lasting=True), 1, "failed", set()),
        (raised(("a",), storage=True), 3, "failed", set()),  # storage that fails is no clip's fault
        (raised(("a",)), 3, "done", {"a"}),
    ],
)
def test_what_raises(answer: Raised, tries: int, state: str, excluded: set[str]) -> None:
    one, log = supervisor(), list[Task]()

    def work(task: Task) -> Answer:
        log.append(task)
        return Finished((), {}) if task.excluded else answer

    fate = one.do(Unit("u", {}), work)
    assert (fate.state, len(log) - bool(excluded)) == (state, tries)
    assert set(fate.commit.excluded if fate.commit else ()) == excluded


def test_a_unit_that_loses_too_many_items_is_quarantined() -> None:
    items = [f"i{number}" for number in range(60)]
    fate = supervisor(1).do(Unit("u", {}), worker(items, set(items), 1, []))
    assert fate.state == "quarantined"
    assert len(items) > MAX_EXCLUDED


def test_a_refusal_ends_the_job() -> None:
    fate = supervisor().do(Unit("u", {}), lambda task: Refused("no such generator"))
    assert (fate.state, fate.error) == ("refused", "no such generator")


def test_another_worker_goes_on_from_what_the_lost_one_had_learnt() -> None:
    one, log = supervisor(2), list[Task]()
    items = [f"i{number}" for number in range(6)]

    def lost(task: Task) -> Answer:
        if len(log) == 2:
            raise SystemExit  # as if the node had gone
        return worker(items, {"i4"}, 3, log)(task)

    with pytest.raises(SystemExit):
        one.do(Unit("u", {}, 6), lost)
    fate = one.do(Unit("u", {}, 6), worker(items, {"i4"}, 3, log))
    assert fate.commit is not None and set(fate.commit.excluded) == {"i4"}
    again = one.do(Unit("u", {}, 6), worker(items, {"i4"}, 3, log))  # Ray repeats a block of several units
    assert again.commit == fate.commit and len(log) <= 5
