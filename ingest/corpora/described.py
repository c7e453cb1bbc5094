"""What tables say of a source's recordings: rows and files brought together, and what has no other side."""

from __future__ import annotations

import math
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from invertone.cluster.errors import UserError
from invertone.cluster.storage.addresses import absolute, is_remote
from invertone.ingest.corpora.columns import NONE, Columns, found_column, path_column
from invertone.ingest.corpora.entry import SPLIT_NAMES, Attributes, Finding, Noted, ReadFile, Unusable
from invertone.ingest.corpora.inputs import RECORDINGS, Inputs
from invertone.ingest.corpora.matching import Files
from invertone.ingest.corpora.tables import ENDINGS, Line, Table, read_table
from invertone.ingest.sources.kinds import stem

ALL = "all"
SHOWN = 5
"""Tables of a source that are shown to who names none of them."""


class NamedTables(Protocol):
    """A source, and what its tables are called."""

    @property
    def source(self) -> str: ...
    @property
    def labels(self) -> list[str]: ...


class TableKeys(Protocol):
    """The keys of a config that tables are read by; see `ingest.corpora.folder.FolderConfig`."""

    @property
    def source(self) -> str: ...
    @property
    def split(self) -> str: ...
    @property
    def labels(self) -> list[str]: ...
    @property
    def path_column(self) -> str: ...
    @property
    def label_column(self) -> str: ...
    @property
    def speaker_column(self) -> str: ...
    @property
    def split_column(self) -> str: ...
    @property
    def validation_values(self) -> list[str]: ...
    @property
    def test_values(self) -> list[str]: ...


class Said(NamedTuple):
    """What a row says of a recording; None where it says nothing."""

    label: str | None
    speaker: str | None
    split: str | None
    attributes: Attributes | None = None


@dataclass
class Descriptions:
    """rows: by the file's name. findings: rows without a file, and notes. labelled: whether a column gives labels; split:
    whether a column or the tables' names give splits. members: the tables that lie in the source."""

    rows: dict[str, Said] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    labelled: bool = False
    split: bool = False
    members: set[str] = field(default_factory=set)


def tables_of(config: NamedTables, names: Sequence[str]) -> list[tuple[str, bool]]:
    """The tables that `config.labels` names, each once: members of the source, and whether they are; else addresses.

    `metadata.csv` is every file of that name, if none lies at the source's top: AudioFolder has one in each split's folder.
    """
    found: dict[str, bool] = {}
    there, top = set(names), f"{absolute(config.source).rstrip('/')}/"
    for label in config.labels:
        place, plain = absolute(label), posixpath.normpath(label)
        inside = [each for each in (plain, place.removeprefix(top)) if each in there][:1]
        inside = inside or sorted(name for name in names if name.endswith(f"/{plain}"))
        found |= dict.fromkeys(inside, True) if inside else {place: False}
    return list(found.items())


def described(
    config: TableKeys,
    names: Sequence[str],
    recordings: Sequence[str],
    read: ReadFile,
    inputs: Inputs = RECORDINGS,
    attributes: Sequence[str] = (),
) -> Descriptions:
    """What the tables of `config` say of the files called `recordings`. attributes: columns of numbers that are kept, ALL for
    all that there are. Raises UserError where a table cannot be read, lacks
    a column that the config names, holds splits that are none, or names no file of the source at all."""
    found, files, rows, repeated, other = Descriptions(), Files(recordings, inputs.endings), 0, 0, 0
    for place, inside in tables_of(config, names):
        table = read_table(place, read(place) if inside else outside_table(place, names, read))
        if inside:
            found.members.add(place)
        columns, splits = _columns(config, table, found, inputs)
        numbers = _numbers(attributes, table, columns, found)
        for line in table.lines([*(each for each in columns if each is not None), *numbers.values()]):
            rows += 1
            said, name, wrong = file_of(line, config.source, place if inside else "", place, files)
            if wrong:
                found.findings.append(Unusable((said or place).lstrip("/"), wrong))
                continue
            other += not files.same_ending(said, name)
            row = _row(line, columns, splits, tuple(numbers))
            if name not in found.rows:
                found.rows[name] = row
            elif found.rows[name] == row:
                repeated += 1
            else:
                at = _at(line, place, inside=inside)
                wrong = f"described once more, and otherwise: {at}; what was read first counts"
                found.findings.append(Unusable(name, wrong))
    if not found.rows:
        _refuse_unmatched(config, rows, found, inputs)
    found.findings += [Noted(text) for text in _told(inputs.many, len(found.rows), rows, repeated, other)]
    return found


