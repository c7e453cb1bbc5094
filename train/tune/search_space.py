"""What a sweep varies: a space of training keys, every point of which is given by coordinates between 0 and 1.

Searches know coordinates only; what they mean (logarithms, whole numbers, weights that sum to one) is said here once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from invertone.cluster.errors import UserError
from invertone.cluster.formats.sweeps import Value

Point = Mapping[str, float]
"""Coordinates by name, each in [0, 1]."""
KINDS = ("uniform", "loguniform", "integer", "choice", "simplex")


@runtime_checkable
class Part(Protocol):
    """Some keys of the training. `coordinates` names the coordinates that decide them."""

    @property
    def keys(self) -> Sequence[str]: ...

    @property
    def coordinates(self) -> Sequence[str]: ...

    def values(self, point: Point) -> dict[str, Value]:
        """The keys' values at a point."""

    def grid(self, count: int) -> list[dict[str, Value]]:
        """Values spread evenly, `count` to an axis where there are so many."""


@dataclass(frozen=True)
class OneKey:
    """A key that one coordinate of the same name decides."""

    key: str

    @property
    def keys(self) -> Sequence[str]:
        return (self.key,)

    @property
    def coordinates(self) -> Sequence[str]:
        return (self.key,)


@dataclass(frozen=True)
class Range(OneKey):
    """A number: uniform, loguniform (uniform in its logarithm), or a whole number, both ends included."""

    kind: str
    low: float
    high: float

    def at(self, coordinate: float) -> float | int:
        if self.kind == "integer":
            return min(int(self.high), int(self.low) + math.floor(coordinate * (self.high - self.low + 1)))
        if self.kind == "loguniform":
            low, high = math.log(self.low), math.log(self.high)
            return min(max(math.exp(low + coordinate * (high - low)), self.low), self.high)
        return min(self.low + coordinate * (self.high - self.low), self.high)

    def values(self, point: Point) -> dict[str, Value]:
        return {self.key: self.at(point[self.key])}

    def grid(self, count: int) -> list[dict[str, Value]]:
        if self.kind != "integer":
            return [{self.key: self.at(number / (count - 1) if count > 1 else 0.5)} for number in range(count)]
        low, span = int(self.low), int(self.high - self.low)
        steps = min(count, span + 1)
        numbers = (
            [low + round(number * span / (steps - 1)) for number in range(steps)] if steps > 1 else [low + span // 2]
        )
        return [{self.key: number} for number in numbers]


@dataclass(frozen=True)
class Choice(OneKey):
    """One of several values, all alike."""

    among: tuple[Value, ...]

    def values(self, point: Point) -> dict[str, Value]:
        return {self.key: self.among[min(len(self.among) - 1, int(point[self.key] * len(self.among)))]}

    def grid(self, count: int) -> list[dict[str, Value]]:
        return [{self.key: value} for value in self.among]


@dataclass(frozen=True)
class Simplex:
    """Weights of at least `least` that sum to `total`, uniform over all such (Dirichlet with ones). Of two, the second is the
    total less the first: one line, whose `grid` points lie evenly from `least` to `total - least`.

    By breaking a stick: of what is left, the i-th of k weights takes a share that is Beta(1, k - i), whose quantile at u is
    1 - (1 - u)^(1/(k - i)). So each coordinate moves one weight against those after it.
    """

    name: str
    keys: tuple[str, ...]
    total: float
    least: float = 0.0

    @property
    def spread(self) -> float:
        """What is left to share out."""
        return self.total - len(self.keys) * self.least

    @property
    def coordinates(self) -> Sequence[str]:
        return tuple(f"{self.name}/{number}" for number in range(len(self.keys) - 1))

    def values(self, point: Point) -> dict[str, Value]:
        left, found = self.spread, dict[str, Value]()
        for number, name in enumerate(self.coordinates):
            share = 1 - (1 - point[name]) ** (1 / (len(self.keys) - 1 - number))
            found[self.keys[number]] = self.least + left * share
            left -= left * share
        return found | {self.keys[-1]: self.least + max(0.0, left)}

    def grid(self, count: int) -> list[dict[str, Value]]:
        steps = max(1, count - 1)
        found: list[dict[str, Value]] = []
        for cuts in itertools.combinations_with_replacement(range(steps + 1), len(self.keys) - 1):
            ends = (0, *cuts, steps)
            found.append(
                {
                    key: self.least + self.spread * (after - before) / steps
                    for key, (before, after) in zip(self.keys, itertools.pairwise(ends), strict=True)
                }
            )
        return found


@dataclass(frozen=True)
class Space:
    """All that is varied."""

    parts: tuple[Part, ...]

    @property
    def keys(self) -> list[str]:
        return [key for part in self.parts for key in part.keys]

    @property
    def coordinates(self) -> list[str]:
        return [name for part in self.parts for name in part.coordinates]

    def values(self, point: Point) -> dict[str, Value]:
        """The training's keys at a point."""
        return {key: value for part in self.parts for key, value in part.values(point).items()}

    def grid(self, count: int) -> Iterator[dict[str, Value]]:
        """Every combination of the parts' grids."""
        for chosen in itertools.product(*(part.grid(count) for part in self.parts)):
            yield {key: value for values in chosen for key, value in values.items()}


def parse(described: Mapping[str, Any]) -> Space:
    """The space that a config describes: {key: {uniform: [low, high]}, …, name: {simplex: [key, key], total: 1, least: 0}}.

    Raises UserError, naming the entry, for whatever is no such description.
    """
    if not described:
        raise UserError("space is empty", fix="write for example space: {learning_rate: {loguniform: [1e-4, 1e-2]}}")
    space = Space(tuple(_part(str(name), entry) for name, entry in described.items()))
    doubled = sorted({key for key in space.keys if space.keys.count(key) > 1})
    if doubled:
        raise UserError(f"space has {doubled[0]} twice", fix="vary each key once")
    return space


def _part(name: str, entry: Any) -> Part:
    kinds = [kind for kind in KINDS if isinstance(entry, Mapping) and kind in entry]
    if len(kinds) != 1 or set(entry) - {kinds[0], *(["total", "least"] if kinds[0] == "simplex" else [])}:
        raise UserError(f"space.{name} is {entry!r}", fix=f"write one of {', '.join(KINDS)}: [values]")
    kind, given = kinds[0], entry[kinds[0]]
    if not isinstance(given, (list, tuple)) or not given:
        raise UserError(f"space.{name}.{kind} is {given!r}", fix="write a list")
    if kind == "choice":
        if not all(isinstance(value, (str, int, float, bool)) for value in given):
            raise UserError(f"space.{name}.choice holds more than numbers and words", fix="list plain values")
        return Choice(name, tuple(given))
    if kind == "simplex":
        total = entry.get("total", 1.0)
        if len(given) < 2 or len(set(given)) < len(given) or not all(isinstance(key, str) for key in given):
            raise UserError(f"space.{name}.simplex is {given!r}", fix="name two or more different keys of the training")
        if not _is_number(total) or total <= 0:
            raise UserError(f"space.{name}.total is {total!r}", fix="give a number above 0")
        least = entry.get("least", 0.0)
        if not _is_number(least) or not 0 <= least * len(given) < total:
            raise UserError(
                f"space.{name}.least is {least!r}", fix="give a number of which all weights together leave some"
            )
        return Simplex(name, tuple(given), float(total), float(least))
    if len(given) != 2 or not all(_is_number(value) for value in given) or not given[0] < given[1]:
        raise UserError(f"space.{name}.{kind} is {given!r}", fix="write [lowest, highest]")
    low, high = given
    if kind == "loguniform" and low <= 0:
        raise UserError(f"space.{name}.loguniform begins at {low}", fix="begin above 0")
    if kind == "integer" and (low != int(low) or high != int(high)):
        raise UserError(f"space.{name}.integer is {given!r}", fix="write whole numbers")
    return Range(name, kind, float(low), float(high))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
