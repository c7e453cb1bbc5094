"""Which clips of an inference run are shown: the best, the median, the worst, and some by chance. Constant memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from invertone.audio.windows import uniform_hash

ROLES = ("median", "worst", "best", "by chance")
"""In the order in which clips are dealt to them: one clip is a median one, two are a median and the worst."""
SHOWN_ORDER = ("best", "median", "worst", "by chance")


@dataclass(frozen=True, order=True)
class Candidate:
    """A row that could be shown: its error, its key, and the number of the Parquet part that holds it."""

    error: float
    key: str
    part: int


@dataclass(frozen=True)
class Scored:
    """Some rows of a part: their keys and errors, all finite."""

    keys: Sequence[str]
    errors: npt.NDArray[np.float64]
    part: int


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

    def __post_init__(self) -> None:
        self.of = {role: Pool(self.most) for role in ROLES}

    def offer(self, rows: Scored) -> None:
        if not rows.keys:
            return
        self.of["best"].offer(rows.errors, rows)
        self.of["worst"].offer(-rows.errors, rows)
        self.of["median"].offer(np.abs(rows.errors - self.median), rows)
        dice = [float(uniform_hash(f"{self.seed}\0{key}")) for key in rows.keys]
        self.of["by chance"].offer(np.array(dice), rows)


def shares(count: int) -> dict[str, int]:
    """How many of `count` clips each role gets."""
    return {role: count // len(ROLES) + (at < count % len(ROLES)) for at, role in enumerate(ROLES)}


def chosen(pools: Pools, count: int) -> list[tuple[str, Candidate]]:
    """At most `count` different clips with their roles: best to worst, then those by chance, by error.

    A clip that two roles want is shown once, and the second role takes its next one.
    """
    taken: dict[str, tuple[str, Candidate]] = {}
    for role, share in shares(count).items():
        fresh = [each for _, each in pools.of[role].ordered if each.key not in taken]
        taken |= {each.key: (role, each) for each in fresh[:share]}
    return sorted(taken.values(), key=lambda each: (SHOWN_ORDER.index(each[0]), each[1]))
