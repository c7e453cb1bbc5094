"""A table as JSON for programs and Markdown for people."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cluster.storage import Folder

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
        heads = [f"{column.title} {column.arrow}".strip() for column in self.columns]
        intervals = self.intervals or [{} for _ in self.rows]
        body = [
            [_shown(row.get(column.name), column.format, within.get(column.name)) for column in self.columns]
            for row, within in zip(self.rows, intervals, strict=True)
        ]
        widths = [max(len(line[i]) for line in [heads, *body]) for i in range(len(heads))]
        left = [isinstance(self.rows[0].get(column.name), str) if self.rows else True for column in self.columns]

        def line(cells: Sequence[str]) -> str:
            padded = [c.ljust(w) if is_left else c.rjust(w) for c, w, is_left in zip(cells, widths, left, strict=True)]
            return f"| {' | '.join(padded)} |"

        rule = (
            "|"
            + "|".join("-" * (w + 1) + ("-" if is_left else ":") for w, is_left in zip(widths, left, strict=True))
            + "|"
        )
        notes = [f"- {note}" for note in self.notes]
        return "\n".join([f"# {self.title}", "", line(heads), rule, *map(line, body), "", *notes]).rstrip() + "\n"

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


def _shown(value: Cell, specification: str, within: tuple[float, float] | None) -> str:
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    shown = format(value, specification)
    return f"{shown} ({' – '.join(format(end, specification) for end in within)})" if within else shown
