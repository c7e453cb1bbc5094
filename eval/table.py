"""A table as JSON for programs and Markdown for people."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from invertone.cluster.storage.folder import Folder

JSON, MARKDOWN = "table.json", "table.md"
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
    """

    title: str
    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Cell]]
    notes: Sequence[str] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    intervals: Sequence[Mapping[str, tuple[float, float]]] = ()

    def markdown(self) -> str:
        heads = [literal(f"{column.title} {column.arrow}") for column in self.columns]
        body = [[_shown(row.get(column.name), column.format) for column in self.columns] for row in self.rows]
        left = [any(isinstance(row.get(column.name), str) for row in self.rows) for column in self.columns]
        text = [f"# {literal(self.title)}", "", *_lines(heads, body, left), ""]
        bounded = [column for column in self.columns if any(column.name in each for each in self.intervals)]
        if bounded:
            names = [_shown(row.get(self.columns[0].name), "") for row in self.rows]
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


def _shown(value: Cell, specification: str) -> str:
    if value is None:
        return "–"
    return literal(value) if isinstance(value, str) else format(value, specification)


def literal(text: str) -> str:
    """`text` so that Markdown shows it as it is: names of labels, runs and places are people's own, and a bar would end a
    cell, a backtick begin code, `<` a tag."""
    return "".join(f"\\{each}" if each in "\\`*|<" else each for each in " ".join(text.split()))


def _ends(within: tuple[float, float] | None, specification: str) -> str:
    return " – ".join(format(end, specification) for end in within) if within else "–"
