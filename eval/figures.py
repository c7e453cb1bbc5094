"""What an evaluation leaves to look at and listen to besides its table: `figures.json`, which `invertone report` draws.

A figure is data, not a picture: points, lines, counts, a matrix, or a grid of files that lie in the same run folder.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from invertone.cluster.storage.folder import Folder

VERSION = 1
FIGURES = "figures.json"
Number = float | int
IMAGE_FILES, AUDIO_FILES = (".png", ".jpg", ".jpeg"), (".wav", ".flac")


@dataclass(frozen=True)
class Figure:
    """title and note are plain text. `check` raises ValueError, saying what is wrong with the figure."""

    kind: ClassVar[str]
    title: str

    def check(self) -> None:
        raise NotImplementedError

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, **_plain(self)}


@dataclass(frozen=True)
class Scatter(Figure):
    """Points, such as latents in two dimensions. group: colours points (empty: all alike); label: names each point; order: of
    groups in the legend, those that it does not name after them."""

    kind = "scatter"
    x: Sequence[Number]
    y: Sequence[Number]
    group: Sequence[str | Number] = ()
    label: Sequence[str | Number] = ()
    x_title: str = ""
    y_title: str = ""
    note: str = ""
    order: Sequence[str] = ()

    def check(self) -> None:
        count = len(self.x)
        _same("y", self.y, count)
        for name, values in (("group", self.group), ("label", self.label)):
            if len(values):
                _same(name, values, count)
        _finite("x", self.x)
        _finite("y", self.y)


@dataclass(frozen=True)
class Series:
    """One line; a y that is None (or not finite) is a gap."""

    name: str
    x: Sequence[Number]
    y: Sequence[Number | None]


@dataclass(frozen=True)
class Lines(Figure):
    """Curves over a common x axis, such as a loss over updates."""

    kind = "lines"
    x_title: str
    y_title: str
    series: Sequence[Series]
    note: str = ""

    def check(self) -> None:
        for each in self.series:
            _same(f"y of {each.name}", each.y, len(each.x))
            _finite(f"x of {each.name}", each.x)
            _numbers(f"y of {each.name}", each.y)


@dataclass(frozen=True)
class Counts:
    """One histogram: `counts[i]` values lay between `edges[i]` and `edges[i + 1]`."""

    name: str
    edges: Sequence[Number]
    counts: Sequence[Number]


@dataclass(frozen=True)
class Histogram(Figure):
    """Distributions over a common x axis. Series with different totals are drawn as shares."""

    kind = "histogram"
    x_title: str
    series: Sequence[Counts]
    note: str = ""

    def check(self) -> None:
        for each in self.series:
            _same(f"edges of {each.name}", each.edges, len(each.counts) + 1)
            _finite(f"edges of {each.name}", each.edges)
            _finite(f"counts of {each.name}", each.counts)
            if any(b <= a for a, b in zip(each.edges, each.edges[1:], strict=False)):
                raise ValueError(f"edges of {each.name} do not rise")
            if any(count < 0 for count in each.counts):
                raise ValueError(f"counts of {each.name} are negative")


@dataclass(frozen=True)
class Cell:
    """One place of a grid: a PNG or JPEG, a WAV or FLAC, or both, by their names in the run folder."""

    title: str = ""
    image: str | None = None
    audio: str | None = None


@dataclass(frozen=True)
class Images(Figure):
    """A grid of pictures and sounds; rows may differ in length."""

    kind = "images"
    rows: Sequence[Sequence[Cell]]
    note: str = ""

    def check(self) -> None:
        for cell in (cell for row in self.rows for cell in row):
            _inside(cell.image, IMAGE_FILES)
            _inside(cell.audio, AUDIO_FILES)


@dataclass(frozen=True)
class Matrix(Figure):
    """Numbers by row and column, such as confusions; a value that is None (or not finite) is an empty field."""

    kind = "matrix"
    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[Number | None]]
    x_title: str = ""
    y_title: str = ""
    note: str = ""

    def check(self) -> None:
        _same("values", self.values, len(self.rows))
        for name, row in zip(self.rows, self.values, strict=True):
            _same(f"row {name}", row, len(self.columns))
            _numbers(f"row {name}", row)


KINDS: Mapping[str, type[Figure]] = {each.kind: each for each in (Scatter, Lines, Histogram, Images, Matrix)}
_JSON: dict[str, Any] = {
    "str": str,
    "Number": (int, float),
    "None": type(None),
    "Series": Series,
    "Counts": Counts,
    "Cell": Cell,
}
_PARTS: Mapping[type[Figure], type] = {Lines: Series, Histogram: Counts}


def publish(folder: Folder, figures: Sequence[Figure], files: Mapping[str, bytes] | None = None) -> None:
    """Writes the files that figures show, then figures.json, into the run folder. ValueError for a figure that is none."""
    for figure in figures:
        try:
            figure.check()
        except ValueError as error:
            raise ValueError(f"figure {figure.title!r}: {error}") from None
    for name, data in (files or {}).items():
        folder.publish_bytes(name, data)
    folder.publish_json(FIGURES, {"version": VERSION, "figures": [figure.to_json() for figure in figures]})


def read(folder: Folder) -> tuple[list[Figure], list[str]]:
    """The figures of a run folder, and one line for each that cannot be shown. Both are empty where there is no file."""
    try:
        whole = folder.read_json(FIGURES)
    except (FileNotFoundError, NotADirectoryError):
        return [], []
    except ValueError:
        return [], [f"{FIGURES} is damaged"]
    if not isinstance(whole, dict) or not isinstance(whole.get("figures"), list):
        return [], [f"{FIGURES} holds no list `figures`"]
    if whole.get("version", VERSION) != VERSION:
        return [], [f"{FIGURES} is not of version {VERSION}"]
    figures, problems = [], []
    for number, values in enumerate(whole["figures"], 1):
        try:
            figures.append(_figure(values))
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            problems.append(f"figure {number} cannot be drawn: {error}")
    return figures, problems


def _figure(values: Any) -> Figure:
    """One figure from its JSON. ValueError and the like for what is none."""
    kind = KINDS.get(str(values.get("kind")))
    if kind is None:
        raise ValueError(f"no kind {values.get('kind')!r}")
    given = dict(values)
    if kind in _PARTS:
        given["series"] = [_made(_PARTS[kind], each) for each in given["series"]]
    if kind is Images:
        given["rows"] = [[_made(Cell, cell) for cell in row] for row in given["rows"]]
    figure: Figure = _made(kind, given)
    figure.check()
    return figure


def _made(kind: type, values: Mapping[str, Any]) -> Any:
    """A dataclass from JSON; fields of newer versions are passed over. ValueError for values of another type."""
    given = {each.name: values[each.name] for each in dataclasses.fields(kind) if each.name in values}
    for each in dataclasses.fields(kind):
        if each.name in given and not _fits(given[each.name], str(each.type)):
            raise ValueError(f"{each.name} is no {each.type}")
    return kind(**given)


def _fits(value: Any, wanted: str) -> bool:
    """Whether a value of JSON is of the type that an annotation names."""
    if wanted.startswith("Sequence["):
        return isinstance(value, list) and all(_fits(each, wanted[len("Sequence[") : -1]) for each in value)
    return any(isinstance(value, _JSON[part]) for part in wanted.split(" | ")) and not isinstance(value, bool)


def _plain(value: Any) -> Any:
    """Dataclasses, sequences and numbers (NumPy's too) as JSON has them; what is not finite becomes null."""
    if dataclasses.is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, Sequence) or getattr(value, "ndim", None):
        return [_plain(each) for each in value]
    return _plain(int(value)) if hasattr(value, "__index__") else (float(value) if math.isfinite(value) else None)


def _same(name: str, values: Sequence[Any], count: int) -> None:
    if len(values) != count:
        raise ValueError(f"{name}: {len(values)} values, not {count}")


def _finite(name: str, values: Sequence[Any]) -> None:
    _numbers(name, values)
    if not all(value is not None and math.isfinite(value) for value in values):
        raise ValueError(f"{name} holds what is not finite")


def _numbers(name: str, values: Sequence[Any]) -> None:
    if not all(value is None or hasattr(value, "__float__") for value in values):
        raise ValueError(f"{name} holds what is no number")


def _inside(name: str | None, extensions: Sequence[str]) -> None:
    """A name in the run folder: whoever wrote the figures must not reach other files of the reader's machine."""
    if name is None:
        return
    if not name.lower().endswith(tuple(extensions)):
        raise ValueError(f"{name!r} is not one of {', '.join(extensions)}")
    if name.startswith(("/", ".")) or "\\" in name or ":" in name or ".." in name.split("/"):
        raise ValueError(f"{name!r} does not lie in the run folder")
