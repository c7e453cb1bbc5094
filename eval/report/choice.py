"""Which clips of an inference run are shown: the best, the median, the worst, and some by chance, labels in turn. Memory grows
with the number of labels, not of clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from invertone.audio.windows import uniform_hash

CHANCE = "by chance"
ROLES = ("median", "worst", "best", CHANCE)
"""In the order in which clips are dealt to them: one clip is a median one, two are a median and the worst."""
SHOWN_ORDER = ("best", "median", "worst", CHANCE)


@dataclass(frozen=True, order=True)
class Candidate:
    """A row that could be shown: its error, its key, and the number of the Parquet part that holds it."""

    error: float
    key: str
    part: int


@dataclass(frozen=True)
class Scored:
    """Some rows of a part: their keys and errors, all finite, and their labels (none: all alike)."""

    keys: Sequence[str]
    errors: npt.NDArray[np.float64]
    part: int
    labels: Sequence[str] = ()

    def of_label(self, label: str) -> Scored:
        at = [number for number, each in enumerate(self.labels) if each == label]
        return Scored([self.keys[number] for number in at], self.errors[at], self.part)


@dataclass
class Pool:
    """The `most` candidates of smallest rank, of any number that are offered; equal ranks by error and key."""

    most: int
    ordered: list[tuple[float, Candidate]] = field(default_factory=list)

    def offer(self, ranks: npt.NDArray[np.float64], rows: Scored) -> None:
        first = np.lexsort((np.array(rows.keys, dtype=str), rows.errors, ranks))[: self.most].tolist()
        fresh = [(float(ranks[i]), Candidate(float(rows.errors[i]), rows.keys[i], rows.part)) for i in first]
        self.ordered = sorted([*self.ordered, *fresh])[: self.most]


@dataclass
class Pools:
    """A pool for each role. The median must be known before the first row is offered."""

    most: int
    seed: int
    median: float
    of: dict[str, Pool] = field(init=False)
    by_label: dict[str, Pool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.of = {role: Pool(self.most) for role in ROLES if role != CHANCE}

    def offer(self, rows: Scored) -> None:
        if not rows.keys:
            return
        self.of["best"].offer(rows.errors, rows)
        self.of["worst"].offer(-rows.errors, rows)
        self.of["median"].offer(np.abs(rows.errors - self.median), rows)
        for label in dict.fromkeys(rows.labels or [""]):
            own = rows.of_label(label) if rows.labels else rows
            dice = [float(uniform_hash(f"{self.seed}\0{key}")) for key in own.keys]
            self.by_label.setdefault(label, Pool(self.most)).offer(np.array(dice), own)

    def ordered(self, role: str) -> list[Candidate]:
        """The candidates of a role, the first of them most wanted. By chance: one of every label, then the next of each."""
        if role != CHANCE:
            return [each for _, each in self.of[role].ordered]
        dealt = [
            (turn, dice, each) for pool in self.by_label.values() for turn, (dice, each) in enumerate(pool.ordered)
        ]
        return [each for _, _, each in sorted(dealt)]


def shares(count: int) -> dict[str, int]:
    """How many of `count` clips each role gets."""
    return {role: count // len(ROLES) + (at < count % len(ROLES)) for at, role in enumerate(ROLES)}


def chosen(pools: Pools, count: int) -> list[tuple[str, Candidate]]:
    """At most `count` different clips with their roles: best to worst, then those by chance, by error.

    A clip that two roles want is shown once, and the second role takes its next one.
    """
    taken: dict[str, tuple[str, Candidate]] = {}
    for role, share in shares(count).items():
        fresh = [each for each in pools.ordered(role) if each.key not in taken]
        taken |= {each.key: (role, each) for each in fresh[:share]}
    return sorted(taken.values(), key=lambda each: (SHOWN_ORDER.index(each[0]), each[1]))
