"""Charts of trials: what each tried against what came of it. States differ by shape and filling, not by colour alone."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from invertone.eval.report.charts.elements import (
    BOTTOM,
    HEIGHT,
    LETTER,
    RIGHT,
    TOP,
    WIDTH,
    Chart,
    Key,
    Numbers,
    element,
    short,
)
from invertone.eval.report.charts.frame import framed, left_of
from invertone.eval.report.charts.scales import Scale, is_known, log_scale, name_scale, number, scale

DONE, EARLY, FRONT, BEST = "done", "early", "front", "best"
LOOKS = {DONE: "trained to its end", EARLY: "stopped early", FRONT: "not beaten in every goal", BEST: "the best"}
"""How a trial is drawn, with what the legend says of it; later ones are drawn over earlier ones."""
SHAPES = {
    DONE: "M{0} {1}m-3.4 0a3.4 3.4 0 1 0 6.8 0a3.4 3.4 0 1 0 -6.8 0z",
    EARLY: "M{0} {1}m-3.4 0a3.4 3.4 0 1 0 6.8 0a3.4 3.4 0 1 0 -6.8 0z",
    FRONT: "M{0} {1}m-3.4 -3.4h6.8v6.8h-6.8z",
    BEST: "M{0} {1}m0 -6.2l6.2 6.2l-6.2 6.2l-6.2 -6.2z",
}
MOST_TOLD = 100
"""Trials, the best first, up to which a chart's numbers are told one by one."""
FAR_APART = 50.0
"""Times the median that a value is for its axis to be logarithmic: one trial that diverged would hide all others."""
AXIS_HEIGHT = 52.0
NAMES_WIDTH = 116.0
Value = float | int | str | bool | None


@dataclass(frozen=True)
class Glyph:
    """How a trial is drawn. on_front: not beaten in every goal; good: of the first goal, 0 the worst and 1 the best."""

    name: str
    early: bool = False
    best: bool = False
    on_front: bool = False
    good: float = 1.0

    def look(self, front: bool = False) -> str:
        if self.best:
            return BEST
        return FRONT if front and self.on_front else EARLY if self.early else DONE


@dataclass(frozen=True)
class Axis:
    """What every trial has of one key or goal. names: those in order, where values are no numbers; ends: what the axis holds
    besides the values; better: max or min, of a goal; published: a paper's best value of a key."""

    title: str
    values: Sequence[Value]
    log: bool = False
    names: Sequence[str] = ()
    ends: Sequence[float] = ()
    better: str = ""
    published: Value = None

    def places(self) -> list[float | None]:
        """Numbers to draw; a name's is its place among the names."""
        if self.names:
            return [
                float(self.names.index(name)) if (name := named(value)) in self.names else None for value in self.values
            ]
        return [float(value) if is_number(value) and is_known(float(value)) else None for value in self.values]  # type: ignore[arg-type]

    def marked(self) -> float | None:
        """Where the published value lies, if it lies on the axis."""
        return dataclasses.replace(self, values=[self.published]).places()[0]

    def scale(self, start: float, end: float, ticks: int = 5) -> Scale:
        if self.names:
            return name_scale(self.names, start, end)
        mark = self.marked()
        found = [place for place in self.places() if place is not None] + list(self.ends)
        found += [mark] if mark is not None and (mark > 0 or not self.is_log()) else []
        return log_scale(found, start, end) if self.is_log() else scale(found, start, end, ticks)

    def is_log(self) -> bool:
        found = [place for place in self.places() if place is not None] + list(self.ends)
        if not found or self.names or min(found) <= 0:
            return False
        return self.log or (self.better != "" and max(found) > FAR_APART * statistics.median(found))

    def told(self, at: int) -> str:
        value = self.values[at]
        return number(float(value)) if is_number(value) else named(value)  # type: ignore[arg-type]

    def direction(self) -> str:
        return {"max": "higher is better", "min": "lower is better"}.get(self.better, "")


def named(value: Value) -> str:
    """A value as a name: 16 and 16.0 are the same."""
    if value is None:
        return "–"
    return f"{float(value):.12g}" if is_number(value) else str(value)


