"""Tables that describe recordings, as people keep them: .csv, .tsv, .jsonl, .json, .parquet; every value as text."""

from __future__ import annotations

import codecs
import csv
import io
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from invertone.cluster.errors import UserError
from invertone.cluster.storage.parquet import parquet_schema, row_batches

ENDINGS = (".csv", ".tsv", ".jsonl", ".json", ".parquet")
BATCH_ROWS = 1 << 14
"""So many rows of Parquet are held as Python's objects at a time."""
LONGEST_FIELD = 1 << 24
"""Characters of a field: FMA's table holds whole biographies."""
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))

Values = list[str | None]


@dataclass(frozen=True)
class Line:
    """A row: its number (a text file's line, else counted from 1) and the values of the columns asked for, None where there
    is none; or what is wrong with it, and no values."""

    number: int
    values: Values
    wrong: str = ""


@dataclass(frozen=True)
class Table:
    """A table. name: as the user knows it. lines: gives the rows, of these columns by number. note: what a user should know of
    how it was read; "" if nothing."""

    name: str
    columns: tuple[str, ...]
    lines: Callable[[Sequence[int]], Iterator[Line]]
    note: str = ""


def read_table(name: str, data: bytes) -> Table:
    """The table that these bytes of a file called `name` are. Raises UserError where they are none."""
    kind = name.lower()
    if not kind.endswith(ENDINGS):
        raise UserError("is no table that is read", where=name, fix=f"give one of {', '.join(ENDINGS)}")
    if kind.endswith((".csv", ".tsv")):
        return _delimited(name, data)
    return _parquet(name, data) if kind.endswith(".parquet") else _objects(name, data, kind.endswith(".jsonl"))


def text_of(value: Any) -> str | None:
    """A value as text, None for one that is missing. Whole numbers have no point, for a column of them with gaps becomes one
    of floats. Raises ValueError for lists and the like."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, (list, dict, tuple, bytes)):
        raise ValueError(f"a {'group' if isinstance(value, dict) else 'list'} stands where one value should")
    return str(value)


def flat(row: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested groups by dotted name.

    >>> flat({"path": "a.wav", "speaker": {"id": 7}})
    {'path': 'a.wav', 'speaker.id': 7}
    """
    found: dict[str, Any] = {}
    for name, value in row.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found


def _encoding(data: bytes) -> str:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for at in range(0, len(data), 1 << 20):
            decoder.decode(data[at : at + (1 << 20)])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _delimited(name: str, data: bytes) -> Table:
    encoding = _encoding(data)
    note = f"{name} is no UTF-8: read as Windows-1252" if encoding == "cp1252" else ""
    rows = _cells(name, data, encoding)
    head = [next(rows, (0, [])) for _ in range(3)]
    columns, begins = _header([cells for _, cells in head])
    if not any(columns):
        raise UserError("holds no table", where=name, fix="give one whose first line names its columns")

    def lines(wanted: Sequence[int]) -> Iterator[Line]:
        for position, (number, cells) in enumerate(_cells(name, data, encoding)):
            if position < begins:
                continue
            if any(cells[len(columns) :]):
                wrong = f"has {len(cells)} fields where the header has {len(columns)} (a delimiter that is not quoted?)"
                yield Line(number, [], wrong)
            else:
                yield Line(number, [text_of(cells[each]) if each < len(cells) else None for each in wanted])

    return Table(name, columns, lines, note)


def _cells(name: str, data: bytes, encoding: str) -> Iterator[tuple[int, list[str]]]:
    """The lines that are not empty, with their numbers."""
    file = io.TextIOWrapper(io.BytesIO(data), encoding, errors="replace", newline="")
    csv.field_size_limit(LONGEST_FIELD)
    if name.lower().endswith(".tsv"):  # quotes stand for themselves there: one that is never closed would swallow lines
        reader = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
    else:
        first = file.readline()
        file.seek(0)
        reader = csv.reader(file, delimiter=max(",;\t|", key=first.count), skipinitialspace=True)
    try:
        for cells in reader:
            if any(cells):
                yield reader.line_num, [_unquoted(each) for each in cells] if reader.dialect.quoting == 3 else cells
    except csv.Error as error:
        raise UserError(f"not readable: {error}", where=f"{name}, line {reader.line_num}", fix="mend it") from None


def _unquoted(cell: str) -> str:
    return cell[1:-1].replace('""', '"') if len(cell) > 1 and cell[0] == cell[-1] == '"' else cell


def _header(rows: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], int]:
    """The columns' names, and how many lines they take. pandas writes two levels in two lines, and the index's name in a
    third: (set, split) becomes set.split."""
    first, second, third = ([each.strip() for each in row] for row in rows)
    named = Counter(filter(None, first))
    if not first or first[0] or not second or second[0] or max(named.values(), default=0) < 2:
        return tuple(first), 1
    columns = [".".join(filter(None, pair)) for pair in zip(first, second, strict=False)]
    if third and third[0] and not any(third[1:]):
        return (third[0], *columns[1:]), 3
    return tuple(columns), 2


def _objects(name: str, data: bytes, by_line: bool) -> Table:
    """JSON objects: one a line, or a list of them."""
    encoding = _encoding(data)
    text = data.decode(encoding, "replace")
    if by_line:
        pieces: list[tuple[int, Any]] = [(n, each) for n, each in enumerate(text.split("\n"), 1) if each.strip()]
    else:
        try:
            found = json.loads(text)
        except ValueError as error:
            raise UserError(f"not readable: {error}", where=name, fix="mend it") from None
        if not isinstance(found, list):
            raise UserError("holds no list of objects", where=name, fix="give a list of objects, or .jsonl")
        pieces = list(enumerate(found, 1))

    def objects() -> Iterator[tuple[int, dict[str, Any] | None]]:
        for number, piece in pieces:
            try:
                row = json.loads(piece) if by_line else piece
            except ValueError:
                row = None
            yield number, flat(row) if isinstance(row, dict) else None

    columns = tuple({column: None for _, row in objects() for column in row or ()})
    if not columns:
        raise UserError(
            "holds no objects", where=name, fix='write one a line, as {"file_name": "a.wav", "label": "yes"}'
        )

    def lines(wanted: Sequence[int]) -> Iterator[Line]:
        for number, row in objects():
            yield (
                Line(number, [], "is no JSON object")
                if row is None
                else _line(number, [row.get(columns[each]) for each in wanted])
            )

    return Table(name, columns, lines)


def _parquet(name: str, data: bytes) -> Table:
    try:
        columns = tuple(parquet_schema(io.BytesIO(data)).names)
    except (pa.ArrowInvalid, OSError) as error:
        problem = f"not readable: {str(error).splitlines()[0]}"
        raise UserError(problem, where=name, fix="fetch it again") from None

    def lines(wanted: Sequence[int]) -> Iterator[Line]:
        number = 0
        names = list(dict.fromkeys(columns[each] for each in wanted))
        for batch in row_batches(io.BytesIO(data), names, BATCH_ROWS):
            for row in batch.to_pylist():
                number += 1
                yield _line(number, [row[columns[each]] for each in wanted])

    return Table(name, columns, lines)


def _line(number: int, values: Sequence[Any]) -> Line:
    try:
        return Line(number, [text_of(each) for each in values])
    except ValueError as error:
        return Line(number, [], str(error))