def outside_table(place: str, names: Sequence[str], read: ReadFile) -> bytes:
    """A table that is no file of the source. Raises UserError where there is none, and names those of the source."""
    try:
        return read(place)
    except UserError as error:
        there = [name for name in names if name.lower().endswith(ENDINGS)]
        some = ", ".join(there[:SHOWN]) + (", …" if len(there) > SHOWN else "")
        raise UserError(error.what, where=error.where, fix=f"the source has {some}" if there else error.fix) from None


def _columns(config: TableKeys, table: Table, found: Descriptions, inputs: Inputs) -> tuple[Columns, dict[str, str]]:
    """The columns that are read of a table, noted in `found`, and the split of each value there."""
    name = table.name
    path = path_column(config.path_column, table.columns, name, inputs.usual)
    label = found_column("label", config.label_column, table.columns, name, usual=inputs.usual)
    speaker = found_column("speaker", config.speaker_column, table.columns, name, usual=inputs.usual)
    split, splits = _split_column(config, table, found)
    by = {"files": path, "labels": label, "speakers": speaker, "splits": split}
    told = [f"{what} by {'none' if at is None else table.columns[at]}" for what, at in by.items()]
    stem = posixpath.basename(name).partition(".")[0].lower()
    if split is None and config.split == "official" and config.split_column != NONE and stem in SPLIT_NAMES:
        splits[""] = SPLIT_NAMES[stem]
        told[-1] = f"splits by the table's name ({splits['']})"
    also = f"; all: {', '.join(table.columns)}" if None in (label, speaker, split) else ""
    found.findings += [Noted(f"{name}: its columns give {', '.join(told)}{also}")]
    found.findings += [Noted(table.note)] if table.note else []
    found.labelled = found.labelled or label is not None
    found.split = found.split or bool(splits)
    return Columns(path, label, speaker, split), splits


def _split_column(config: TableKeys, table: Table, found: Descriptions) -> tuple[int | None, dict[str, str]]:
    """The column of the splits and what its values mean; a usual one only where they all name splits."""
    asked = config.validation_values or config.test_values
    if config.split != "official" or config.split_column == NONE:
        return None, {}
    column = found_column("split", config.split_column, table.columns, table.name)
    if column is None:
        if asked:
            problem = f"no column of splits for validation_values and test_values: {', '.join(table.columns)}"
            raise UserError(problem, where=table.name, fix="name it with split_column=…")
        return None, {}
    splits: dict[str, str] = {}
    for value in {line.values[0] for line in table.lines([column]) if line.values and line.values[0]}:
        known = SPLIT_NAMES.get(value.lower(), "train" if asked else "")
        split = "validation" if value in config.validation_values else "test" if value in config.test_values else known
        if not split and not config.split_column:
            text = f"{table.name}: its column {table.columns[column]} holds {value!r}, which names no split: it is not read"
            found.findings.append(Noted(f"{text}; validation_values=[…] and test_values=[…] say which are"))
            return None, {}
        if not split:
            raise UserError(
                f"its column {table.columns[column]} says {value!r}, which names no split",
                where=table.name,
                fix="say which values are with validation_values=[…] and test_values=[…]; all others are for training",
            )
        splits[value] = split
    return column, splits