def points(
    title: str,
    x: Axis,
    y: Axis,
    trials: Sequence[Glyph],
    front: bool = False,
    height: float = HEIGHT,
    curve: bool = False,
) -> Chart:
    """Trials as points. front: those that are not beaten in every goal are marked, and joined. curve: a line through the means
    of the trials with the same x, for a sweep of one key."""
    places = [(a, b) for a, b in zip(x.places(), y.places(), strict=True)]
    looks = [trial.look(front) for trial in trials]
    y_scale = y.scale(height - BOTTOM, TOP)
    x_scale = x.scale(left_of(y_scale), WIDTH - RIGHT)
    shown = sorted(
        (i for i, (a, b) in enumerate(places) if a is not None and b is not None),
        key=lambda i: list(LOOKS).index(looks[i]),
    )
    drawn = [
        _mark(looks[i], x_scale.at(a), y_scale.at(b), f"{trials[i].name}: {_pairs([x, y], i)}")
        for i in shown
        for a, b in [places[i]]
        if a is not None and b is not None
    ]
    if front:
        members = sorted(
            (a, b)
            for i in shown
            for a, b in [places[i]]
            if looks[i] in (FRONT, BEST) and a is not None and b is not None
        )
        joined = "L".join(f"{short(x_scale.at(a))} {short(y_scale.at(b))}" for a, b in members)
        drawn.insert(0, element("path", d=f"M{joined}", class_="among") if len(members) > 1 else Markup(""))
    if curve:
        drawn.insert(0, _curve([places[i] for i in shown], x_scale, y_scale))
    drawn = [*_published(x, x_scale, height, TOP + 9 if y.better == "min" else height - BOTTOM - 6), *drawn]
    best = [i for i in shown if looks[i] == BEST]
    said = f"{len(shown):,} trials" + (f"; the best, {trials[best[0]].name}: {_pairs([x, y], best[0])}" if best else "")
    heads = ("trial", x.title, y.title, "")
    rows = [(trials[i].name, x.told(i), y.told(i), LOOKS[looks[i]]) for i in sorted(shown)]
    if x.marked() is not None:
        said += f"; published: {x.title} {named(x.published)}"
    svg = framed(title, said, drawn, x_scale, y_scale, _axis_title(x), _axis_title(y), height)
    return Chart(title, svg, _legend([looks[i] for i in shown]), *_told(heads, rows), wide=front)


def _curve(places: Sequence[tuple[float | None, float | None]], x: Scale, y: Scale) -> Markup:
    """A line through the mean of what lies at each x."""
    at: dict[float, list[float]] = {}
    for a, b in places:
        if a is not None and b is not None:
            at.setdefault(a, []).append(b)
    joined = "L".join(f"{short(x.at(a))} {short(y.at(statistics.fmean(each)))}" for a, each in sorted(at.items()))
    return element("path", d=f"M{joined}", class_="curve") if len(at) > 1 else Markup("")


def _published(axis: Axis, x: Scale, height: float, at: float) -> list[Markup]:
    """A vertical line at a paper's value, its name at the height `at`, far from the best trials, on the side with room."""
    mark = axis.marked()
    if mark is None or (x.log and mark <= 0):
        return []
    place = x.at(mark)
    late = place < (x.start + x.end) / 2
    return [
        element("line", x1=place, x2=place, y1=TOP, y2=height - BOTTOM, class_="mark"),
        element(
            "text", f"published: {named(axis.published)}", x=place + (4 if late else -4), y=at,
            class_="here", text_anchor="start" if late else "end",
        ),
    ]  # fmt: skip


def parallel(title: str, axes: Sequence[Axis], trials: Sequence[Glyph]) -> Chart:
    """Trials as lines from axis to axis, which lie below each other, so that any number of them fits a narrow page."""
    height = AXIS_HEIGHT * len(axes)
    scales = [axis.scale(NAMES_WIDTH + 8, WIDTH - RIGHT, 3) for axis in axes]
    heights = [AXIS_HEIGHT * (at + 0.5) for at in range(len(axes))]
    places = [axis.places() for axis in axes]
    looks = [trial.look() for trial in trials]
    parts = [
        element("line", x1=s.start, x2=s.end, y1=y, y2=y, class_="axis") for s, y in zip(scales, heights, strict=True)
    ]
    order = sorted(range(len(trials)), key=lambda i: (looks[i] == BEST, trials[i].good, -i))
    for i in order:
        path = _joined([None if p[i] is None else s.at(p[i]) for p, s in zip(places, scales, strict=True)], heights)  # type: ignore[arg-type]
        told = element("title", f"{trials[i].name}: {_pairs(axes, i)}")
        parts.append(element("path", told, d=path, class_=f"over {looks[i]}", style=f"--good: {trials[i].good:.2f}"))
    for axis, each, y in zip(axes, scales, heights, strict=True):
        parts += _ends(each, y) + _axis_name(axis, y)
    best = [i for i in order if looks[i] == BEST]
    said = f"{len(trials):,} trials over {len(axes)} axes" + (f"; the best: {_pairs(axes, best[0])}" if best else "")
    svg = element(
        "svg", element("title", title), element("desc", said), *parts,
        viewBox=f"0 0 {WIDTH:g} {height:g}", role="img", class_="chart",
    )  # fmt: skip
    heads = ("trial", *(axis.title for axis in axes), "")
    rows = [(trials[i].name, *(axis.told(i) for axis in axes), LOOKS[looks[i]]) for i in range(len(trials))]
    return Chart(
        title, svg, _line_legend(looks, [axis for axis in axes if axis.better]), *_told(heads, rows), wide=True
    )


