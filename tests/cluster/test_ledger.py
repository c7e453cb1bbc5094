"""The ledger: a unit counts when its commit is there; statistics merge whatever the units were."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.errors import UserError
from cluster.ledger import COMMITS, Ledger, committed, merge
from cluster.storage import Folder


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(Folder.at(str(tmp_path)), "s1")


def test_a_plan_is_fixed_once(ledger: Ledger) -> None:
    ledger.fix_plan(["b", "a"], {"rows": 3})
    ledger.fix_plan(["a", "b"], {"rows": 3})
    for units, details in ((["a"], {"rows": 3}), (["a", "b", "c"], {"rows": 3}), (["a", "b"], {"rows": 4})):
        with pytest.raises(UserError, match="inputs have changed since it was planned"):
            ledger.fix_plan(units, details)


def test_only_a_commit_makes_a_unit_done(ledger: Ledger) -> None:
    ledger.begin("a", 1)
    ledger.folder.publish_bytes("a.out", b"x")
    assert ledger.done() == set()
    ledger.commit("a", {"a.out": {"bytes": 1}}, {"n": 1})
    assert ledger.done() == {"a"}
    assert committed(ledger.folder) == [{"outputs": {"a.out": {"bytes": 1}}, "statistics": {"n": 1}}]


def test_a_failure_is_listed_until_the_unit_commits(ledger: Ledger) -> None:
    ledger.fail("a", "failed", "ValueError: no", "trace")
    assert ledger.failed()["a"] == {"state": "failed", "error": "ValueError: no", "traceback": "trace"}
    ledger.commit("a", {}, {})
    assert ledger.failed() == {}


def test_attempts_of_one_driver_and_unit_are_counted_apart(ledger: Ledger) -> None:
    for attempt in (1, 2):
        ledger.begin("a", attempt)
    ledger.begin("a.s1", 1)
    Ledger(ledger.folder, "s10").begin("a", 1)
    assert (ledger.attempts("a"), ledger.attempts("b"), ledger.attempts("a.s1")) == (2, 0, 1)


def test_commits_are_ordered_by_unit_on_any_storage() -> None:
    folder = Folder.at("memory://ledger-order")
    for name in ("train-000010", "test-000000", "train-000002"):
        Ledger(folder, "s").commit(name, {}, {"name": name})
    order = [each["statistics"]["name"] for each in committed(folder)]
    assert order == ["test-000000", "train-000002", "train-000010"]
    assert folder.names(COMMITS) == [f"{name}.json" for name in order]


NUMBERS = st.integers(-(10**12), 10**12)
STATISTICS = st.fixed_dictionaries(
    {"clips": NUMBERS, "histogram": st.lists(NUMBERS, min_size=3, max_size=3)},
    optional={"by_label": st.dictionaries(st.sampled_from(["zero", "one"]), NUMBERS)},
)


@given(st.lists(STATISTICS, min_size=1, max_size=12), st.data())
def test_merged_statistics_do_not_depend_on_how_the_work_was_cut(parts: list[dict[str, Any]], data: Any) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(parts)), max_size=4)) | {0, len(parts)})
    groups = [merge(parts[a:b]) for a, b in itertools.pairwise(cuts)]
    assert merge(groups) == merge(parts)


def test_merging_leaves_its_parts_alone() -> None:
    parts: list[dict[str, Any]] = [{"a": [1], "b": {"c": 1}}, {"a": [2], "b": {"c": 2, "d": 3}}]
    assert merge(parts) == {"a": [3], "b": {"c": 3, "d": 3}}
    assert parts == [{"a": [1], "b": {"c": 1}}, {"a": [2], "b": {"c": 2, "d": 3}}]
    assert merge([]) == {}


def test_lists_of_different_lengths_do_not_merge_silently() -> None:
    with pytest.raises(ValueError, match="shorter"):
        merge([{"a": [1, 2]}, {"a": [1]}])
