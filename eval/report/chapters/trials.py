"""What came of a sweep so far, as far as it can be read: its table of trials, and those that ended since it was written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from invertone.cluster.errors import UserError
from invertone.cluster.formats.ledger import Ledger
from invertone.cluster.formats.sweeps import TRIALS, Design, Trial, ended_since, marked
from invertone.cluster.formats.trials_table import read_trials
from invertone.cluster.storage.folder import Folder
from invertone.eval.report.charts.trials import is_number, named

RANGES = ("uniform", "loguniform", "integer")
MOST_ERROR = 300
DAMAGED = (UserError, OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException)
"""What reading raises for files that no sweep of ours has written, or not whole."""


@dataclass(frozen=True)
class Results:
    """design: goals, space and the like. planned: how many trials there will be. problems: what cannot be read."""

    design: Design
    trials: Sequence[Trial]
    planned: int
    problems: Sequence[str]

    @property
    def keys(self) -> list[str]:
        """What was searched, in the order of the space."""
        listed = [key for name, entry in self.design.space.items() for key in _keys(name, entry)]
        tried = {key: None for trial in self.trials for key in trial.values}
        return [key for key in dict.fromkeys([*listed, *tried]) if key in tried]

    def search_of(self, key: str) -> tuple[str, list[Any]]:
        """How a key was searched (uniform, choice, simplex …), and its ends or choices."""
        for name, entry in self.design.space.items():
            if key not in _keys(name, entry):
                continue
            if "simplex" in entry:
                return "simplex", [0.0, entry.get("total", 1.0)]
            for kind, given in entry.items():
                if kind in (*RANGES, "choice") and isinstance(given, list):
                    return kind, given
        return "", []

    def names_of(self, key: str) -> list[str]:
        """The choices of a key, in their order; the values that there are, where some are words; none of a number's."""
        kind, given = self.search_of(key)
        tried = [trial.values[key] for trial in self.trials if key in trial.values]
        if kind == "choice":
            return list(dict.fromkeys([*map(named, given), *map(named, tried)]))
        return [] if all(map(is_number, tried)) else list(dict.fromkeys(map(named, tried)))


def results_of(folder: Folder, config: Any) -> Results:
    """config: of the sweep's run.json, whatever stands there; what the table says of itself counts for more."""
    trials, about, problems = _table(folder)
    late, planned, said = _ledger(folder, trials)
    design = Design.readable({**(config if isinstance(config, dict) else {}), **about})
    replaced = {trial.number for trial in late}
    trials = sorted([t for t in trials if t.number not in replaced] + late, key=lambda trial: trial.number)
    if late and design.goals:
        trials = marked(trials, design.goals)
    planned = max(planned, Design.readable(about).trials, len(trials))
    return Results(design, trials, planned, [*problems, *said])


def _table(folder: Folder) -> tuple[list[Trial], Mapping[str, Any], list[str]]:
    """Trials, what the table says of the sweep, and what is wrong with it."""
    try:
        return *read_trials(folder), []
    except (FileNotFoundError, NotADirectoryError):
        return [], {}, []
    except DAMAGED as error:
        return [], {}, [f"{folder.path_of(TRIALS)} cannot be read: {one_line(error)}"]


def _ledger(folder: Folder, trials: Sequence[Trial]) -> tuple[list[Trial], int, list[str]]:
    """Trials that the table does not know, how many are planned, and what is wrong with the ledger."""
    try:
        ledger = Ledger(folder)
        late = ended_since(ledger, trials)
        return late, Design.readable({"trials": (ledger.plan() or {}).get("units")}).trials, []
    except DAMAGED as error:
        return [], 0, [f"the ledger cannot be read: {one_line(error)}"]


def _keys(name: str, entry: Any) -> list[str]:
    """The training's keys that an entry of the space varies."""
    if not isinstance(entry, dict):
        return []
    simplex = entry.get("simplex")
    return [str(key) for key in simplex] if isinstance(simplex, list) else [name]


def one_line(error: object) -> str:
    """What is wrong, short."""
    text = " ".join(str(error).split())
    return text if len(text) <= MOST_ERROR else f"{text[:MOST_ERROR]} …"