def is_number(value: Value) -> bool:
    """Yes and no are names."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _pairs(axes: Sequence[Axis], at: int) -> str:
    return ", ".join(f"{axis.title} {axis.told(at)}" for axis in axes)


def _mark(look: str, x: float, y: float, name: str) -> Markup:
    return element("path", element("title", name), d=SHAPES[look].format(short(x), short(y)), class_=f"trial {look}")


def _axis_title(axis: Axis) -> str:
    about = [each for each in (axis.direction(), "logarithmic" if axis.is_log() and axis.better else "") if each]
    return axis.title + (f" ({', '.join(about)})" if about else "")


def _legend(looks: Sequence[str]) -> tuple[Key, ...]:
    """The looks that there are, none where there is but one."""
    found = [look for look in LOOKS if look in looks]
    keys = [
        Key(name=LOOKS[look], drawing=element("path", d=SHAPES[look].format(11, 5), class_=f"trial {look}"))
        for look in found
    ]
    return tuple(keys) if len(keys) > 1 else ()


def _line_legend(looks: Sequence[str], goals: Sequence[Axis]) -> tuple[Key, ...]:
    goal = goals[0].title if goals else "the goal"
    kinds = [(f"worst {goal}", DONE, 0.0), ("midway", DONE, 0.5), (f"best {goal}", DONE, 1.0)]
    kinds += [(LOOKS[look], look, 0.5) for look in (EARLY, BEST) if look in looks]
    return tuple(
        Key(name=name, drawing=element("path", d="M0 5h22", class_=f"over {look}", style=f"--good: {good}"))
        for name, look, good in kinds
    )


def _joined(places: Sequence[float | None], heights: Sequence[float]) -> str:
    """A line from axis to axis; where a trial has no value, it begins anew."""
    written, up = [], True
    for x, y in zip(places, heights, strict=True):
        if x is not None:
            written.append(f"{'M' if up else 'L'}{short(x)} {short(y)}")
        up = x is None
    return "".join(written)


def _ends(each: Scale, y: float) -> list[Markup]:
    """Ticks with their labels, of which those stay that have room."""
    parts, free = [], 0.0
    for tick in each.ticks:
        x, text = each.at(tick), each.text(tick)
        half = len(text) * LETTER / 2
        left = min(x - half, WIDTH - 2 * half)
        parts.append(element("line", x1=x, x2=x, y1=y - 3, y2=y + 3, class_="axis"))
        if left >= free:
            parts.append(element("text", text, x=left + half, y=y + 15, class_="end", text_anchor="middle"))
            free = left + 2 * half + 6
    return parts


def _axis_name(axis: Axis, y: float) -> list[Markup]:
    """The axis' name left of it, on up to three lines, and which of its ends is better."""
    lines = _wrapped(axis.title, int((NAMES_WIDTH - 8) / LETTER))
    written = [(line, "end axis-name") for line in lines[:3]]
    written += [(axis.direction(), "end")] if axis.better else []
    top = y + 4 - 6.5 * (len(written) - 1)
    return [
        element("text", line, x=NAMES_WIDTH - 8, y=top + 13 * at, class_=class_, text_anchor="end")
        for at, (line, class_) in enumerate(written)
    ]


def _wrapped(name: str, most: int) -> list[str]:
    """A name broken after dots, underscores and spaces into lines of at most `most` letters."""
    pieces = [""]
    for letter in name:
        pieces[-1] += letter
        if letter in "._ /":
            pieces.append("")
    lines = [""]
    for piece in pieces:
        if lines[-1] and len(lines[-1] + piece.rstrip()) > most:
            lines.append("")
        lines[-1] += piece
    return [line.strip() if len(line.strip()) <= most else f"{line.strip()[: most - 1]}…" for line in lines]


def _told(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[Numbers, str]:
    """The text alternative, and a note where it does not tell all."""
    note = f"The numbers are those of the first {MOST_TOLD} of {len(rows):,} trials." if len(rows) > MOST_TOLD else ""
    return Numbers(heads, rows[:MOST_TOLD]), note


def goodness(values: Sequence[float], better: str) -> list[float]:
    """0 for the worst to 1 for the best, by rank, which one that diverged does not stretch; equal ones alike."""
    different = sorted({value for value in values if math.isfinite(value)}, reverse=better == "min")
    ranks = {value: at / (len(different) - 1) if len(different) > 1 else 1.0 for at, value in enumerate(different)}
    return [ranks.get(value, 0.0) for value in values]
