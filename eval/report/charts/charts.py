"""Small SVG charts. Colours are CSS variables of the page, so that they follow light and dark; every text is escaped.

All are drawn on a field 360 wide, which is about what a telephone shows, so that letters keep their size; a wide page sets
several beside each other. Series differ by colour and by dash or shape: nothing is told by colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from invertone.eval.figures import Counts, Histogram, Lines, Number, Scatter, Series
from invertone.eval.report.charts.elements import (
    BOTTOM,
    COLOURS,
    HEIGHT,
    RIGHT,
    TOP,
    WIDTH,
    Chart,
    Numbers,
    element,
    short,
)
from invertone.eval.report.charts.frame import framed, left_of, legend, series_class
from invertone.eval.report.charts.scales import Scale, is_known, number, placed, scale

MOST_NAMES = 24
MOST_MARKS = 600
"""Points up to which each has an element of its own, with its name; more are drawn as one path per group."""
MOST_POINTS = 240
"""Points of a line; a longer one is drawn as means of neighbours."""


@dataclass(frozen=True)
class Mark:
    """A vertical line at `x`, with its name."""

    x: float
    name: str


def lines(figure: Lines, marks: Sequence[Mark] = ()) -> Chart:
    """Curves. A long one is drawn as means of neighbours; its text alternative tells first, least, greatest and last."""
    series = [Series(each.name, *_thinned(each)) for each in figure.series]
    known = [float(value) for each in series for value in each.y if value is not None and is_known(value)]
    xs = [float(x) for each in series for x in each.x]
    y = scale(known, HEIGHT - BOTTOM, TOP)
    x = scale(xs, left_of(y), WIDTH - RIGHT, tight=True)
    drawn = [
        element("path", d=_path(each, x, y), class_=series_class(number_), fill="none", stroke_width="1.75")
        for number_, each in enumerate(series)
    ]
    drawn += [
        element("circle", cx=x.at(a), cy=y.at(b), r="2.4", class_=f"{series_class(n)} dot")
        for n, each in enumerate(series)
        if len(each.x) <= 24
        for a, b in zip(each.x, each.y, strict=True)
        if b is not None and is_known(b)
    ]
    drawn += [
        Markup("").join(
            (
                element("line", x1=x.at(m.x), x2=x.at(m.x), y1=TOP, y2=HEIGHT - BOTTOM, class_="mark"),
                element("text", m.name, x=x.at(m.x) + (4 if late else -4), y=TOP + 9, text_anchor="start" if late else "end"),
            )
        )
        for m in marks
        if x.low <= m.x <= x.high
        for late in [x.at(m.x) < (x.start + x.end) / 2]
    ]  # fmt: skip
    told = [(each.name, *map(number, _summary(each))) for each in figure.series]
    svg = framed(figure.title, _said(figure.series), drawn, x, y, figure.x_title, figure.y_title)
    return Chart(
        figure.title, svg, legend([s.name for s in series]), Numbers(("", "first", "least", "greatest", "last"), told),
        figure.note,
    )  # fmt: skip


def histogram(figure: Histogram) -> Chart:
    """Distributions as outlines, each as shares of its own total; its text alternative tells total, quartiles, 95 %."""
    series = [(each.name, [float(e) for e in each.edges], _shares(each)) for each in figure.series]
    y = scale([0.0, *(100 * share for _, _, shares in series for share in shares)], HEIGHT - BOTTOM, TOP)
    x = scale((edge for _, edges, _ in series for edge in edges), left_of(y), WIDTH - RIGHT, tight=True)
    drawn = []
    for at, (_, edges, shares) in enumerate(series):
        if not shares:
            continue
        steps = [(edges[0], 0.0)]
        for left, right, share in zip(edges, edges[1:], shares, strict=False):
            steps += [(left, 100 * share), (right, 100 * share)]
        steps.append((edges[-1], 0.0))
        outline = "M" + "L".join(f"{short(x.at(a))} {short(y.at(b))}" for a, b in steps)
        drawn.append(element("path", d=outline, class_=f"{series_class(at)} area", stroke_width="1.5"))
    told = [(each.name, number(sum(each.counts)), *map(number, _quantiles(each))) for each in figure.series]
    heads = ("", "values", "25 %", "median", "75 %", "95 %")
    said = "; ".join(f"{row[0]}: median {row[3]}, 95 % below {row[5]}" for row in told)
    svg = framed(figure.title, said, drawn, x, y, figure.x_title, "share, %")
    return Chart(figure.title, svg, legend([each.name for each in figure.series]), Numbers(heads, told), figure.note)


def scatter(figure: Scatter) -> Chart:
    """Points by group; a group's name stands at its middle, so that colours need not be told apart."""
    groups = _groups(figure)
    height = WIDTH
    y = scale(map(float, figure.y), height - BOTTOM, TOP)
    x = scale(map(float, figure.x), left_of(y), WIDTH - RIGHT)
    drawn = [_cloud(figure, members, at, x, y) for at, members in enumerate(groups.values())]
    if 1 < len(groups) <= MOST_NAMES:
        middles = {name: _middle(figure, members) for name, members in groups.items()}
        drawn += placed({name: (x.at(a), y.at(b)) for name, (a, b) in middles.items()})
    told = [
        (name or "all", number(len(members)), *map(number, _middle(figure, members)))
        for name, members in groups.items()
    ]
    said = f"{len(figure.x):,} points" + (f" in {len(groups)} groups: {', '.join(groups)}" if len(groups) > 1 else "")
    svg = framed(figure.title, said, drawn, x, y, figure.x_title, figure.y_title, height)
    return Chart(
        figure.title,
        svg,
        legend(list(groups), dots=True),
        Numbers(("group", "points", "median x", "median y"), told),
        figure.note,
    )