def file_of(line: Line, source: str, member: str, place: str, files: Files) -> tuple[str, str, str]:
    """What a row calls its file by its first value, the file's name, and what is wrong with the row if it has none. member: the
    table, if it lies in the source; place: or where it lies."""
    at = _at(line, place, inside=bool(member))
    if line.wrong:
        return "", "", f"a row that is not read: {at} {line.wrong}"
    said = line.values[0]
    if said is None:
        return "", "", f"a row that names no file: {at}"
    folder = posixpath.dirname(member)
    inside = _inside(said, member, place, source)
    near = (files.find(inside, "") if inside else []) or files.find(said, folder)
    near = near or [each for below in _below(said, source) for each in files.find(below, "")]
    if len(near) == 1:
        return said, near[0], ""
    if near:
        some = ", ".join(near[:3]) + (", …" if len(near) > 3 else "")
        return said, "", f"several files that a row may mean: {at}: {some}"
    return said, "", f"described, but not there: {at}"


def _inside(said: str, member: str, place: str, source: str) -> str:
    """The path inside the source, where a row has that of this machine, or its table lies outside; else ""."""
    top = f"{absolute(source).rstrip('/')}/"
    if is_remote(source):
        return said.removeprefix(top) if said.startswith(top) else ""
    table = f"{top}{member}" if member else place
    whole = posixpath.normpath(posixpath.join(posixpath.dirname(table), said))
    return whole.removeprefix(top) if whole.startswith(top) and (said.startswith("/") or not member) else ""


def _below(said: str, source: str) -> list[str]:
    """What follows the source's own name in a path that begins above it: `1.wav` of `corpus/audio/1.wav` for `…/audio`."""
    own = stem(posixpath.basename(absolute(source).rstrip("/")))
    first, _, rest = f"/{posixpath.normpath(said)}".partition(f"/{own}/")
    return [rest] if rest and not said.startswith("/") and ".." not in first else []


def _numbers(asked: Sequence[str], table: Table, columns: Columns, found: Descriptions) -> dict[str, int]:
    """The columns of a table whose numbers are kept, by name. Of ALL, those whose every value is one; what says who, which
    split or which file is none of them."""
    if asked != [ALL]:
        chosen = {
            name: found_column("attribute", name, table.columns, table.name, "attribute_columns") for name in asked
        }
        return {name: at for name, at in chosen.items() if at is not None}
    rest = [at for at, name in enumerate(table.columns) if name and at not in columns]
    wrong = set[int]()
    for line in table.lines(rest):
        wrong |= {at for at, value in zip(rest, line.values, strict=False) if value and math.isnan(_number(value))}
    kept = {table.columns[at]: at for at in rest if at not in wrong}
    found.findings += [Noted(f"{table.name}: {len(kept):,} columns of numbers are kept: {_some(list(kept))}")]
    return kept


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")


def _number(value: str | None) -> float:
    """NaN for what is none; yes and no are 1 and 0."""
    if value in ("true", "false"):
        return float(value == "true")
    try:
        number = float(value or "nan")
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan


def _row(line: Line, columns: Columns, splits: dict[str, str], names: tuple[str, ...]) -> Said:
    values: Iterator[str | None] = iter(line.values[1:])
    label, speaker, split = (None if each is None else next(values) for each in columns[1:])
    attributes = Attributes(names, tuple(_number(each) for each in values)) if names else None
    return Said(label, speaker, splits.get(split or "") if split or "" in splits else None, attributes)


def _at(line: Line, place: str, *, inside: bool) -> str:
    return f"row {line.number} of {place if inside else posixpath.basename(place)}"


def _told(inputs: str, files: int, rows: int, repeated: int, other: int) -> list[str]:
    told = [f"{files:,} {inputs} are described, in {rows:,} rows"]
    if repeated:
        told.append(f"{repeated:,} rows say again what another has said")
    if other:
        told.append(f"{other:,} rows name a file with another ending than it has")
    return told


def _refuse_unmatched(config: TableKeys, rows: int, found: Descriptions, inputs: Inputs) -> None:
    some = [each.name for each in found.findings if isinstance(each, Unusable)][:2]
    columns = "; ".join(each.text for each in found.findings if isinstance(each, Noted))
    raise UserError(
        f"not one of {rows:,} rows names a file of the source: {', '.join(some) or 'there are none'} ({columns})",
        where=", ".join(config.labels),
        fix=f"check path_column, or give the folder or archive that holds the {inputs.many} as source",
    )
