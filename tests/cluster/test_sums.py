"""Statistics merge whatever the units were, and however many."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invertone.cluster.jobs.sums import merge

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


FLOATS = st.floats(-1e12, 1e12)


@given(st.lists(st.one_of(FLOATS, st.integers(-5, 5)), min_size=1, max_size=30), st.randoms())
def test_floating_point_sums_are_exact_whatever_the_order(values: list[float], random: Any) -> None:
    shuffled = random.sample(values, len(values))
    total = merge({"x": value} for value in shuffled)["x"]
    assert total == math.fsum(values)