# ---------------------------------------------------------------------------------------------------- the frame


# --------------------------------------------------------------------------------------------------- the data


def _path(series: Series, x: Scale, y: Scale) -> str:
    """Lines from point to point; a value that is not known begins a new one."""
    written, up = [], True
    for a, b in zip(series.x, series.y, strict=True):
        if b is None or not is_known(b):
            up = True
            continue
        written.append(f"{'M' if up else 'L'}{short(x.at(a))} {short(y.at(b))}")
        up = False
    return "".join(written)


def _thinned(series: Series) -> tuple[list[float], list[float | None]]:
    """At most MOST_POINTS points, each the mean of its neighbours; a group without a known value stays a gap."""
    group = math.ceil(len(series.x) / MOST_POINTS) or 1
    xs, ys = [], []
    for first in range(0, len(series.x), group):
        part = [float(v) for v in series.y[first : first + group] if v is not None and is_known(v)]
        places = series.x[first : first + group]
        xs.append(sum(map(float, places)) / len(places))
        ys.append(sum(part) / len(part) if part else None)
    return xs, ys


def _summary(series: Series) -> tuple[Number | None, ...]:
    found = [value for value in series.y if value is not None and is_known(value)]
    return (found[0], min(found), max(found), found[-1]) if found else (None,) * 4


def _said(series: Sequence[Series]) -> str:
    told = ((each.name, _summary(each)) for each in series)
    return "; ".join(f"{name}: from {number(first)} to {number(last)}" for name, (first, _, _, last) in told)


def _shares(counts: Counts) -> list[float]:
    total = float(sum(counts.counts)) or 1.0
    return [float(count) / total for count in counts.counts]


def _quantiles(counts: Counts, at: Sequence[float] = (0.25, 0.5, 0.75, 0.95)) -> list[float | None]:
    """Quantiles as a histogram has them: linear inside a bin."""
    return [quantile(counts.edges, counts.counts, share) for share in at]


def quantile(edges: Sequence[Number], counts: Sequence[Number], share: float) -> float | None:
    """The value below which `share` of the counted values lie, taken as spread evenly inside each bin; None of none."""
    total, below = sum(counts), 0.0
    for left, right, count in zip(edges, edges[1:], counts, strict=False):
        if count and below + count >= share * total:
            return float(left + (right - left) * (share * total - below) / count)
        below += count
    return None


def _groups(figure: Scatter) -> dict[str, list[int]]:
    """Indices of points by group, groups in the figure's order, else in natural order."""
    groups: dict[str, list[int]] = {}
    for at in range(len(figure.x)):
        groups.setdefault(str(figure.group[at]) if len(figure.group) else "", []).append(at)
    place = {name: at for at, name in enumerate(figure.order)}
    return dict(sorted(groups.items(), key=lambda each: (place.get(each[0], len(place)), _natural(each[0]))))


def _natural(name: str) -> tuple[bool, int, str]:
    """Numbers by their value, before words."""
    return (False, int(name), "") if name.isdecimal() and len(name) < 10 else (True, 0, name)


def _cloud(figure: Scatter, members: Sequence[int], at: int, x: Scale, y: Scale) -> Markup:
    """The points of a group: round or square ones, each with its label if they are few, one path if they are many."""
    style = f"s{at % COLOURS} {'round' if at // COLOURS % 2 == 0 else 'square'} cloud"
    places = [(f"M{short(x.at(float(figure.x[i])))} {short(y.at(float(figure.y[i])))}h0", i) for i in members]
    if len(figure.x) > MOST_MARKS or not len(figure.label):
        return element("path", d="".join(place for place, _ in places), class_=style)
    named = [element("path", element("title", str(figure.label[i])), d=place) for place, i in places]
    return element("g", *named, class_=style)


def _middle(figure: Scatter, members: Sequence[int]) -> tuple[float, float]:
    xs, ys = sorted(float(figure.x[i]) for i in members), sorted(float(figure.y[i]) for i in members)
    return xs[len(xs) // 2], ys[len(ys) // 2]
