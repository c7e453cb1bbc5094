"""What charts are made of: sizes, elements, legends, and a chart as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, HEIGHT = 360.0, 220.0
COLOURS, DASHES = 8, 4
TOP, BOTTOM, RIGHT = 26.0, 38.0, 12.0
LETTER, NAME_HEIGHT = 6.2, 12.0
"""Width of a digit and height of a line at the size of axis labels; what they err is white space."""
SMALLEST, GREATEST = 1e-100, 1e100
"""The span below which values count as equal, and the value above which one is left out, both far from overflow."""


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


def element(name: str, *inside: str, **attributes: object) -> Markup:
    """An element with its content; attributes and content that is no Markup are escaped. `class_` means class."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(short(value))}"' for key, value in attributes.items()
    )
    return Markup(f"<{name}{written}>{Markup('').join(inside)}</{name}>")  # noqa: S704 — built of escaped parts only


def short(value: object) -> str:
    """Coordinates with two decimals: a pixel has no more, and a page has many of them."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
