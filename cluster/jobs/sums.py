"""Statistics that merge: an evaluation of any number of units is a sum of small dictionaries."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any


class Sum:
    """Statistics added up field by field: numbers, lists and nested groups.

    Floating-point sums are exact until they are read (Shewchuk 1997, as in `math.fsum`), so that they depend neither
    on the order of the units nor on how many there are.
    """

    def __init__(self) -> None:
        self._total: Any = None

    def add(self, part: Mapping[str, Any]) -> None:
        self._total = _added(self._total, part)

    @property
    def value(self) -> dict[str, Any]:
        return _read_out(self._total) if self._total is not None else {}


def merge(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The sum of statistics, whatever their order."""
    total = Sum()
    for part in parts:
        total.add(part)
    return total.value


class _Exact:
    """Non-overlapping partial sums of the floats added so far."""

    def __init__(self) -> None:
        self.partials: list[float] = []

    def add(self, value: float) -> None:
        kept = 0
        for partial in self.partials:
            if abs(value) < abs(partial):
                value, partial = partial, value
            high = value + partial
            low = partial - (high - value)
            if low:
                self.partials[kept] = low
                kept += 1
            value = high
        self.partials[kept:] = [value]


def _added(total: Any, part: Any) -> Any:
    """`part` added into `total`, which is None at first; `total` is changed, `part` is not."""
    if isinstance(part, Mapping):
        total = {} if total is None else total
        for name, value in part.items():
            total[name] = _added(total.get(name), value)
        return total
    if isinstance(part, (list, tuple)):
        before = [None] * len(part) if total is None else total
        return [_added(a, b) for a, b in zip(before, part, strict=True)]
    if isinstance(part, float) and math.isfinite(part):
        if not isinstance(total, _Exact):
            carried, total = total, _Exact()
            if carried is not None:
                total.add(float(carried))
        total.add(part)
        return total
    if isinstance(total, _Exact):
        total.add(float(part))
        return total
    return part if total is None else total + part


def _read_out(total: Any) -> Any:
    if isinstance(total, dict):
        return {name: _read_out(value) for name, value in total.items()}
    if isinstance(total, list):
        return [_read_out(value) for value in total]
    return math.fsum(total.partials) if isinstance(total, _Exact) else total
