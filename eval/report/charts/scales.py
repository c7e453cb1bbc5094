"""Axes: from values to places, with ticks that are read easily; numbers as a page writes them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from invertone.eval.figures import Number
from invertone.eval.report.charts.elements import GREATEST, LETTER, NAME_HEIGHT, SMALLEST, element


@dataclass(frozen=True)
class Scale:
    """Values from `low` to `high` along `start` to `end` of the drawing, with round ticks.

    log: even steps are even ratios. names: of values that are none; a name's number is its value.
    """

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]
    step: float
    log: bool = False
    names: tuple[str, ...] = ()

    def at(self, value: float) -> float:
        if self.log:
            return self.start + math.log(value / self.low) / math.log(self.high / self.low) * (self.end - self.start)
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def text(self, value: float) -> str:
        """A tick's label, with as many digits as tell it from its neighbours."""
        if self.names:
            return self.names[round(value)]
        if self.log:  # no digit but one matters
            if 1e-3 <= value < 1e5:
                return f"{value:,g}"
            digit, _, power = f"{value:.0e}".partition("e")
            return f"{digit}e{int(power)}".replace("-", "\N{MINUS SIGN}")
        greatest = max(abs(self.low), abs(self.high))
        if 1e-4 <= greatest < 1e6:
            decimals = max(0, -math.floor(math.log10(self.step) + 1e-9))
            return f"{value:,.{decimals}f}".replace("-", "\N{MINUS SIGN}")
        if abs(value) < self.step / 2:
            return "0"
        digits = max(1, math.ceil(math.log10(greatest / self.step) + 1e-9) + 1)
        return f"{value:.{digits}g}".replace("e+", "e").replace("-", "\N{MINUS SIGN}")


def scale(values: Iterable[float], start: float, end: float, ticks: int = 5, tight: bool = False) -> Scale:
    """A scale that holds all `values`. Its ends are ticks, unless it is `tight`: then it ends where the values do."""
    found = [value for value in values if is_known(value)] or [0.0, 1.0]
    low, high = min(found), max(found)
    if not high - low > max(SMALLEST, 1e-12 * max(abs(low), abs(high))):
        margin = abs(low) / 2 if abs(low) > SMALLEST else 0.5
        low, high = low - margin, high + margin
    step = round_step((high - low) / ticks)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    marks = tuple(number * step for number in range(first, last + 1))
    if tight:
        marks = tuple(mark for mark in marks if low - step * 1e-6 <= mark <= high + step * 1e-6)
        return Scale(low, high, start, end, marks, step)
    return Scale(marks[0], marks[-1], start, end, marks, step)


def log_scale(values: Iterable[float], start: float, end: float) -> Scale:
    """A logarithmic scale that holds all `values`, which are above 0. Its ends are ticks: decades, if few 1, 2, 5 of each."""
    found = [value for value in values if is_known(value) and value > SMALLEST] or [1.0, 10.0]
    low, high = min(found) * (1 + 1e-9), max(found) * (1 - 1e-9)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    fine = [factor * 10.0**power for power in range(first - 1, last + 1) for factor in (1, 2, 5)]
    ends = (
        max(mark for mark in fine if mark <= low * (1 + 1e-9)),
        min(mark for mark in fine if mark >= high * (1 - 1e-9)),
    )
    if ends[0] == ends[1]:  # all are the same round value
        ends = ends[0] / 2, ends[1] * 2
    decades = [10.0**power for power in range(first, last + 1) if ends[0] <= 10.0**power <= ends[1]]
    marks = (
        decades[:: math.ceil(len(decades) / 6)] if len(decades) > 2 else [m for m in fine if ends[0] <= m <= ends[1]]
    )
    return Scale(*ends, start, end, tuple(marks), 1.0, log=True)


def name_scale(names: Sequence[str], start: float, end: float) -> Scale:
    """Names at equal distances, shortened where they would touch."""
    count = len(names) or 1
    most = max(3, int(abs(end - start) / count / LETTER) - 2)
    shown = tuple(name if len(name) <= most else f"{name[: most - 1]}…" for name in names)
    return Scale(-0.5, count - 0.5, start, end, tuple(map(float, range(len(names)))), 1.0, names=shown)


def round_step(least: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is not below `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next((factor * power for factor in (1, 2, 5) if factor * power >= least * (1 - 1e-9)), 10 * power)


def number(value: Number | None) -> str:
    """A number for people: four digits that matter."""
    if value is None or not math.isfinite(value):
        return "–"
    if float(value).is_integer() and abs(value) < 1e9:
        return f"{int(value):,}".replace("-", "\N{MINUS SIGN}")
    return f"{value:,.4g}".replace("-", "\N{MINUS SIGN}")


ACRONYMS = ("mae", "mse", "ssim", "stft", "fid", "is", "gp", "rms", "lr")


def titled(name: str) -> str:
    """A column's or metric's name for people: `stft_distance` is an STFT distance."""
    words = [word.upper() if word in ACRONYMS else word for word in name.split("_") if word]
    text = " ".join(words)
    return text[:1].upper() + text[1:]


def is_known(value: Number | None) -> bool:
    """Whether there is something to draw: a loss of 1e200 says as little as an infinite one."""
    return value is not None and math.isfinite(value) and abs(value) <= GREATEST


def placed(names: Mapping[str, tuple[float, float]]) -> list[Markup]:
    """Names where they belong, moved down where they would cover one that stands already."""
    boxes: list[tuple[float, float, float]] = []
    drawn = []
    for name, (x, y) in names.items():
        half = len(name) * LETTER / 2
        while any(abs(x - a) < half + other and abs(y - b) < NAME_HEIGHT for a, b, other in boxes):
            y += NAME_HEIGHT / 2
        boxes.append((x, y, half))
        drawn.append(element("text", name, x=x, y=y + 4, class_="here", text_anchor="middle"))
    return drawn
