"""Which point of a space a sweep tries next: random, grid, or Optuna. What was tried before is told again after a restart."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from invertone.cluster.errors import UserError
from invertone.cluster.formats.sweeps import Proposal, Value
from invertone.train.tune.search_space import Choice, Point, Space

SEARCHES = ("random", "grid", "optuna")
MOST_TRIALS = 100_000


@runtime_checkable
class Search(Protocol):
    def ask(self, number: int) -> Proposal:
        """What trial `number` tries."""

    def again(self, number: int, proposal: Proposal) -> None:
        """Trial `number`, which an earlier process asked for and did not finish, is tried again."""

    def tell(self, number: int, proposal: Proposal, goals: Sequence[float] | None) -> None:
        """How a trial ended; None: it failed."""


def search_of(name: str, space: Space, grid: int, goals: Mapping[str, str], seed: int) -> Search:
    if name == "grid":
        return GridSearch.of(space, grid)
    if name == "random":
        return RandomSearch(space, seed)
    return OptunaSearch(space, list(goals.values()), seed)


@dataclass(frozen=True)
class RandomSearch:
    """Independent points, each decided by seed and number alone."""

    space: Space
    seed: int

    def ask(self, number: int) -> Proposal:
        draws = np.random.default_rng([self.seed, number]).random(len(self.space.coordinates))
        point = dict(zip(self.space.coordinates, draws.tolist(), strict=True))
        return Proposal(self.space.values(point), point)

    def again(self, number: int, proposal: Proposal) -> None:
        """Nothing is remembered."""

    def tell(self, number: int, proposal: Proposal, goals: Sequence[float] | None) -> None:
        """Nothing is learned."""


@dataclass(frozen=True)
class GridSearch:
    """Every combination, in order."""

    combinations: list[dict[str, Value]]

    @staticmethod
    def of(space: Space, count: int) -> GridSearch:
        combinations = list(itertools.islice(space.grid(count), MOST_TRIALS + 1))
        if len(combinations) > MOST_TRIALS:
            raise UserError(f"the grid has more than {MOST_TRIALS:,} points", fix="lower grid, or use search=random")
        return GridSearch(combinations)

    def ask(self, number: int) -> Proposal:
        return Proposal(self.combinations[number])

    def again(self, number: int, proposal: Proposal) -> None:
        """Nothing is remembered."""

    def tell(self, number: int, proposal: Proposal, goals: Sequence[float] | None) -> None:
        """Nothing is learned."""


class OptunaSearch:
    """Tree-structured Parzen estimators (Bergstra et al. 2011; several goals: Ozaki et al. 2022), by Optuna's ask and tell."""

    def __init__(self, space: Space, directions: Sequence[str], seed: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.space, self.seed = space, seed
        ways = {"max": optuna.study.StudyDirection.MAXIMIZE, "min": optuna.study.StudyDirection.MINIMIZE}
        self._study = optuna.create_study(directions=[ways[each] for each in directions])
        self._axes: dict[str, Any] = {}
        for part in space.parts:
            for name in part.coordinates:
                self._axes[name] = (
                    optuna.distributions.CategoricalDistribution(range(len(part.among)))
                    if isinstance(part, Choice)
                    else optuna.distributions.FloatDistribution(0.0, 1.0)
                )
        self._among = {part.key: len(part.among) for part in space.parts if isinstance(part, Choice)}
        self._running: dict[int, Any] = {}

    def ask(self, number: int) -> Proposal:
        import optuna

        # A sampler of its own for each trial: one that went through a restart would draw again what it drew in the beginning.
        # What still runs counts as bad until it is told, so that trials side by side do not crowd together.
        drawn = int(np.random.default_rng([self.seed, number]).integers(2**32))
        self._study.sampler = optuna.samplers.TPESampler(
            seed=drawn, multivariate=True, constant_liar=True, n_startup_trials=8
        )
        trial = self._study.ask(self._axes)
        self._running[number] = trial
        # a choice's number as the middle of its share of [0, 1]
        point = {
            name: (value + 0.5) / self._among[name] if name in self._among else float(value)
            for name, value in trial.params.items()
        }
        return Proposal(self.space.values(point), point)

    def again(self, number: int, proposal: Proposal) -> None:
        self._study.enqueue_trial(self._parameters(proposal.point))
        self._running[number] = self._study.ask(self._axes)

    def tell(self, number: int, proposal: Proposal, goals: Sequence[float] | None) -> None:
        import optuna

        state = optuna.trial.TrialState.FAIL if goals is None else optuna.trial.TrialState.COMPLETE
        if number in self._running:
            self._study.tell(self._running.pop(number), list(goals) if goals is not None else None, state=state)
            return
        self._study.add_trial(
            optuna.trial.create_trial(
                params=self._parameters(proposal.point),
                distributions=self._axes,
                values=list(goals) if goals is not None else None,
                state=state,
            )
        )

    def _parameters(self, point: Point) -> dict[str, Any]:
        return {name: int(value * self._among[name]) if name in self._among else value for name, value in point.items()}
