"""The run folder of a sweep: what each trial tries, how it ended, the table of all, the best as a config.

points/000007.json    what trial 7 tries, written before it starts
trials/000007/        its training, a run folder like any other
ledger                trials that ended (commits) and failed (failures), as of every job
trials.parquet        one row per trial (formats/trials_table.py);  best.yaml: the best one's training config
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from invertone.cluster.config.schema import as_yaml
from invertone.cluster.formats.ledger import FAILED, Commit, Failure, Ledger
from invertone.cluster.storage.folder import Folder

TRIALS, BEST, POINTS, RUNS = "trials.parquet", "best.yaml", "points", "trials"
DONE, STOPPED = "done", "stopped early"
"""States of a trial, besides the ledger's FAILED."""
VERSION = 1
Value = float | int | str | bool
"""Of a key of the training."""


@dataclass(frozen=True)
class Proposal:
    """What a trial tries: values by key of the training, and the coordinates they came from (none on a grid)."""

    values: dict[str, Value]
    point: dict[str, float] = field(default_factory=dict)

    def publish(self, folder: Folder, number: int) -> None:
        folder.publish_json(_point_file(number), dataclasses.asdict(self))


@dataclass(frozen=True)
class Trial:
    """A trial that is over. metrics: of the checkpoint that counts (the best, else the newest). best, on_front: as the table
    says, or `marked`."""

    number: int
    proposal: Proposal
    state: str
    steps: int = 0
    seconds: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)
    error: str = ""
    best: bool = False
    on_front: bool = False

    @property
    def values(self) -> Mapping[str, Value]:
        """What was tried, by key of the training."""
        return self.proposal.values


@dataclass(frozen=True, kw_only=True)
class Design:
    """What a sweep is: the metadata of its table. goals: max or min by metric; space: as a config describes it; keys: columns
    of the table that are keys of the training; trials: how many there will be; published: what a paper found best, by key."""

    version: int = VERSION
    training: str | None
    goals: Mapping[str, str]
    space: Mapping[str, Any]
    keys: Sequence[str] = ()
    search: str | None
    scheduler: str | None
    seed: int | None
    trials: int
    published: Mapping[str, Any] = field(default_factory=dict)

    @staticmethod
    def readable(values: Mapping[str, Any]) -> Design:
        """Of the table's metadata or a sweep's config, as much as can be read."""
        goals, space, trials = values.get("goals"), values.get("space"), values.get("trials")
        published = values.get("published")
        return Design(
            training=values.get("training"),
            goals={str(k): v for k, v in goals.items() if v in ("max", "min")} if isinstance(goals, dict) else {},
            space={str(name): entry for name, entry in space.items()} if isinstance(space, dict) else {},
            search=values.get("search"),
            scheduler=values.get("scheduler"),
            seed=values.get("seed"),
            trials=trials if isinstance(trials, int) and not isinstance(trials, bool) else 0,
            published={str(k): v for k, v in published.items()} if isinstance(published, dict) else {},
        )


def unit_of(number: int) -> str:
    """A trial's name in the ledger."""
    return f"{number:06d}"


def run_of(number: int) -> str:
    """Where a trial's training lies in the sweep's folder."""
    return f"{RUNS}/{unit_of(number)}"


def _point_file(number: int) -> str:
    return f"{POINTS}/{unit_of(number)}.json"


# ------------------------------------------------------------------------------------------- which trials are the best


def goals_of(trial: Trial, goals: Mapping[str, str]) -> list[float] | None:
    """The values of the goals; None where it failed, or not all of them are finite."""
    values = [trial.metrics.get(name, math.nan) for name in goals]
    return values if trial.state != FAILED and all(map(math.isfinite, values)) else None


def front(trials: Iterable[Trial], goals: Mapping[str, str]) -> list[Trial]:
    """The trials that no other beats in every goal; the best of the first goal comes first.

    Trials that went to the end; those that were stopped early only where there are no others.
    """
    signs = [1.0 if way == "max" else -1.0 for way in goals.values()]
    able = [
        (tuple(sign * value for sign, value in zip(signs, values, strict=True)), trial)
        for trial in trials
        if (values := goals_of(trial, goals))
    ]
    able = [(values, trial) for values, trial in able if trial.state == DONE] or able
    different = {values for values, _ in able}
    unbeaten = {
        mine
        for mine in different
        if not any(other != mine and all(b >= a for a, b in zip(mine, other, strict=True)) for other in different)
    }
    found = [(values, trial) for values, trial in able if values in unbeaten]
    return [trial for _, trial in sorted(found, key=lambda pair: ([-value for value in pair[0]], pair[1].number))]


