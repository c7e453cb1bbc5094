"""What a page is made of: sections of blocks, as data. Only `page.html` knows how they look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from invertone.eval.report.charts.elements import Chart
from invertone.eval.report.charts.picture import Shown
from invertone.eval.report.charts.spectrogram import Player


@dataclass(frozen=True)
class Block:
    """`kind` names the macro of page.html that draws it."""

    kind: ClassVar[str]


@dataclass(frozen=True)
class Message(Block):
    """One line of text; a problem is one that the reader may want to mend."""

    kind = "message"
    text: str
    problem: bool = False


@dataclass(frozen=True)
class Facts(Block):
    """Names and what they are. `folded` behind its title."""

    kind = "facts"
    pairs: Sequence[tuple[str, str]]
    title: str = ""
    folded: bool = False


@dataclass(frozen=True)
class Head:
    """A column's heading. published: what to call figures of a paper beside ours; heat: of a column of coloured fields."""

    text: str
    numeric: bool = True
    published: str = ""
    heat: bool = False


@dataclass(frozen=True)
class Cell:
    """interval: shown below in small; best: of its column; heat: -1 to 1, how strongly the field is coloured;
    what is negative has another colour."""

    text: str
    interval: str = ""
    best: bool = False
    heat: float | None = None


@dataclass(frozen=True)
class Row:
    """The first cell names the row. baseline: no method, something to hold methods against."""

    cells: Sequence[Cell]
    baseline: bool = False


@dataclass(frozen=True)
class Table(Block):
    """among: what the best of a column is the best of."""

    kind = "table"
    title: str
    heads: Sequence[Head]
    rows: Sequence[Row]
    notes: Sequence[str] = ()
    among: str = "methods"


@dataclass(frozen=True)
class Charts(Block):
    """Charts beside each other."""

    kind = "charts"
    charts: Sequence[Chart]
    title: str = ""


@dataclass(frozen=True)
class Score:
    """A number below a clip. good: whether it is right, where there is right and wrong."""

    name: str
    text: str
    good: bool | None = None


@dataclass(frozen=True)
class Tile:
    """A clip to look at and listen to, a picture, or a text in its place. picture: a data address in place of a spectrogram;
    shown: a picture that is the thing itself."""

    title: str
    player: Player | None = None
    scores: Sequence[Score] = ()
    text: str = ""
    picture: str = ""
    shown: Shown | None = None


@dataclass(frozen=True)
class Clips(Block):
    """Rows of clips, each a name, what is said of it, and its tiles.

    columns: how many mean the same in every row (0: tiles just follow each other); scrolls: rows never wrap; compact: small
    pictures without axes, so that a grid is seen as one.
    """

    kind = "clips"
    title: str
    rows: Sequence[tuple[str, str, Sequence[Tile]]]
    columns: int = 0
    scrolls: bool = False
    compact: bool = False
    note: str = ""

    @property
    def pictures(self) -> bool:
        """Whether there are pictures, which are as wide as they are, and no sounds."""
        tiles = [tile for _, _, tiles in self.rows for tile in tiles]
        return any(tile.shown for tile in tiles) and not any(tile.player for tile in tiles)


@dataclass(frozen=True)
class Section:
    """A chapter of the page. `about`: one line below its heading."""

    id: str
    title: str
    about: str
    blocks: Sequence[Block]


def clip_count(blocks: Sequence[Block]) -> int:
    """How many sounds there are to hear."""
    return sum(tile.player is not None for tile in _tiles(blocks))


def picture_count(blocks: Sequence[Block]) -> int:
    """How many pictures there are to see."""
    return sum(tile.shown is not None for tile in _tiles(blocks))


def _tiles(blocks: Sequence[Block]) -> Iterator[Tile]:
    for block in blocks:
        if isinstance(block, Clips):
            for _, _, tiles in block.rows:
                yield from tiles
