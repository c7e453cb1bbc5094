"""An evaluation's table as a page shows it: ours beside published figures, the best of each column, baselines apart."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from invertone.cluster.storage.folder import Folder
from invertone.eval.measures.columns import column_names, column_of
from invertone.eval.report.blocks import Block, Cell, Facts, Head, Message, Row, Table
from invertone.eval.report.chapter import Chapter
from invertone.eval.report.charts.scales import number, titled
from invertone.eval.table import JSON, PUBLISHED, Column, as_printed

BASELINES = ("real", "silence", "mean face", "noise", "random latent", "chance")
"""Rows of the reconstruction table that are no method."""
FORMAT = re.compile(r",?(\.\d{1,2})?[dfeg%]?")
"""Formats that a table of ours has; others would let a file decide how much memory a number takes."""
MOST_FACT = 300


def blocks_of(folder: Folder) -> list[Block]:
    """What table.json holds; one line for what it does not."""
    try:
        whole = folder.read_json(JSON)
    except FileNotFoundError:
        return [Message(f"{JSON} is not there: the evaluation has not ended", problem=True)]
    except ValueError:
        return [Message(f"{JSON} is damaged", problem=True)]
    rows = whole.get("rows") if isinstance(whole, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return [Message(f"{JSON} holds no rows", problem=True)]
    if not rows:
        return [Message("The table has no rows.")]
    blocks: list[Block] = [_table(whole, rows)]
    about = whole.get("about") if isinstance(whole.get("about"), dict) else {}
    confusion = _confusion(about.get("confusion"), rows)
    blocks += [confusion] if confusion else []
    pairs = [(str(name), _fact(value)) for name, value in about.items() if name != "confusion" and value is not None]
    return blocks + ([Facts(pairs, "What was judged", folded=True)] if pairs else [])


def _table(whole: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Table:
    columns = [column for column in _columns(whole, rows) if any(row.get(column.name) is not None for row in rows)]
    intervals, spreads = _beside(whole, "intervals", rows), _beside(whole, "spreads", rows)
    # rows that are about different things (`target`) are no rivals
    rivals = {row.get("target"): [each for each in rows if each.get("target") == row.get("target")] for row in rows}
    best = {(target, column.name): _best(column, alike) for target, alike in rivals.items() for column in columns}
    titles = {column.name: column.title for column in columns}
    heads = [_head(column, titles, rows) for column in columns]
    shown = [
        Row(
            [_cell(column, row, within, spread, best[row.get("target"), column.name]) for column in columns],
            baseline=_is_baseline(row),
        )
        for row, within, spread in zip(rows, intervals, spreads, strict=True)
    ]
    notes = [str(note) for note in whole.get("notes") or [] if isinstance(note, str)]
    if any(head.published for head in heads):
        notes.append("Shaded columns are published figures, not ours.")
    return Table(str(whole.get("title") or "Table"), heads, shown, notes)


def _beside(whole: Mapping[str, Any], name: str, rows: Sequence[Mapping[str, Any]]) -> Sequence[Any]:
    """What the table holds beside each row's cells under this name; nothing where it does not fit the rows."""
    found = whole.get(name)
    return found if isinstance(found, list) and len(found) == len(rows) else [{} for _ in rows]


