"""What a unit of generated clips is: consecutive numbers, each of which decides a clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from invertone.cluster.formats.ledger import Unit
from invertone.infer.generate.config import GenerateConfig


@dataclass(frozen=True)
class Numbers:
    """`count` consecutive numbers from `first` on, under a name."""

    name: str
    first: int
    count: int

    @property
    def all(self) -> Sequence[int]:
        return range(self.first, self.first + self.count)


def counted(config: GenerateConfig) -> int:
    """How many clips are made."""
    return min(config.count, config.limit) if config.limit else config.count


def numbered_units(stem: str, count: int, size: int) -> list[Unit]:
    """Units of `size` numbers each, 0 … count - 1 together."""
    works = [
        Numbers(f"{stem}-{number:06d}", first, min(size, count - first))
        for number, first in enumerate(range(0, count, size))
    ]
    return [Unit(work.name, asdict(work), items=work.count) for work in works]
