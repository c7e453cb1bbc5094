"""The ledger: a unit counts when its commit is there; statistics merge whatever the units were."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invertone.cluster.errors import UserError
from invertone.cluster.formats.ledger import (
    ATTEMPTS,
    COMMITS,
    EXCLUDED,
    JOURNAL,
    LIMIT,
    Attempt,
    Commit,
    Failure,
    Ledger,
    Output,
    Unit,
    first_items,
)
from invertone.cluster.storage.folder import Folder


@pytest.fixture(params=["local", "memory"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Ledger:
    uri = str(tmp_path) if request.param == "local" else f"memory://{uuid.uuid4().hex}"
    return Ledger(Folder.at(uri), "s1")


def units(*names: str, **work: Any) -> list[Unit]:
    return [Unit(name, {"of": name, **work}, items=2) for name in names]


def commit(name: str, **statistics: Any) -> Commit:
    return Commit(name, 2, (Output(f"{name}.out", 1, "d"),), statistics)


def test_a_plan_is_fixed_once_and_says_in_what_another_differs(ledger: Ledger) -> None:
    assert ledger.plan() is None
    ledger.fix_plan(units("b", "a"), {"rows": 3})
    ledger.fix_plan(units("b", "a"), {"rows": 3})
    assert ledger.planned().to_pydict() == {"name": ["b", "a"], "items": [2, 2]}
    for other, details, said in (
        (units("a"), {"rows": 3}, "units: 2 → 1"),
        (units("b", "a", size=1), {"rows": 3}, "sha256: "),
        (units("b", "a"), {"rows": 4}, "rows: 3 → 4"),
    ):
        with pytest.raises(UserError, match=f"inputs have changed since it was planned .*{said}"):
            ledger.fix_plan(other, details)


def test_only_a_commit_makes_a_unit_done_and_the_first_one_stands(ledger: Ledger) -> None:
    ledger.begin("a", "here")
    ledger.folder.publish_bytes("a.out", b"x")
    assert ledger.done() == set() and ledger.committed("a") is None
    assert ledger.commit(commit("a", n=1))
    assert not ledger.commit(commit("a", n=2))
    assert ledger.done() == {"a"} and list(ledger.commits()) == [commit("a", n=1)]


def test_attempts_are_numbered_per_driver_and_hand_on_what_was_learnt(ledger: Ledger) -> None:
    first, again = ledger.begin("a", "w1")
    assert (first, again) == (Attempt(1, "w1"), False)
    known = Attempt(1, "w1", {"k": "killed it"}, ("x", "y"), 1)
    second, _ = ledger.begin("a", "w1", known)
    assert (second.number, second.excluded, second.suspects, second.deaths) == (2, {"k": "killed it"}, ("x", "y"), 1)
    third, again = ledger.begin("a", "w2")  # on another worker: the second attempt's was lost, and with it its memory
    assert again and (third.number, third.excluded, third.suspects, third.deaths) == (3, second.excluded, ("x", "y"), 2)
    assert Ledger(ledger.folder, "s10").begin("a", "w")[0].number == 1
    ledger.begin("a.s1", "w")
    assert ledger.attempted("s1") == {"a": 3, "a.s1": 1} and len(ledger.folder.names(ATTEMPTS)) == 5


def test_a_failure_is_listed_until_the_unit_commits(ledger: Ledger) -> None:
    failure = Failure("a", "failed", "ValueError: no", "trace", 3, 7)
    ledger.fail(failure)
    assert ledger.failures() == [failure]
    ledger.commit(commit("a"))
    assert ledger.failures() == []


def test_excluded_items_are_listed_with_their_commit_only(ledger: Ledger) -> None:
    listed = Failure("a", EXCLUDED, "1 of 2", excluded={"k": "killed it"})
    ledger.fail(listed)
    assert ledger.failures() == []  # its driver died before the commit
    ledger.commit(Commit("a", 2, (), {}, {"k": "killed it"}))
    assert ledger.failures() == [listed]
    other = Ledger(ledger.folder / "other", "s1")
    other.fail(listed)
    other.commit(commit("a"))  # the next driver did it without loss
    assert other.failures() == []


def test_forgiven_units_are_undone_also_in_the_journal(ledger: Ledger) -> None:
    kept, poisoned = commit("kept"), Commit("a", 2, (), {}, {"k": "killed it"})
    for each in (kept, poisoned):
        ledger.commit(each)
    ledger.write_journal("one", [kept, poisoned])
    ledger.fail(Failure("a", EXCLUDED, "1 of 2", excluded={"k": "killed it"}))
    ledger.fail(Failure("b", "quarantined", "died"))
    ledger.forgive(ledger.failures())
    assert ledger.failures() == [] and ledger.done() == {"kept"} and list(ledger.commits()) == [kept]
    ledger.commit(commit("a", n=5))
    assert sorted(each.unit for each in ledger.commits()) == ["a", "kept"]


@given(
    names=st.sets(st.integers(0, 30), max_size=12),
    data=st.data(),
)
def test_commits_are_the_same_with_any_journal(names: set[int], data: Any) -> None:
    ledger = Ledger(Folder.at(f"memory://{uuid.uuid4().hex}"), "s")
    made = [commit(f"u{number:02d}", n=number) for number in sorted(names)]
    for each in made:
        ledger.commit(each)
    journaled = data.draw(st.lists(st.sampled_from(made), max_size=10)) if made else []
    cut = data.draw(st.integers(0, len(journaled)))
    ledger.write_journal("a", journaled[:cut])
    ledger.write_journal("b", [*journaled[cut:], commit("ghost")])
    assert sorted(ledger.commits(), key=lambda each: each.unit) == made
    left = {each.unit for each in made} - {each.unit for each in journaled}
    assert {each.unit for each in ledger.unjournaled()} == left
    assert len(ledger.folder.names(COMMITS)) == len(made) and len(ledger.folder.names(JOURNAL)) == 2


def test_a_plan_that_is_not_fixed_takes_more_units(ledger: Ledger) -> None:
    names = ["a", "b"]
    ledger.fix_plan([Unit(name, {}) for name in names], {}, anew=True)
    ledger.commit(Commit("a", 1, (), {}))
    with pytest.raises(UserError, match="units: 2 → 3"):
        ledger.fix_plan([Unit(name, {}) for name in [*names, "c"]], {})
    ledger.fix_plan([Unit(name, {}) for name in [*names, "c"]], {}, anew=True)
    plan = ledger.plan()
    assert plan is not None and plan["units"] == 3 and ledger.planned()["name"].to_pylist() == ["a", "b", "c"]
    assert ledger.done() == {"a"}


def test_what_became_of_a_unit_s_files_is_seen_by_their_sizes(ledger: Ledger) -> None:
    for name, size in (("a", 3), ("b", 3), ("c", 3), ("d", 0)):
        outputs = tuple(Output(f"{place}{name}.bin", size, "") for place in ("", "deep/er/"))
        for output in outputs:
            ledger.folder.publish_bytes(output.name, bytes(size))
        ledger.commit(Commit(name, 1, outputs, {}))
    assert ledger.lost(ledger.done()) == {}
    ledger.folder.remove("b.bin")
    ledger.folder.publish_bytes("deep/er/c.bin", b"12")
    assert ledger.lost(ledger.done()) == {
        "b": ["b.bin is missing"],
        "c": ["deep/er/c.bin has 2 bytes, 3 were recorded"],
    }
    assert ledger.lost({"a", "c"}).keys() == {"c"}


@given(st.lists(st.integers(1, 9), max_size=9), st.integers(0, 60))
def test_the_first_items_of_a_plan_are_those_of_its_first_units(sizes: list[int], limit: int) -> None:
    whole = [Unit(str(at), {"of": at}, items) for at, items in enumerate(sizes)]
    chosen = first_items(whole, limit)
    if not limit:
        assert chosen == whole
        return
    assert sum(unit.items for unit in chosen) == min(limit, sum(sizes))
    assert [unit.name for unit in chosen] == [unit.name for unit in whole[: len(chosen)]]
    assert chosen[:-1] == whole[: len(chosen[:-1])], "only the last is cut"
    for unit, uncut in zip(chosen[-1:], whole[len(chosen) - 1 :], strict=False):
        assert unit.work == (uncut.work if unit.items == uncut.items else {**uncut.work, LIMIT: unit.items})
