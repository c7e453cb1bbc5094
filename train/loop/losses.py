"""Losses as the loop keeps them: on the device until somebody must know them, so that no update waits for the host."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from invertone.train.loop import reduce

READ_AT_MOST = 1_000
"""Updates after which losses are read though nobody asks: a run that diverged does not go on for hours."""


class NonFiniteLossError(Exception):
    """A loss term or a weight became NaN or infinite; no checkpoint was written since."""


@dataclass(frozen=True)
class _Update:
    """values [k]: of the terms `names`, on the device, of this rank."""

    step: int
    phase: str
    names: tuple[str, ...]
    values: Float[Tensor, " k"]


class Losses:
    """The terms of every update since the last line of metrics. `read` is the only place where the host waits."""

    def __init__(self) -> None:
        self._unread: list[_Update] = []
        self._total: dict[str, float] = {}
        self._count: dict[str, int] = {}

    @property
    def due(self) -> bool:
        """Whether they must be read, though nobody asks. The same on every rank."""
        return len(self._unread) >= READ_AT_MOST

    def add(self, step: int, phase: str, terms: Mapping[str, Tensor]) -> None:
        """The scalar terms of one update of `phase`, as this rank has them."""
        values = torch.stack([term.detach().double() for term in terms.values()])
        self._unread.append(_Update(step, phase, tuple(terms), values))

    def read(self) -> None:
        """Takes their means over ranks, in one message for all updates since the last time. Raises NonFiniteLossError on every
        rank alike, naming the first that is not finite."""
        updates, self._unread = self._unread, []
        if not updates:
            return
        values = iter(reduce.mean(torch.cat([each.values for each in updates])).tolist())
        for update in updates:
            for term in update.names:
                name, value = f"{update.phase}/{term}", next(values)
                if not math.isfinite(value):
                    raise NonFiniteLossError(f"loss term {name} became {value} at step {update.step}")
                self._total[name] = self._total.get(name, 0.0) + value
                self._count[name] = self._count.get(name, 0) + 1

    def take(self) -> dict[str, float]:
        """Means since they were last taken, by `phase/term`. Raises as `read` does."""
        self.read()
        means = {name: value / self._count[name] for name, value in self._total.items()}
        self._total, self._count = {}, {}
        return means
