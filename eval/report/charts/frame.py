"""The frame that every chart stands in: axes, ticks, titles, legend."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from markupsafe import Markup

from invertone.eval.report.charts.elements import BOTTOM, COLOURS, DASHES, HEIGHT, LETTER, TOP, WIDTH, Key, element
from invertone.eval.report.charts.scales import Scale


def framed(
    title: str,
    said: str,
    drawn: Sequence[Markup],
    x: Scale,
    y: Scale,
    x_title: str,
    y_title: str,
    height: float = HEIGHT,
) -> Markup:
    """Axes with ticks and titles around what is drawn; `said` describes it to those who do not see it."""
    base = height - BOTTOM
    parts = [element("title", title), element("desc", said or "nothing to draw")]
    for tick in y.ticks:
        parts.append(element("line", x1=x.start, x2=x.end, y1=y.at(tick), y2=y.at(tick), class_="rule"))
        parts.append(element("text", y.text(tick), x=x.start - 6, y=y.at(tick) + 3.5, text_anchor="end"))
    for tick in apart(x):
        place = x.at(tick)
        parts.append(element("line", x1=place, x2=place, y1=base, y2=base + 4, class_="axis"))
        half = len(x.text(tick)) * LETTER / 2
        anchor = "end" if place + half > WIDTH else "middle"
        parts.append(
            element("text", x.text(tick), x=min(place, WIDTH) if anchor == "middle" else WIDTH, y=base + 15, text_anchor=anchor)
        )  # fmt: skip
    parts.append(element("line", x1=x.start, x2=x.end, y1=base, y2=base, class_="axis"))
    parts.append(element("text", y_title, x=0, y=11, class_="title") if y_title else Markup(""))
    parts.append(element("text", x_title, x=x.end, y=height - 5, class_="title", text_anchor="end"))
    above = 0 if y_title else TOP - 8
    return element(
        "svg", *parts, *drawn, viewBox=f"0 {above:g} {WIDTH:g} {height - above:g}", role="img", class_="chart"
    )


def left_of(y: Scale) -> float:
    """Where the field begins: right of the longest label."""
    return 10 + LETTER * max(len(y.text(tick)) for tick in y.ticks)


def apart(x: Scale) -> list[float]:
    """The ticks whose labels do not touch: every one, every second, …"""
    if len(x.ticks) < 2:
        return list(x.ticks)
    widest = max(len(x.text(tick)) for tick in x.ticks) * LETTER + 12
    between = min(abs(x.at(b) - x.at(a)) for a, b in itertools.pairwise(x.ticks))
    return list(x.ticks[:: max(1, math.ceil(widest / between))])


def legend(names: Sequence[str], dots: bool = False) -> tuple[Key, ...]:
    return tuple(Key(name, at, dots) for at, name in enumerate(names)) if len(names) > 1 else ()


def series_class(series: int) -> str:
    return f"s{series % COLOURS} d{series % DASHES}"
