"""A sweep's own files, and the rule that says which of its trials are the best.

    points/000007.json    what trial 7 tries, written before it starts: {"values": {key: value}, …}
    trials/000007/        its training, a run folder like any other
    trials.parquet        one row per trial: FIXED columns, one per searched key, `metric.NAME` per metric
    best.yaml             the best trial's training config

Trials that ended are commits of the ledger, whose statistics are state, steps, seconds and metrics; those that failed are its
failures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

VERSION = 1
TRIALS, BEST, POINTS, RUNS = "trials.parquet", "best.yaml", "points", "trials"
DONE, STOPPED = "done", "stopped early"
METRIC = "metric."
"""What the names of metrics' columns begin with."""
FIXED = ("trial", "state", "best", "on_front", "steps", "seconds", "run", "error")


def unit_of(number: int) -> str:
    """The ledger's name of a trial."""
    return f"{number:06d}"


def point_file(number: int) -> str:
    """What trial `number` tries."""
    return f"{POINTS}/{unit_of(number)}.json"


def signed(metrics: Mapping[str, float], goals: Mapping[str, str]) -> tuple[float, ...]:
    """The values of the goals, larger being better; NaN for one that is missing. goals: max or min by metric."""
    return tuple((1.0 if way == "max" else -1.0) * float(metrics.get(name, math.nan)) for name, way in goals.items())


def front_of(ended: Mapping[int, tuple[str, tuple[float, ...]]]) -> list[int]:
    """The trials that no other beats in every goal, by number; the best of the first goal comes first, ties by number.

    ended: of each trial that did not fail its state and signed goals. Those without every goal do not count; those that were
    stopped early count only where none went to the end.
    """
    judged = {at: goals for at, (_, goals) in ended.items() if all(map(math.isfinite, goals))}
    judged = {at: goals for at, goals in judged.items() if ended[at][0] == DONE} or judged
    different = set(judged.values())
    front = [
        at
        for at, goals in judged.items()
        if not any(other != goals and all(b >= a for a, b in zip(goals, other, strict=True)) for other in different)
    ]
    return sorted(front, key=lambda at: ([-goal for goal in judged[at]], at))
