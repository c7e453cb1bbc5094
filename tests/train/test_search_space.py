"""Spaces: what coordinates mean, how often each value comes, and which descriptions are refused."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from invertone.cluster.errors import UserError
from invertone.train.tune.search_space import Choice, Range, Simplex, parse

UNIT = st.floats(0.0, 1.0)
WEIGHTS = {"w": {"simplex": ["a", "b", "c"]}}


@given(UNIT, st.floats(-5, 5), st.floats(0.01, 5))
def test_a_range_keeps_its_ends_and_order(coordinate: float, low: float, width: float) -> None:
    part = Range("x", "uniform", low, low + width)
    assert low <= part.at(coordinate) <= low + width and part.at(0.0) == low
    assert part.at(1.0) == pytest.approx(low + width)


@given(UNIT)
def test_logarithms_are_spread_evenly(coordinate: float) -> None:
    part = Range("x", "loguniform", 1e-4, 1e-1)
    assert math.log10(part.at(coordinate)) == pytest.approx(-4 + 3 * coordinate, abs=1e-9)
    assert part.at(0.0) == pytest.approx(1e-4) and 1e-4 <= part.at(coordinate) <= 1e-1


def test_whole_numbers_and_choices_come_equally_often() -> None:
    coordinates = (np.arange(6_000) + 0.5) / 6_000
    numbers, among = Range("x", "integer", 3.0, 8.0), Choice("y", ("p", "q", "r"))
    assert np.bincount([numbers.at(u) for u in coordinates])[3:].tolist() == [1_000] * 6
    found = [among.values({"y": u})["y"] for u in coordinates]
    assert [found.count(each) for each in "pqr"] == [2_000] * 3
    assert (numbers.at(1.0), among.values({"y": 1.0})) == (8, {"y": "r"})


@given(st.lists(UNIT, min_size=4, max_size=4), st.floats(0.1, 10))
def test_weights_of_a_simplex_sum_to_its_total(coordinates: list[float], total: float) -> None:
    part = Simplex("w", ("a", "b", "c", "d", "e"), total)
    values = part.values(dict(zip(part.coordinates, coordinates, strict=True)))
    assert list(values) == ["a", "b", "c", "d", "e"] and all(float(value) >= 0 for value in values.values())
    assert sum(float(value) for value in values.values()) == pytest.approx(total)


@given(UNIT)
def test_two_weights_are_one_and_what_it_leaves(coordinate: float) -> None:
    """Section VI of GAAE's paper: w2 = 1 - w1."""
    part = Simplex("w", ("w1", "w2"), 1.0, least=0.1)
    values = part.values({"w/0": coordinate})
    assert float(values["w1"]) == pytest.approx(0.1 + 0.8 * coordinate)
    assert float(values["w1"]) + float(values["w2"]) == pytest.approx(1)
    grid = [(float(each["w1"]), float(each["w2"])) for each in part.grid(9)]
    assert np.array(grid) == pytest.approx(np.array([(n / 10, 1 - n / 10) for n in range(1, 10)]))


@given(st.lists(UNIT, min_size=2, max_size=2))
def test_no_weight_of_a_simplex_is_below_its_least(coordinates: list[float]) -> None:
    part = Simplex("w", ("a", "b", "c"), 2.0, least=0.25)
    values = part.values(dict(zip(part.coordinates, coordinates, strict=True)))
    assert sum(float(value) for value in values.values()) == pytest.approx(2)
    assert all(float(value) >= 0.25 - 1e-12 for value in values.values())
    assert all(min(map(float, each.values())) >= 0.25 for each in part.grid(4))


def test_a_simplex_is_drawn_uniformly() -> None:
    """Every weight of a uniform simplex of k is Beta(1, k - 1), and so is the sum of any two Beta(2, k - 2)."""
    part, rng = Simplex("w", ("a", "b", "c", "d"), 1.0), np.random.default_rng(0)
    draws = [part.values(dict(zip(part.coordinates, u, strict=True))) for u in rng.random((4_000, 3))]
    table = np.array([[float(value) for value in each.values()] for each in draws])
    for column in range(4):
        assert scipy.stats.kstest(table[:, column], scipy.stats.beta(1, 3).cdf).pvalue > 0.01
    for one, other in itertools.combinations(range(4), 2):
        assert scipy.stats.kstest(table[:, one] + table[:, other], scipy.stats.beta(2, 2).cdf).pvalue > 0.001


def test_grids() -> None:
    described = {**WEIGHTS, "rate": {"loguniform": [1e-3, 1e-1]}, "n": {"integer": [1, 2]}, "k": {"choice": ["x", "y"]}}
    space = parse(described)
    found = list(space.grid(3))
    assert len(found) == 6 * 3 * 2 * 2 == len({tuple(sorted(each.items())) for each in found})
    assert {round(float(each["rate"]), 6) for each in found} == {0.001, 0.01, 0.1}
    assert all(float(each["a"]) + float(each["b"]) + float(each["c"]) == pytest.approx(1) for each in found)
    assert space.keys == ["a", "b", "c", "rate", "n", "k"] and space.coordinates == ["w/0", "w/1", "rate", "n", "k"]


@pytest.mark.parametrize(
    ("described", "said"),
    [
        ({}, "space is empty"),
        ({"x": 3}, r"space\.x is 3"),
        ({"w": {"simplex": ["a", "b"], "least": 0.5}}, r"space\.w\.least is 0\.5"),
        ({"w": {"simplex": ["a", "b"], "least": -1}}, r"space\.w\.least is -1"),
        ({"x": {"uniform": [0, 1], "least": 0.1}}, r"space\.x is"),
        ({"x": {"uniform": [0, 1], "choice": [1]}}, r"space\.x is"),
        ({"x": {"uniform": [1, 0]}}, r"space\.x\.uniform is \[1, 0\]"),
        ({"x": {"uniform": [0, float("nan")]}}, "uniform"),
        ({"x": {"loguniform": [0, 1]}}, "begins at 0"),
        ({"x": {"integer": [0.5, 2]}}, "integer"),
        ({"x": {"choice": []}}, "write a list"),
        ({"x": {"choice": [[1]]}}, "more than numbers and words"),
        ({"w": {"simplex": ["a"]}}, "two or more"),
        ({"w": {"simplex": ["a", "b"], "total": 0}}, r"space\.w\.total"),
        ({"w": {"simplex": ["a", "b"]}, "a": {"uniform": [0, 1]}}, "a twice"),
        ({"x": {"unifrom": [0, 1]}}, "write one of uniform"),
    ],
)
def test_what_is_no_space_is_refused_by_name(described: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        parse(described)