def marked(trials: Sequence[Trial], goals: Mapping[str, str]) -> list[Trial]:
    """The same trials, knowing which is the best and which are on the front."""
    numbers = [trial.number for trial in front(trials, goals)]
    among = set(numbers)
    return [dataclasses.replace(t, best=t.number in numbers[:1], on_front=t.number in among) for t in trials]


def ranked(trials: Iterable[Trial], goals: Mapping[str, str]) -> list[Trial]:
    """Trials that have every goal: the best, those that are not beaten, those that went to the end, by the first goal."""
    first, way = next(iter(goals.items()))
    sign = -1.0 if way == "max" else 1.0
    return sorted(
        (trial for trial in trials if goals_of(trial, goals) is not None),
        key=lambda t: (not t.best, not t.on_front, t.state != DONE, sign * t.metrics[first], t.number),
    )


# ------------------------------------------------------------------------------------------------ points and the ledger


def read_proposal(folder: Folder, number: int) -> Proposal | None:
    """What trial `number` tries; None where that is not decided yet."""
    try:
        found = folder.read_json(_point_file(number))
    except FileNotFoundError:
        return None
    return Proposal(plain_values(found["values"]), dict(found.get("point", {})))


def record(ledger: Ledger, trial: Trial) -> None:
    """A trial is over."""
    if trial.state == FAILED:
        ledger.fail(Failure(unit_of(trial.number), FAILED, trial.error, attempts=1, items=1))
        return
    about = {
        "state": trial.state,
        "steps": trial.steps,
        "seconds": trial.seconds,
        "metrics": dict(trial.metrics),
    }
    ledger.commit(Commit(unit_of(trial.number), 1, (), about))


def committed(ledger: Ledger, units: Collection[str] | None = None) -> Iterator[Trial]:
    """Trials that ended, all or some of them. Raises KeyError, TypeError or ValueError for what no sweep has written."""
    for commit in ledger.commits(units):
        about = commit.statistics
        yield Trial(
            int(commit.unit),
            _proposal(ledger, commit.unit),
            str(about["state"]),
            int(about.get("steps", 0)),
            float(about.get("seconds", 0)),
            {str(name): float(value) for name, value in about.get("metrics", {}).items()},
        )


def ended_since(ledger: Ledger, trials: Sequence[Trial]) -> list[Trial]:
    """Trials that the ledger knows to have ended or failed, and the table of `trials` does not."""
    ended = {trial.number for trial in trials if trial.state != FAILED}
    late = list(committed(ledger, {each for each in ledger.done() if int(each) not in ended}))
    known = {trial.number for trial in [*trials, *late]}
    for failure in ledger.failures():
        if (number := int(failure.unit)) not in known:
            late.append(Trial(number, _proposal(ledger, failure.unit), FAILED, error=failure.error))
    return late


def _proposal(ledger: Ledger, name: str) -> Proposal:
    found = read_proposal(ledger.folder, int(name))
    if found is None:
        raise FileNotFoundError(ledger.folder.path_of(_point_file(int(name))))
    return found


def plain_values(values: Mapping[str, Any]) -> dict[str, Value]:
    """Values of keys as they are shown and told again; what is none is left out."""
    plain = (int, float, str, bool)
    return {str(k): v if isinstance(v, plain) else str(v) for k, v in values.items() if v is not None}


def publish_best(folder: Folder, trial: Trial, design: Design, config: Any) -> None:
    """`config`: of the training that does again what the best trial did."""
    goals = ", ".join(f"{name} {trial.metrics[name]:.6g}" for name in design.goals)
    head = f"# Trial {trial.number} of {design.trials}: {goals}. `invertone train` takes this file as it is.\n"
    folder.publish_bytes(BEST, (head + as_yaml(config)).encode())
