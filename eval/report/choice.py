"""Which clips of an inference run are shown: the best, the median, the worst, and some by chance. Constant memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from audio.windows import uniform_hash

ROLES = ("median", "worst", "best", "by chance")
"""In the order in which clips are dealt to them: one clip is a median one, two are a median and the worst."""


@dataclass(frozen=True, order=True)
class Candidate:
    """A row that could be shown: its error, its key, and the number of the Parquet part that holds it."""

    error: float
    key: str
    part: int


@dataclass
class Pool:
    """The `most` candidates that come first by some order, of any number that are offered."""

    most: int
    ordered: list[tuple[float, Candidate]] = field(default_factory=list)

    def offer(self, ranked: Iterable[tuple[float, Candidate]]) -> None:
        """Pairs (rank, candidate): small ranks come first, equal ones by error and key."""
        self.ordered = sorted([*self.ordered, *ranked])[: self.most]


@dataclass
class Extremes:
    """Pools for all roles but the median, which must be known first. Their result depends on no order of rows."""

    most: int
    seed: int
    best: Pool = field(init=False)
    worst: Pool = field(init=False)
    chance: Pool = field(init=False)

    def __post_init__(self) -> None:
        self.best, self.worst, self.chance = Pool(self.most), Pool(self.most), Pool(self.most)

    def offer(self, candidates: Sequence[Candidate]) -> None:
        self.best.offer((each.error, each) for each in candidates)
        self.worst.offer((-each.error, each) for each in candidates)
        self.chance.offer((float(uniform_hash(f"{self.seed}\0{each.key}")), each) for each in candidates)


def shares(count: int) -> dict[str, int]:
    """How many of `count` clips each role gets."""
    return {role: count // len(ROLES) + (at < count % len(ROLES)) for at, role in enumerate(ROLES)}


def chosen(extremes: Extremes, median: Pool, count: int) -> list[tuple[str, Candidate]]:
    """At most `count` different clips with their roles: best to worst, then those by chance, by error.

    A clip that two roles want is shown once, and the second role takes its next one.
    """
    pools = {"median": median, "worst": extremes.worst, "best": extremes.best, "by chance": extremes.chance}
    taken: dict[str, tuple[str, Candidate]] = {}
    for role, share in shares(count).items():
        fresh = [each for _, each in pools[role].ordered if each.key not in taken]
        taken |= {each.key: (role, each) for each in fresh[:share]}
    order = ("best", "median", "worst", "by chance")
    return sorted(taken.values(), key=lambda each: (order.index(each[0]), each[1]))
