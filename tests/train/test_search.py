"""Searches: decided by seed and number, learning from what they are told, and the same after a restart."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from invertone.cluster.errors import UserError
from invertone.cluster.formats.sweeps import Proposal
from invertone.train.tune.search import GridSearch, OptunaSearch, RandomSearch, search_of
from invertone.train.tune.search_space import parse

SPACE = parse({"x": {"uniform": [0, 1]}, "k": {"choice": ["p", "q", "r"]}, "w": {"simplex": ["a", "b", "c"]}})


def loss(proposal: Proposal) -> float:
    values = proposal.values
    return (float(values["x"]) - 0.3) ** 2 + (values["k"] != "q") + (float(values["a"]) - 0.7) ** 2


def best_of(name: str, seed: int, trials: int) -> float:
    search = search_of(name, SPACE, 3, {"loss": "min"}, seed)
    found = []
    for number in range(trials):
        proposal = search.ask(number)
        found.append(loss(proposal))
        search.tell(number, proposal, [found[-1]])
    return min(found)


def test_a_random_point_depends_on_seed_and_number_alone() -> None:
    one, other = RandomSearch(SPACE, 3), RandomSearch(SPACE, 3)
    forwards, backwards = [one.ask(n) for n in range(5)], [other.ask(n) for n in reversed(range(5))]
    assert forwards == backwards[::-1] and all(a != b for a, b in pairwise(forwards))
    assert RandomSearch(SPACE, 4).ask(0) != forwards[0]


def test_optuna_finds_better_points_than_chance() -> None:
    found = np.median([best_of("optuna", seed, 40) for seed in range(5)])
    assert found < 0.5 * np.median([best_of("random", seed, 40) for seed in range(5)])


def test_a_restarted_search_knows_what_it_was_told() -> None:
    whole, again = (OptunaSearch(SPACE, ["min"], 0) for _ in range(2))
    told = []
    for number in range(12):
        proposal = whole.ask(number)
        whole.tell(number, proposal, None if number == 5 else [loss(proposal)])
        told.append(proposal)
    for number, proposal in enumerate(told):
        again.tell(number, proposal, None if number == 5 else [loss(proposal)])
    running = whole.ask(12)
    again.again(12, running)
    again.tell(12, running, [0.0])
    assert {tuple(again.ask(13).point.values())}.isdisjoint(tuple(each.point.values()) for each in told)
    trials = [[(t.state, t.values, t.params) for t in search._study.trials] for search in (whole, again)]
    assert trials[0][:12] == trials[1][:12] and trials[1][12][2] == trials[0][12][2]
    assert again._study.best_value == 0.0


def test_several_goals_make_a_front() -> None:
    search = OptunaSearch(SPACE, ["max", "min"], 0)
    for number in range(6):
        search.tell(number, search.ask(number), [float(number), float(number)])
    assert len(search._study.best_trials) == 6  # each is better in one goal than any other is


def test_a_grid_that_has_no_end_is_refused() -> None:
    with pytest.raises(UserError, match="more than 100,000 points"):
        GridSearch.of(parse({f"x{n}": {"uniform": [0, 1]} for n in range(9)}), 5)
