"""A sweep under way: which trials are to be done, what each tries, and what the search hears of those that ended.

All that it knows stands in its run folder (formats/sweeps.py).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from invertone.cluster.config.loading import load_with
from invertone.cluster.errors import UserError
from invertone.cluster.formats.ledger import Ledger
from invertone.cluster.formats.sweeps import (
    Design,
    Proposal,
    Trial,
    committed,
    front,
    goals_of,
    publish_best,
    read_proposal,
    record,
    run_of,
)
from invertone.cluster.formats.trials_table import publish_trials
from invertone.cluster.storage.folder import Folder
from invertone.train.config import CATALOGUE
from invertone.train.schemas.shared import TrainConfig
from invertone.train.tune.config import TuneConfig
from invertone.train.tune.search import Search


@dataclass
class Sweep:
    """trials: how many there will be. share: CPUs of one worker of a trial. ended: the trials that are over, by number."""

    config: TuneConfig
    ledger: Ledger
    search: Search
    trials: int
    share: int = 0
    ended: dict[int, Trial] = field(default_factory=dict)

    @property
    def folder(self) -> Folder:
        return self.ledger.folder

    def recall(self) -> list[int]:
        """Takes over what earlier runs left, and returns the numbers of the trials still to do."""
        for trial in sorted(committed(self.ledger), key=lambda trial: trial.number):
            self._hear(trial)
        self.ledger.forgive([each for each in self.ledger.failures() if int(each.unit) not in self.ended])
        return [number for number in range(self.trials) if number not in self.ended]

    def training(self, number: int) -> TrainConfig:
        """The config of trial `number`, asking the search where it is new."""
        proposal = read_proposal(self.folder, number)
        if proposal is None:
            proposal = self.search.ask(number)
            proposal.publish(self.folder, number)
        else:
            self.search.again(number, proposal)
        return trial_config(self.config, proposal.values, self.folder.path_of(run_of(number)), self.share)

    def proposal(self, number: int) -> Proposal:
        """What a trial tries that was begun."""
        found = read_proposal(self.folder, number)
        assert found is not None
        return found

    def end(self, trial: Trial) -> None:
        """A trial is over: recorded, and told to the search."""
        record(self.ledger, trial)
        self._hear(trial)

    def _hear(self, trial: Trial) -> None:
        self.ended[trial.number] = trial
        self.search.tell(trial.number, trial.proposal, goals_of(trial, self.config.goals))

    def front(self) -> list[Trial]:
        """The trials that no other beats in every goal; the best of the first goal comes first."""
        return front(self.ended.values(), self.config.goals)

    def publish(self) -> None:
        """The table of trials, and the best one's config."""
        config = self.config
        design = Design(
            training=config.training,
            goals=config.goals,
            space=config.space,
            search=config.search,
            scheduler=config.scheduler,
            seed=config.seed,
            trials=self.trials,
            published=_flat(config.published),
        )
        publish_trials(self.folder, self.ended.values(), design)
        for best in self.front()[:1]:
            training = trial_config(config, best.values, self.folder.path_of("best"), self.share)
            publish_best(self.folder, best, design, training)


def trial_config(config: TuneConfig, values: Mapping[str, Any], out: str, share: int = 0) -> TrainConfig:
    """The training of a trial, or of the best one. Raises UserError for keys and values that the training does not have."""
    given = {**_flat(config.given), **values, "out": out}
    if share and not given.get("cpus_per_worker"):
        given["cpus_per_worker"] = share
    try:
        training: TrainConfig = load_with(CATALOGUE, config.training, given)
    except UserError as error:  # what is typed for a sweep stands under `given`
        if not error.fix.startswith("add "):
            raise
        raise UserError(error.what, where=error.where, fix=error.fix.replace(" ", " given.")) from None
    return training


def check_goals(config: TuneConfig) -> None:
    if not config.goals:
        raise UserError("no goal is named", fix="add goals.METRIC=max or goals.METRIC=min")
    for name, way in config.goals.items():
        if way not in ("max", "min"):
            raise UserError(f"goals.{name}={way} is not one of max, min", fix="choose one")
    if config.scheduler == "asha" and len(config.goals) > 1:
        raise UserError("scheduler=asha knows one goal", fix="name one goal, or use scheduler=none")


def check_published(config: TuneConfig, keys: Collection[str]) -> None:
    """Raises UserError where something is published that does not vary."""
    for name in _flat(config.published):
        if name not in keys:
            raise UserError(
                f"published.{name} is no key of the space", fix=f"publish values of {', '.join(keys)}, or leave it out"
            )


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys as dotted ones."""

    def pairs() -> Iterator[tuple[str, Any]]:
        for name, value in values.items():
            if isinstance(value, Mapping):
                yield from _flat(value, f"{prefix}{name}.").items()
            else:
                yield f"{prefix}{name}", value

    return dict(pairs())
