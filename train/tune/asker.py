"""Ray Tune's view of a sweep: a searcher that suggests trials by number and hears how each ended. Imported where Ray is."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ray.tune.search import Searcher

from invertone.cluster.errors import UserError
from invertone.cluster.formats.ledger import FAILED
from invertone.cluster.formats.sweeps import DONE, STOPPED, Trial
from invertone.cluster.jobs.driver import Driver
from invertone.cluster.progress import Progress
from invertone.cluster.secrets import without_secrets
from invertone.train.tune.sweep import Sweep

METRICS = "metrics/"
"""What Ray Tune makes of the names in a nested result."""


class Asker(Searcher):
    """What it knows is in the sweep's run folder; Ray Tune's own copies of it are empty.

    refused: why the sweep cannot go on.
    """

    def __init__(self, sweep: Sweep, todo: Sequence[int], driver: Driver, progress: Progress) -> None:
        goal, way = next(iter(sweep.config.goals.items()))
        super().__init__(metric=goal, mode=way)
        self.refused: UserError | None = None
        self._sweep, self._driver, self._progress = sweep, driver, progress
        self._todo, self._numbers = list(todo), dict[str, int]()

    def suggest(self, trial_id: str) -> Any:
        while self._todo and not self.refused:
            number = self._todo.pop(0)
            try:
                training = self._sweep.training(number)
            except UserError as error:  # values that the training refuses
                self._end(number, {"error": str(error)}, False)
                continue
            self._numbers[trial_id] = number
            return {"number": number, "training": training, "cluster": bool(os.environ.get("RAY_ADDRESS"))}
        return Searcher.FINISHED

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        number = self._numbers.pop(trial_id, None)
        if number is not None:
            self._end(number, result or {}, error)

    def _end(self, number: int, result: Mapping[str, Any], lost: bool) -> None:
        sweep = self._sweep
        trial = trial_of(sweep, number, result, lost)
        missing = [each for each in sweep.config.goals if each not in trial.metrics]
        if trial.state != FAILED and missing:
            known = ", ".join(sorted(trial.metrics)) or "none at all"
            self.refused = UserError(
                f"goals.{missing[0]}: this training's validation has no such metric",
                where=sweep.folder.uri,
                fix=f"choose among {known}, in a new out",
            )
            return
        sweep.end(trial)
        count = len(sweep.ended)
        self._driver.tell(units=count, of_units=sweep.trials, items=count, of_items=sweep.trials, what="trials")
        self._progress.update(count, note=_note(sweep))

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


def trial_of(sweep: Sweep, number: int, result: Mapping[str, Any], lost: bool) -> Trial:
    """What became of a trial, by the last that was heard of it."""
    proposal, steps = sweep.proposal(number), int(result.get("step", 0))
    seconds = float(result.get("time_total_s", 0.0))
    if result.get("error") or lost or not result:
        error = str(result.get("error") or "its process died")
        return Trial(number, proposal, FAILED, steps, seconds, error=without_secrets(error))
    state = DONE if result.get("ended") else STOPPED
    metrics = {name.removeprefix(METRICS): float(value) for name, value in result.items() if name.startswith(METRICS)}
    return Trial(number, proposal, state, steps, seconds, metrics)


def _note(sweep: Sweep) -> str:
    front = sweep.front()
    if not front:
        return ""
    return "best " + ", ".join(f"{name} {front[0].metrics[name]:.4g}" for name in sweep.config.goals)
