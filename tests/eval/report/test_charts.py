"""Charts: round ticks, nothing outside the field, labels that do not touch, text that stays text, numbers told in words."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from invertone.eval.figures import Counts, Histogram, Lines, Scatter, Series
from invertone.eval.report.charts.charts import MOST_MARKS, MOST_POINTS, Mark, histogram, lines, quantile, scatter
from invertone.eval.report.charts.elements import HEIGHT, LETTER, WIDTH, Chart
from invertone.eval.report.charts.scales import scale
from tests.eval.report.runs import HOSTILE

NUMBERS = st.floats(-1e12, 1e12, allow_nan=False)


def parsed(chart: Chart) -> ET.Element:
    return ET.fromstring(str(chart.svg))


def texts(chart: Chart) -> list[ET.Element]:
    return list(parsed(chart).iter("text"))


def coordinates(chart: Chart) -> np.ndarray:
    """Every point of every path, [n, 2]."""
    found = [re.findall(r"(-?[\d.]+) (-?[\d.]+)", path.get("d", "")) for path in parsed(chart).iter("path")]
    return np.array([pair for pairs in found for pair in pairs], float).reshape(-1, 2)


@given(st.lists(NUMBERS, max_size=30), st.booleans())
def test_a_scale_holds_its_values_and_its_ticks_are_round(values: list[float], tight: bool) -> None:
    made = scale(values, 0.0, 300.0, tight=tight)
    assert all(-1e-6 <= made.at(value) <= 300 + 1e-6 for value in values)
    assert 0 <= len(made.ticks) <= 12 and list(made.ticks) == sorted(made.ticks)
    assert made.step / 10 ** math.floor(math.log10(made.step) + 1e-9) == pytest.approx(
        min((1, 2, 5), key=lambda factor: abs(made.step / 10 ** math.floor(math.log10(made.step) + 1e-9) - factor))
    )
    assert len({made.text(tick) for tick in made.ticks}) == len(made.ticks)


@given(st.lists(st.tuples(NUMBERS, st.none() | st.floats()), max_size=40))
def test_lines_stay_inside_the_field_and_are_well_formed(points: list[tuple[float, float | None]]) -> None:
    ordered = sorted(points, key=lambda point: point[0])
    chart = lines(Lines("t", "x", "y", [Series("s", [x for x, _ in ordered], [y for _, y in ordered])]))
    places = coordinates(chart)
    assert ((places >= 0) & (places <= [WIDTH, HEIGHT])).all()


@pytest.mark.parametrize("high", [0.001, 1.0, 250.0, 60_000.0, 4e9])
def test_tick_labels_do_not_touch_and_do_not_leave_the_picture(high: float) -> None:
    chart = lines(Lines("t", "x", "", [Series("s", [0, high / 3, high], [0, high, high / 2])]))
    below = [text for text in texts(chart) if float(text.get("y", 0)) == HEIGHT - 38 + 15]
    ends = []
    for text in below:
        width, x = len(text.text or "") * LETTER, float(text.get("x", 0))
        left = x - width if text.get("text-anchor") == "end" else x - width / 2
        ends.append((left, left + width))
    assert len(ends) >= 2 and all(a >= 0 and b <= WIDTH + 0.1 for a, b in ends)
    assert all(b <= c for (_, b), (c, _) in zip(ends, ends[1:], strict=False))


def test_a_gap_begins_a_new_line() -> None:
    chart = lines(Lines("t", "x", "y", [Series("s", [1, 2, 3, 4, 5], [1.0, 2.0, None, float("nan"), 3.0])]))
    (path,) = parsed(chart).iter("path")
    assert path.get("d", "").count("M") == 2 and path.get("d", "").count("L") == 1


def test_a_long_line_is_thinned_to_means_and_its_numbers_are_of_all_points() -> None:
    values = [float(i % 2) for i in range(10_000)]
    chart = lines(Lines("t", "x", "y", [Series("s", list(range(10_000)), values)]))
    assert len(coordinates(chart)) <= MOST_POINTS
    assert chart.numbers.rows == [("s", "0", "0", "1", "1")]
    whole = lines(Lines("t", "x", "y", [Series("s", [0, 1, 2], [4.0, 5.0, 6.0])]))
    assert len(coordinates(whole)) == 3


def test_a_mark_is_drawn_where_it_is_and_left_out_where_there_is_no_place() -> None:
    figure = Lines("t", "x", "y", [Series("s", [0, 10], [0.0, 1.0])])
    assert "best" in [text.text for text in texts(lines(figure, [Mark(5.0, "best")]))]
    assert "best" not in [text.text for text in texts(lines(figure, [Mark(50.0, "best")]))]


def test_a_histogram_is_of_shares_and_tells_quartiles() -> None:
    counts = [Counts("few", [0, 1, 2], [1, 3]), Counts("many", [0, 1, 2], [1000, 3000]), Counts("none", [0, 1], [0])]
    chart = histogram(Histogram("t", "x", counts))
    few, many, _ = [path.get("d") for path in parsed(chart).iter("path")]
    assert few == many
    assert chart.numbers.rows[0][:4] == ("few", "4", "1", "1.333")
    assert chart.numbers.rows[2][1:4] == ("0", "–", "–")
    assert [key.name for key in chart.legend] == ["few", "many", "none"]


@given(st.lists(st.floats(0, 1), min_size=50, max_size=200), st.sampled_from([0.1, 0.25, 0.5, 0.75, 0.95]))
def test_quantiles_of_a_fine_histogram_are_those_of_the_values(values: list[float], share: float) -> None:
    counts, edges = np.histogram(values, 2000, (0.0, 1.0))
    found = quantile(edges.tolist(), counts.tolist(), share)
    assert found is not None and found == pytest.approx(np.quantile(values, share, method="inverted_cdf"), abs=1.1e-3)


def test_a_scatter_names_its_groups_apart_and_its_points_if_they_are_few() -> None:
    same = [0.0] * 6
    chart = scatter(Scatter("t", same, same, ["b", "a", "10", "9", "a", "b"], [f"clip {i}" for i in range(6)]))
    names = [text for text in texts(chart) if text.get("class") == "here"]
    assert [text.text for text in names] == ["9", "10", "a", "b"]
    ordered = scatter(Scatter("t", same, same, ["b", "a", "10", "9", "a", "b"], order=["b", "10"]))
    assert [key.name for key in ordered.legend] == ["b", "10", "9", "a"]
    heights = sorted(float(text.get("y", 0)) for text in names)
    assert min(b - a for a, b in zip(heights, heights[1:], strict=False)) >= 10
    assert sum(title.text == "clip 3" for title in parsed(chart).iter("title")) == 1
    many = MOST_MARKS + 1
    crowd = scatter(Scatter("t", [float(i) for i in range(many)], [0.0] * many, (), ["l"] * many))
    assert len(list(parsed(crowd).iter("path"))) == 1 and len(coordinates(crowd)) == many


def test_what_is_empty_is_drawn_empty() -> None:
    for chart in (
        lines(Lines("t", "x", "y", [])),
        lines(Lines("t", "x", "y", [Series("s", [], [])])),
        histogram(Histogram("t", "x", [])),
        scatter(Scatter("t", [], [])),
    ):
        assert parsed(chart).find("desc") is not None and not len(coordinates(chart))


def test_text_of_data_stays_text_in_every_chart() -> None:
    charts = [
        lines(Lines(HOSTILE, HOSTILE, HOSTILE, [Series(HOSTILE, [1, 2], [1, 2])]), [Mark(1.5, HOSTILE)]),
        histogram(Histogram(HOSTILE, HOSTILE, [Counts(HOSTILE, [0, 1], [1])])),
        scatter(Scatter(HOSTILE, [1], [1], [HOSTILE], [HOSTILE], HOSTILE, HOSTILE)),
        scatter(Scatter(HOSTILE, [1, 2], [1, 2], [HOSTILE, "b"], [HOSTILE, "b"])),
    ]
    for chart in charts:
        assert {each.tag for each in parsed(chart).iter()} <= {
            "svg",
            "title",
            "desc",
            "path",
            "line",
            "text",
            "circle",
            "g",
        }
        assert parsed(chart).findtext("title") == HOSTILE
        assert HOSTILE in (parsed(chart).findtext("desc") or "") or chart.title == HOSTILE
