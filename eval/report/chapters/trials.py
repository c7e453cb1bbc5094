"""What a sweep has left: its trials, its goals and its space, from its table and its ledger."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from invertone.cluster.errors import UserError
from invertone.cluster.formats.latents import METADATA_KEY
from invertone.cluster.formats.ledger import FAILED, Ledger
from invertone.cluster.formats.sweeps import (
    DONE,
    FIXED,
    METRIC,
    TRIALS,
    front_of,
    point_file,
    signed,
)
from invertone.cluster.storage.folder import Folder
from invertone.cluster.storage.parquet import read_parquet
from invertone.eval.report.charts.trials import Value

MOST_ERROR = 300
"""Characters of an error that are shown."""


@dataclass(frozen=True)
class Trial:
    """A row of the table of trials. values: of the keys that were searched; metrics: of the validation that counts."""

    number: int
    state: str
    best: bool = False
    on_front: bool = False
    steps: int = 0
    seconds: float = 0.0
    error: str = ""
    values: Mapping[str, Value] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Sweep:
    """goals: max or min by metric; space: as a config describes it; planned: how many trials there will be."""

    trials: Sequence[Trial]
    goals: Mapping[str, str]
    space: Mapping[str, Any]
    about: Mapping[str, Any]
    planned: int

    @property
    def keys(self) -> list[str]:
        """What was searched, in the order of the space."""
        listed = [key for name, entry in self.space.items() for key in keys(name, entry)]
        found = [key for trial in self.trials for key in trial.values]
        return [key for key in dict.fromkeys([*listed, *found]) if any(key in trial.values for trial in self.trials)]

    def goal(self, trial: Trial, name: str) -> float | None:
        value = trial.metrics.get(name)
        return value if value is not None and math.isfinite(value) else None

    def judged(self) -> list[Trial]:
        """Trials that have every goal: the best, those that are not beaten, those that went to the end, by the first goal."""
        first, way = next(iter(self.goals.items()))
        able = [trial for trial in self.trials if all(self.goal(trial, name) is not None for name in self.goals)]
        sign = -1.0 if way == "max" else 1.0
        return sorted(
            (trial for trial in able if trial.state != FAILED),
            key=lambda t: (not t.best, not t.on_front, t.state != DONE, sign * t.metrics[first], t.number),
        )


def read(folder: Folder, record: Mapping[str, Any]) -> tuple[Sweep, list[str]]:
    """The table of trials, those that ended since it was written, and what cannot be read."""
    trials, about, problems = _table(folder)
    given = record.get("config")
    config = {**(given if isinstance(given, dict) else {}), **about}
    try:
        late, planned = _late(folder, trials)
    except (UserError, OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException) as error:
        late, planned = [], 0
        problems.append(f"the ledger cannot be read: {line(error)}")
    goals = config.get("goals")
    goals = {str(k): v for k, v in goals.items() if v in ("max", "min")} if isinstance(goals, dict) else {}
    space = config.get("space")
    space = {str(name): entry for name, entry in space.items()} if isinstance(space, dict) else {}
    replaced = {trial.number for trial in late}
    trials = sorted([t for t in trials if t.number not in replaced] + late, key=lambda trial: trial.number)
    if late and goals:
        trials = _marked(trials, goals)
    return Sweep(trials, goals, space, config, max(planned, _whole(about.get("trials")), len(trials))), problems


def _table(folder: Folder) -> tuple[list[Trial], dict[str, Any], list[str]]:
    try:
        table = read_parquet(folder.read_bytes(TRIALS))
        about = json.loads((table.schema.metadata or {}).get(METADATA_KEY, b"{}"))
        about = about if isinstance(about, dict) else {}
        keys = [name for name in table.column_names if name not in FIXED and not name.startswith(METRIC)]
        metrics = [name for name in table.column_names if name.startswith(METRIC)]
        return [_row(row, keys, metrics) for row in table.to_pylist()], about, []
    except (FileNotFoundError, NotADirectoryError):
        return [], {}, []
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        return [], {}, [f"{folder.path_of(TRIALS)} cannot be read: {line(error)}"]


def _row(row: Mapping[str, Any], keys: Sequence[str], metrics: Sequence[str]) -> Trial:
    return Trial(
        number=int(row["trial"]),
        state=str(row["state"]),
        best=bool(row.get("best")),
        on_front=bool(row.get("on_front")),
        steps=int(row.get("steps") or 0),
        seconds=float(row.get("seconds") or 0.0),
        error=str(row.get("error") or ""),
        values={key: _plain(row[key]) for key in keys if row[key] is not None},
        metrics={name.removeprefix(METRIC): float(row[name]) for name in metrics if row[name] is not None},
    )


def _late(folder: Folder, trials: Sequence[Trial]) -> tuple[list[Trial], int]:
    """Trials that the ledger knows and the table does not, and how many are planned."""
    ledger = Ledger(folder)
    known = {trial.number for trial in trials if trial.state != FAILED}
    late = []
    for commit in ledger.commits({unit for unit in ledger.done() if int(unit) not in known}):
        number, about = int(commit.unit), commit.statistics
        metrics = {str(name): float(value) for name, value in about.get("metrics", {}).items()}
        late.append(
            Trial(
                number, str(about["state"]), steps=int(about.get("steps", 0)), seconds=float(about.get("seconds", 0)),
                values=_asked(folder, commit.unit), metrics=metrics,
            )
        )  # fmt: skip
    heard = {trial.number for trial in [*trials, *late]}
    for failure in ledger.failures():
        if int(failure.unit) not in heard:
            late.append(Trial(int(failure.unit), FAILED, error=failure.error, values=_asked(folder, failure.unit)))
    return late, _whole((ledger.plan() or {}).get("units"))


def _asked(folder: Folder, unit: str) -> dict[str, Value]:
    """What a trial tried."""
    values = folder.read_json(point_file(int(unit)))["values"]
    return {str(key): _plain(value) for key, value in values.items() if value is not None}


def _marked(trials: Sequence[Trial], goals: Mapping[str, str]) -> list[Trial]:
    """The best and the front anew, as a sweep decides them: among those that went to the end, where there are any."""
    able = {each.number: (each.state, signed(each.metrics, goals)) for each in trials if each.state != FAILED}
    front = front_of(able)
    return [dataclasses.replace(t, best=t.number in front[:1], on_front=t.number in front) for t in trials]


def keys(name: str, entry: Any) -> list[str]:
    if not isinstance(entry, dict):
        return []
    simplex = entry.get("simplex")
    return [str(key) for key in simplex] if isinstance(simplex, list) else [name]


def _plain(value: Any) -> Value:
    return value if isinstance(value, (int, float, str, bool)) else str(value)


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def line(error: object) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= MOST_ERROR else f"{text[:MOST_ERROR]} …"
