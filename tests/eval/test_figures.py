"""figures.json: what is published is what is read; what cannot be drawn is refused, or a line when it is another's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from invertone.cluster.storage.folder import Folder
from invertone.eval.figures import (
    FIGURES,
    Cell,
    Counts,
    Figure,
    Histogram,
    Images,
    Lines,
    Matrix,
    Scatter,
    Series,
    publish,
    read,
)

EVERY = (
    Scatter("points", [1.0, 2.0], [3, 4], ["a", "b"], ["first", "second"], "x", "y", "a note"),
    Lines("curves", "updates", "loss", [Series("one", [1, 2], [0.5, None]), Series("two", [1], [2.0])]),
    Histogram("spread", "error", [Counts("one", [0.0, 0.5, 1.0], [3, 4])]),
    Images("grid", [[Cell("both", "a.png", "below/a.wav"), Cell("none")], []]),
    Matrix("fields", ["r"], ["c", "d"], [[1.5, None]]),
)


def at(path: Path) -> Folder:
    return Folder.at(str(path))


def test_every_kind_is_read_as_it_was_published(tmp_path: Path) -> None:
    publish(at(tmp_path), EVERY, {"a.png": b"picture"})
    figures, problems = read(at(tmp_path))
    assert problems == [] and [figure.to_json() for figure in figures] == [figure.to_json() for figure in EVERY]
    assert [type(figure) for figure in figures] == [type(figure) for figure in EVERY]
    assert (tmp_path / "a.png").read_bytes() == b"picture"


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=20))
def test_what_is_not_finite_is_a_gap_and_every_other_number_is_exact(values: list[float]) -> None:
    written = json.loads(
        json.dumps(Lines("t", "x", "y", [Series("s", range(len(values)), values)]).to_json(), allow_nan=False)
    )
    assert written["series"][0]["y"] == [value if np.isfinite(value) else None for value in values]


def test_a_folder_without_figures_has_none(tmp_path: Path) -> None:
    assert read(at(tmp_path)) == read(at(tmp_path / "nowhere")) == ([], [])


@pytest.mark.parametrize(
    ("figure", "said"),
    [
        (Scatter("f", [1.0], [1.0, 2.0]), "y: 2 values, not 1"),
        (Scatter("f", [1.0], [float("nan")]), "y holds what is not finite"),
        (Scatter("f", [1.0], [1.0], ["a", "b"]), "group: 2 values, not 1"),
        (Histogram("f", "x", [Counts("c", [0.0, 1.0], [1, 2])]), "edges of c: 2 values, not 3"),
        (Histogram("f", "x", [Counts("c", [1.0, 1.0], [1])]), "edges of c do not rise"),
        (Histogram("f", "x", [Counts("c", [0.0, 1.0], [-1])]), "counts of c are negative"),
        (Matrix("f", ["a"], ["b", "c"], [[1.0]]), "row a: 1 values, not 2"),
        (Images("f", [[Cell("c", "../secret.png")]]), "does not lie in the run folder"),
        (Images("f", [[Cell("c", "below/../../secret.png")]]), "does not lie in the run folder"),
        (Images("f", [[Cell("c", None, "/etc/sound.wav")]]), "does not lie in the run folder"),
        (Images("f", [[Cell("c", None, "s3://other/sound.wav")]]), "does not lie in the run folder"),
        (Images("f", [[Cell("c", "page.svg")]]), "is not one of .png"),
    ],
)
def test_a_figure_that_cannot_be_drawn_is_not_published(figure: Figure, said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"figure 'f': .*{said}"):
        publish(at(tmp_path), [figure])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"kind": "pie", "title": "t"}, "no kind 'pie'"),
        ({"kind": "scatter", "title": "t", "x": [1]}, "y"),
        ({"kind": "scatter", "title": "t", "x": ["one"], "y": [1]}, "x is no Sequence[Number]"),
        ({"kind": "scatter", "title": 5, "x": [1], "y": [1]}, "title is no str"),
        ({"kind": "scatter", "title": "t", "x": "1", "y": "1"}, "x is no Sequence[Number]"),
        ({"kind": "lines", "title": "t", "x_title": "", "y_title": "", "series": [3]}, "cannot be drawn"),
        ({"kind": "images", "title": "t", "rows": [[{"image": "../../secret.png"}]]}, "does not lie in the run folder"),
        ("scatter", "cannot be drawn"),
    ],
)
def test_a_damaged_figure_is_a_line_and_the_others_are_read(values: Any, said: str, tmp_path: Path) -> None:
    good = EVERY[0].to_json() | {"of a newer version": 1}
    at(tmp_path).publish_json(FIGURES, {"version": 1, "figures": [values, good]})
    figures, problems = read(at(tmp_path))
    assert (
        len(figures) == 1
        and len(problems) == 1
        and problems[0].startswith("figure 1 cannot be drawn")
        and said in problems[0]
    )


@pytest.mark.parametrize("written", ["{", "[]", '{"figures": 3}', '{"version": 2, "figures": []}'])
def test_a_damaged_file_is_one_line(written: str, tmp_path: Path) -> None:
    (tmp_path / FIGURES).write_text(written)
    figures, problems = read(at(tmp_path))
    assert figures == [] and len(problems) == 1 and FIGURES in problems[0]