def _columns(whole: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[Column]:
    """The table's own columns. Tables written before they were recorded get those of their kind, or their bare names."""
    recorded = whole.get("columns")
    if isinstance(recorded, list) and all(
        isinstance(each, dict) and isinstance(each.get("name"), str) for each in recorded
    ):
        return [
            Column(*(str(each.get(name) or "") for name in ("name", "title", "format", "arrow")))
            if each.get("title")
            else Column(each["name"], _title(each["name"]))
            for each in recorded
        ]
    known = {name: column_of(name) for name in column_names()}
    present = list(dict.fromkeys(name for row in rows for name in row))
    if "row" in present:
        order = [*known, *(name for name in present if name not in known)]
    else:
        order = sorted(present, key=lambda name: (name != "label", isinstance(rows[0].get(name), str), name))
    return [known.get(name, Column(name, _title(name))) for name in order if name in present]


def _head(column: Column, titles: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> Head:
    """A published column bears the name of ours beside it, and its own below."""
    numeric = not any(isinstance(row.get(column.name), str) for row in rows)
    title, published = column.title, ""
    if column.name.endswith(PUBLISHED):
        title = titles.get(column.name.removesuffix(PUBLISHED), column.title)
        published = "published" if title == column.title else column.title
    return Head(f"{title}\N{NO-BREAK SPACE}{column.arrow}".strip(), numeric, published)


def _title(name: str) -> str:
    return titled(name.removesuffix(PUBLISHED))


def _is_baseline(row: Mapping[str, Any]) -> bool:
    name = row.get("row")
    return name in BASELINES or (isinstance(name, str) and name.startswith("real ("))


def _best(column: Column, rows: Sequence[Mapping[str, Any]]) -> float | None:
    """The best value among methods, None where no direction is better, or there is nothing to compare."""
    if column.arrow not in ("↑", "↓") or column.name.endswith(PUBLISHED) or "row" not in rows[0]:
        return None
    values = [row.get(column.name) for row in rows if not _is_baseline(row)]
    known = [float(value) for value in values if isinstance(value, (int, float)) and math.isfinite(value)]
    if len(known) < 2 or len(set(known)) < 2:
        return None
    return max(known) if column.arrow == "↑" else min(known)


def _cell(column: Column, row: Mapping[str, Any], within: Any, spread: Any, best: float | None) -> Cell:
    value = row.get(column.name)
    shown = _shown(column, value)
    follows = spread.get(column.name) if isinstance(spread, dict) else None
    if value is not None and isinstance(follows, (int, float)) and math.isfinite(follows):
        shown += f" ± {_shown(column, follows)}"
    ends = within.get(column.name) if isinstance(within, dict) else None
    interval = ""
    if isinstance(ends, (list, tuple)) and len(ends) == 2:
        interval = " – ".join(formatted(end, column.format) for end in ends)
    is_best = best is not None and value == best and not _is_baseline(row)
    return Cell(shown, interval, is_best)


def _shown(column: Column, value: Any) -> str:
    if column.name.endswith(PUBLISHED) and FORMAT.fullmatch(column.format) and isinstance(value, (int, float)):
        return as_printed(value, column.format.endswith("%")) if column.format else formatted(value, "")
    return formatted(value, column.format)


def formatted(value: Any, specification: str) -> str:
    """A cell as the table's own Markdown shows it, whatever the file holds."""
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if not math.isfinite(value):
        return "–"
    if not specification or not FORMAT.fullmatch(specification):
        return number(value)
    try:
        return format(value, specification)
    except ValueError:
        return number(value)


def _confusion(counts: Any, rows: Sequence[Mapping[str, Any]]) -> Table | None:
    """What was taken for what, as a field of counts, each coloured by its share of the row."""
    names = [str(row["label"]) for row in rows if "label" in row and row["label"] != "all"]
    if not isinstance(counts, list) or not counts or not all(isinstance(row, list) for row in counts):
        return None
    labels = names if len(names) == len(counts) else [str(at) for at in range(len(counts))]
    shown = []
    for label, row in zip(labels, counts, strict=True):
        if len(row) != len(counts) or not all(isinstance(value, (int, float)) for value in row):
            return None
        total = sum(row) or 1
        shown.append(Row([Cell(label), *(Cell(number(value) if value else "·", heat=value / total) for value in row)]))
    note = "Rows are what was said, columns what was heard."
    return Table(
        "Confusions", [Head("Said", numeric=False), *(Head(label, heat=True) for label in labels)], shown, [note]
    )


def _fact(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= MOST_FACT else text[:MOST_FACT] + " …"


CHAPTER = Chapter(
    lambda run: "Evaluation",
    lambda run: "its table",
    lambda runs, labels, clips, seed: blocks_of(runs[0].folder),
    stage="eval",
    told_by=lambda run: not run.stage and run.folder.exists(JSON),
)
