"""The tables' measures beside independent implementations, and cut into many units (see `tests.oracles.measures`)."""

from __future__ import annotations

import pytest

from tests.oracles.measures import UNITS, Archive, archive, comparisons, invariance


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return archive(tmp_path_factory.mktemp("oracles"))


def test_every_measure_is_what_independent_implementations_say(made: Archive) -> None:
    found = comparisons(made)
    assert {
        f"{each.measure}: {each.ours} and {each.theirs} by {each.oracle}"
        for each in found
        if each.disagreement > each.limit
    } == set()
    assert set(made.one) - {each.measure for each in found} == {"inception_spread"}


def test_one_unit_and_many_give_the_same_table(made: Archive) -> None:
    assert UNITS == 50 and set(made.one) == set(made.many)
    assert {
        f"{each.measure}: {each.ours} and {each.theirs}" for each in invariance(made) if each.disagreement > each.limit
    } == set()
