"""A table of boxes: which part of which picture is its face."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from invertone.audio.recording.recording import extension
from invertone.cluster.errors import UserError
from invertone.images.reading import EXTENSIONS
from invertone.ingest.corpora.columns import USUAL, path_column
from invertone.ingest.corpora.described import file_of, outside_table, tables_of
from invertone.ingest.corpora.entry import Box, Finding, Noted, ReadFile, Unusable
from invertone.ingest.corpora.keys import PictureConfig
from invertone.ingest.corpora.matching import Files
from invertone.ingest.corpora.tables import Table, read_table

SIDES = {
    "left": ("left", "x_1", "x1", "xmin", "x_min", "x", "bbox_x", "bbox_left"),
    "top": ("top", "y_1", "y1", "ymin", "y_min", "y", "bbox_y", "bbox_top"),
    "right": ("right", "x_2", "x2", "xmax", "x_max", "bbox_right"),
    "bottom": ("bottom", "y_2", "y2", "ymax", "y_max", "bbox_bottom"),
    "width": ("width", "w", "bbox_w", "bbox_width"),
    "height": ("height", "h", "bbox_h", "bbox_height"),
}
"""What columns are called, the likeliest first, in small letters and with _ for what stands between words."""
_PATHS = {"path": ("image_id", "image_path", "image_name", "image", "img", *USUAL["path"])}


@dataclass(frozen=True)
class _Named:
    """What `tables_of` asks of a config."""

    source: str
    labels: list[str]


@dataclass
class Boxes:
    """rows: by the file's name. findings: rows without a file or a box, and notes. members: the tables that lie in the source.
    name: of the table."""

    rows: dict[str, Box] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    members: set[str] = field(default_factory=set)
    name: str = ""


def boxes_of(config: PictureConfig, names: Sequence[str], read: ReadFile) -> Boxes:
    """What the table `config.boxes` says. Raises UserError where it cannot be read, lacks a column, or names no picture."""
    found = Boxes(name=config.boxes.rpartition("/")[2])
    files = Files([name for name in names if extension(name) in EXTENSIONS], frozenset(EXTENSIONS))
    rows, sizes = list[tuple[str, tuple[float, ...]]](), True
    for place, inside in tables_of(_Named(config.source, [config.boxes]), names):
        table = read_table(place, read(place) if inside else outside_table(place, names, read))
        if inside:
            found.members.add(place)
        columns, sizes = _columns(table)
        for line in table.lines([path_column("", table.columns, table.name, _PATHS), *columns]):
            said, name, wrong = file_of(line, config.source, place if inside else "", place, files)
            values = [_number(each) for each in line.values[1:]]
            if wrong or not all(map(math.isfinite, values)):
                at = f"row {line.number} of {found.name}"
                found.findings.append(
                    Unusable((said or place).lstrip("/"), wrong or f"a box that is no four numbers: {at}")
                )
            else:
                rows.append((name, tuple(values)))
    if not rows:
        reasons = [each.reason for each in found.findings if isinstance(each, Unusable)][:2]
        problem = f"not one row gives a picture of the source a box: {'; '.join(reasons) or 'there are none'}"
        raise UserError(problem, where=config.boxes, fix="check that source is the folder that its paths begin in")
    shares = all(max(values) <= 1 for _, values in rows)
    for name, (left, top, third, fourth) in rows:
        width, height = (third, fourth) if sizes else (third - left, fourth - top)
        found.rows.setdefault(name, Box(left, top, width, height, shares))
    unit = "shares of height and width" if shares else "pixels"
    found.findings.append(Noted(f"{found.name}: boxes of {len(found.rows):,} pictures, in {unit}"))
    return found


def _columns(table: Table) -> tuple[list[int], bool]:
    """The numbers of the four columns, and whether the last two are width and height. Those of edges come first: a table that
    has both may mean the whole picture's width and height."""
    plain = [each.strip().casefold().replace(" ", "_").replace("-", "_") for each in table.columns]

    def at(side: str) -> int | None:
        return next((plain.index(name) for name in SIDES[side] if name in plain), None)

    for last, sizes in ((("right", "bottom"), False), (("width", "height"), True)):
        found = [at(side) for side in ("left", "top", *last)]
        columns = [each for each in found if each is not None]
        if len(columns) == len(found):
            return columns, sizes
    raise UserError(
        f"no columns of boxes among {', '.join(table.columns)}",
        where=table.name,
        fix="call them left, top, width, height, or left, top, right, bottom",
    )


def _number(value: str | None) -> float:
    try:
        return float(value or "nan")
    except ValueError:
        return math.nan
