"""A table as JSON for programs and Markdown for people."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from invertone.cluster.storage.folder import Folder

JSON, MARKDOWN = "table.json", "table.md"
MOST_DECIMALS = 8
"""Of a paper's figures."""
PUBLISHED = "_published"
"""Ending of the name of a column that holds a paper's figures."""
Cell = float | int | str | None


@dataclass(frozen=True)
class Column:
    """`format` is a format specification (`.4f`, `.1%`); `arrow` says which direction is better."""

    name: str
    title: str
    format: str = ""
    arrow: str = ""


@dataclass(frozen=True)
class Table:
    """rows: one mapping per row, by column name; a missing or None cell shows as an en dash. notes: how to read it.

    intervals: confidence intervals (low, high), one mapping per row in the same order, by column name; empty means none.
    spreads: likewise, the standard deviation that follows a figure after ±: over trainings, or as a paper has it.
    """

    title: str
    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Cell]]
    notes: Sequence[str] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    intervals: Sequence[Mapping[str, tuple[float, float]]] = ()
    spreads: Sequence[Mapping[str, float]] = ()

    def markdown(self) -> str:
        heads = [literal(f"{column.title} {column.arrow}") for column in self.columns]
        spreads = self.spreads or [{} for _ in self.rows]
        body = [
            [literal(figure(column, row.get(column.name), spread.get(column.name))) for column in self.columns]
            for row, spread in zip(self.rows, spreads, strict=True)
        ]
        left = [any(isinstance(row.get(column.name), str) for row in self.rows) for column in self.columns]
        text = [f"# {literal(self.title)}", "", *_lines(heads, body, left), ""]
        bounded = [column for column in self.columns if any(column.name in each for each in self.intervals)]
        if bounded:
            names = [literal(figure(self.columns[0], row.get(self.columns[0].name))) for row in self.rows]
            body = [
                [name, *(_ends(within.get(column.name), column.format) for column in bounded)]
                for name, within in zip(names, self.intervals, strict=True)
                if within
            ]
            heads = [literal(column.title) for column in (self.columns[0], *bounded)]
            text += ["95 % confidence intervals:", "", *_lines(heads, body, [True] * len(heads)), ""]
        return "\n".join([*text, *(f"- {note}" for note in self.notes)]).rstrip() + "\n"

    def publish(self, folder: Folder) -> None:
        """Writes table.json and table.md into the run folder."""
        rows = [{column.name: row.get(column.name) for column in self.columns} for row in self.rows]
        whole = {
            "title": self.title,
            "about": dict(self.about),
            "columns": [dataclasses.asdict(column) for column in self.columns],
            "rows": rows,
            "intervals": [{name: list(ends) for name, ends in each.items()} for each in self.intervals],
            "spreads": [dict(each) for each in self.spreads],
            "notes": list(self.notes),
        }
        folder.publish_json(JSON, whole)
        folder.publish_bytes(MARKDOWN, self.markdown().encode())


def _lines(heads: Sequence[str], body: Sequence[Sequence[str]], left: Sequence[bool]) -> list[str]:
    """A table in Markdown whose columns stand straight in a terminal too."""
    widths = [max(len(line[i]) for line in [heads, *body]) for i in range(len(heads))]

    def line(cells: Sequence[str]) -> str:
        padded = [c.ljust(w) if is_left else c.rjust(w) for c, w, is_left in zip(cells, widths, left, strict=True)]
        return f"| {' | '.join(padded)} |"

    rule = "|".join("-" * (w + 1) + ("-" if is_left else ":") for w, is_left in zip(widths, left, strict=True))
    return [line(heads), f"|{rule}|", *map(line, body)]


def figure(column: Column, value: Cell, spread: float | None = None) -> str:
    """A cell as it is shown: `–` for what is not there, in the column's format else, with ± its spread where it has one. A
    paper's figure has the decimals that the paper prints."""
    if value is None or isinstance(value, str):
        return "–" if value is None else value
    known = [value, *([] if spread is None else [spread])]
    if column.name.endswith(PUBLISHED) and column.format:
        return " ± ".join(as_printed(each, column.format.endswith("%")) for each in known)
    return " ± ".join(format(each, column.format) for each in known)


def as_printed(value: float, percent: bool = False) -> str:
    """A paper's figure, which a config holds as it is printed but for closing zeros: two decimals, or as many as it has.

    >>> as_printed(24.4), as_printed(0.4841), as_printed(0.00003), as_printed(0.9114, percent=True)
    ('24.40', '0.4841', '0.00003', '91.14%')
    """
    if not math.isfinite(value):
        return "–"
    scaled = round(100 * value, MOST_DECIMALS) if percent else value
    decimals = next((each for each in range(2, MOST_DECIMALS) if round(scaled, each) == scaled), MOST_DECIMALS)
    return f"{scaled:.{decimals}f}{'%' if percent else ''}"


def literal(text: str) -> str:
    """`text` so that Markdown shows it as it is: names of labels, runs and places are people's own, and a bar would end a
    cell, a backtick begin code, `<` a tag."""
    return "".join(f"\\{each}" if each in "\\`*|<" else each for each in " ".join(text.split()))


def _ends(within: tuple[float, float] | None, specification: str) -> str:
    return " – ".join(format(end, specification) for end in within) if within else "–"
