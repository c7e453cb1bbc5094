"""The figures that an evaluation published beside its table, drawn."""

from __future__ import annotations

import math

from invertone.cluster.storage.folder import Folder
from invertone.eval.figures import Cell as Field
from invertone.eval.figures import Figure, Histogram, Images, Lines, Matrix, Scatter, read
from invertone.eval.report.blocks import Block, Cell, Charts, Clips, Head, Message, Row, Table, Tile
from invertone.eval.report.chapters.clips import tile
from invertone.eval.report.chapters.grids import AXES
from invertone.eval.report.charts.charts import histogram, lines, scatter
from invertone.eval.report.charts.picture import picture as small
from invertone.eval.report.charts.scales import number
from invertone.eval.report.charts.spectrogram import data_address, image_type

MOST_FILE_BYTES = 4_000_000
MOST_LARGE = 5
"""Columns up to which a grid of clips has large pictures with axes."""
MOST_SMALL = 256
"""Pixels of the longer side up to which a picture is shown pixel by pixel, as large as clips are."""
MOST_HEATED = 60
"""Columns up to which a matrix is a table to read; a larger one would be a carpet."""


def blocks_of(folder: Folder) -> list[Block]:
    """All figures of a run folder, neighbouring charts beside each other, and a line for each that cannot be drawn."""
    figures, problems = read(folder)
    blocks: list[Block] = [Message(problem, problem=True) for problem in problems]
    for figure in figures:
        block = _block(folder, figure)
        last = blocks[-1] if blocks else None
        if isinstance(block, Charts) and isinstance(last, Charts):
            blocks[-1] = Charts([*last.charts, *block.charts])
        else:
            blocks.append(block)
    return blocks


def _block(folder: Folder, figure: Figure) -> Block:
    if isinstance(figure, Scatter):
        return Charts([scatter(figure)])
    if isinstance(figure, Lines):
        return Charts([lines(figure)])
    if isinstance(figure, Histogram):
        return Charts([histogram(figure)])
    if isinstance(figure, Matrix):
        return _matrix(figure)
    assert isinstance(figure, Images)
    rows = [("", "", [_field(folder, field) for field in row]) for row in figure.rows]
    columns = max(map(len, figure.rows), default=0)
    wide = columns > MOST_LARGE
    heard = any(field.audio for row in figure.rows for field in row)
    note = f"{figure.note} {AXES}".strip() if wide and heard else figure.note
    return Clips(figure.title, rows, columns, scrolls=wide, compact=wide, note=note)


def _matrix(figure: Matrix) -> Block:
    if len(figure.columns) > MOST_HEATED or len(figure.rows) > MOST_HEATED:
        return Message(f"{figure.title}: {len(figure.rows)} × {len(figure.columns)} fields are too many to show")
    known = [abs(v) for row in figure.values for v in row if v is not None and math.isfinite(v)]
    most = float(max(known, default=1.0)) or 1.0

    def field(value: float | int | None) -> Cell:
        if value is None or not math.isfinite(value):
            return Cell("–")
        return Cell(number(value), heat=float(value) / most)

    corner = " \\ ".join(title for title in (figure.y_title, figure.x_title) if title)
    heads = [Head(corner, numeric=False), *(Head(name, heat=True) for name in figure.columns)]
    rows = [
        Row([Cell(name), *(field(value) for value in row)])
        for name, row in zip(figure.rows, figure.values, strict=True)
    ]
    return Table(figure.title, heads, rows, [figure.note] if figure.note else [])


def _field(folder: Folder, field: Field) -> Tile:
    """A place of a grid: the picture it names, else the sound's spectrogram."""
    try:
        picture = _file(folder, field.image) if field.image else b""
        sound = _file(folder, field.audio) if field.audio else b""
    except ValueError as error:
        return Tile(field.title, text=str(error))
    shown = tile(field.title, sound) if sound else Tile(field.title)
    if not picture:
        return shown
    try:
        if not sound and max((found := small(picture)).height, found.width) <= MOST_SMALL:
            return Tile(field.title, shown=found)
        return Tile(field.title, shown.player, (), shown.text, data_address(picture, image_type(picture)))
    except ValueError as error:
        return Tile(field.title, shown.player, (), f"{field.image} {error}")


def _file(folder: Folder, name: str) -> bytes:
    """Raises ValueError, saying why, where there is no such file or it is too large for a page."""
    try:
        size = folder.size(name)
        if size > MOST_FILE_BYTES:
            raise ValueError(f"{name} has {size / 1e6:.1f} MB, too much for a page")
        return folder.read_bytes(name)
    except OSError as error:
        raise ValueError(
            f"{name} is not there" if isinstance(error, FileNotFoundError) else f"{name}: {error}"
        ) from None
