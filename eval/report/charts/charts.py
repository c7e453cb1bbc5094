"""Small SVG charts. Colours are CSS variables of the page, so that they follow light and dark; every text is escaped.

All are drawn on a field 360 wide, which is about what a telephone shows, so that letters keep their size; a wide page sets
several beside each other. Series differ by colour and by dash or shape: nothing is told by colour alone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from invertone.eval.figures import Counts, Histogram, Lines, Number, Scatter, Series

WIDTH, HEIGHT = 360.0, 220.0
COLOURS, DASHES = 8, 4
TOP, BOTTOM, RIGHT = 26.0, 38.0, 12.0
LETTER, NAME_HEIGHT = 6.2, 12.0
"""Width of a digit and height of a line at the size of axis labels; what they err is white space."""
MOST_NAMES = 24
MOST_MARKS = 600
"""Points up to which each has an element of its own, with its name; more are drawn as one path per group."""
SMALLEST, GREATEST = 1e-100, 1e100
"""The span below which values count as equal, and the value above which one is left out, both far from overflow."""
MOST_POINTS = 240
"""Points of a line; a longer one is drawn as means of neighbours."""


@dataclass(frozen=True)
class Key:
    """An entry of the legend: its name and the number of its series, or its `drawing` on a field 22 × 10."""

    name: str
    series: int = 0
    dots: bool = False
    drawing: Markup = Markup("")


@dataclass(frozen=True)
class Numbers:
    """A chart's text alternative: a small table."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Chart:
    """A drawing with its legend (none where there is one series) and what it shows in numbers. wide: stands alone."""

    title: str
    svg: Markup
    legend: Sequence[Key]
    numbers: Numbers
    note: str = ""
    wide: bool = False


@dataclass(frozen=True)
class Mark:
    """A vertical line at `x`, with its name."""

    x: float
    name: str


def element(name: str, *inside: str, **attributes: object) -> Markup:
    """An element with its content; attributes and content that is no Markup are escaped. `class_` means class."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(short(value))}"' for key, value in attributes.items()
    )
    return Markup(f"<{name}{written}>{Markup('').join(inside)}</{name}>")  # noqa: S704 — built of escaped parts only


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


def lines(figure: Lines, marks: Sequence[Mark] = ()) -> Chart:
    """Curves. A long one is drawn as means of neighbours; its text alternative tells first, least, greatest and last."""
    series = [Series(each.name, *_thinned(each)) for each in figure.series]
    known = [float(value) for each in series for value in each.y if value is not None and is_known(value)]
    xs = [float(x) for each in series for x in each.x]
    y = scale(known, HEIGHT - BOTTOM, TOP)
    x = scale(xs, left_of(y), WIDTH - RIGHT, tight=True)
    drawn = [
        element("path", d=_path(each, x, y), class_=_class(number_), fill="none", stroke_width="1.75")
        for number_, each in enumerate(series)
    ]
    drawn += [
        element("circle", cx=x.at(a), cy=y.at(b), r="2.4", class_=f"{_class(n)} dot")
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
        figure.title, svg, _legend([s.name for s in series]), Numbers(("", "first", "least", "greatest", "last"), told),
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
        drawn.append(element("path", d=outline, class_=f"{_class(at)} area", stroke_width="1.5"))
    told = [(each.name, number(sum(each.counts)), *map(number, _quantiles(each))) for each in figure.series]
    heads = ("", "values", "25 %", "median", "75 %", "95 %")
    said = "; ".join(f"{row[0]}: median {row[3]}, 95 % below {row[5]}" for row in told)
    svg = framed(figure.title, said, drawn, x, y, figure.x_title, "share, %")
    return Chart(figure.title, svg, _legend([each.name for each in figure.series]), Numbers(heads, told), figure.note)


def scatter(figure: Scatter) -> Chart:
    """Points by group; a group's name stands at its middle, so that colours need not be told apart."""
    groups = _groups(figure)
    height = WIDTH
    y = scale(map(float, figure.y), height - BOTTOM, TOP)
    x = scale(map(float, figure.x), left_of(y), WIDTH - RIGHT)
    drawn = [_cloud(figure, members, at, x, y) for at, members in enumerate(groups.values())]
    if 1 < len(groups) <= MOST_NAMES:
        middles = {name: _middle(figure, members) for name, members in groups.items()}
        drawn += _placed({name: (x.at(a), y.at(b)) for name, (a, b) in middles.items()})
    told = [
        (name or "all", number(len(members)), *map(number, _middle(figure, members)))
        for name, members in groups.items()
    ]
    said = f"{len(figure.x):,} points" + (f" in {len(groups)} groups: {', '.join(groups)}" if len(groups) > 1 else "")
    svg = framed(figure.title, said, drawn, x, y, figure.x_title, figure.y_title, height)
    legend = _legend(list(groups), dots=True)
    return Chart(figure.title, svg, legend, Numbers(("group", "points", "median x", "median y"), told), figure.note)


# ---------------------------------------------------------------------------------------------------- the frame


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


def _legend(names: Sequence[str], dots: bool = False) -> tuple[Key, ...]:
    return tuple(Key(name, at, dots) for at, name in enumerate(names)) if len(names) > 1 else ()


def _class(series: int) -> str:
    return f"s{series % COLOURS} d{series % DASHES}"


def short(value: object) -> str:
    """Coordinates with two decimals: a pixel has no more, and a page has many of them."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


# --------------------------------------------------------------------------------------------------- the data


def is_known(value: Number | None) -> bool:
    """Whether there is something to draw: a loss of 1e200 says as little as an infinite one."""
    return value is not None and math.isfinite(value) and abs(value) <= GREATEST


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
    """Indices of points by group, groups in natural order."""
    groups: dict[str, list[int]] = {}
    for at in range(len(figure.x)):
        groups.setdefault(str(figure.group[at]) if len(figure.group) else "", []).append(at)
    return dict(sorted(groups.items(), key=lambda each: _natural(each[0])))


def _natural(name: str) -> tuple[bool, int, str]:
    """Numbers by their value, before words."""
    return (False, int(name), "") if name.isdecimal() and len(name) < 10 else (True, 0, name)


def _placed(names: Mapping[str, tuple[float, float]]) -> list[Markup]:
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
