"""The chapter of a sweep: its best trials, its charts, and what is said where something is missing or damaged."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from invertone.cluster.formats.latents import METADATA_KEY
from invertone.cluster.storage.folder import Folder
from invertone.eval.report.blocks import Block, Charts, Facts, Message, Table
from invertone.eval.report.charts.elements import Chart
from invertone.eval.report.charts.scales import log_scale, name_scale
from invertone.eval.report.charts.trials import Axis, Glyph, goodness, parallel, points
from invertone.eval.report.sources import described, found, sections_of
from tests.eval.report.runs import HOSTILE, swept, swept_weight


def blocks(folder: Folder) -> list[Block]:
    (section,) = sections_of([found(folder.uri)], 4, 0)
    return list(section.blocks)


def of(kind: type[Any], among: list[Block]) -> list[Any]:
    return [block for block in among if isinstance(block, kind)]


def at(path: Path) -> Folder:
    return Folder.at(str(path))


def charts(among: list[Block]) -> dict[str, Chart]:
    return {chart.title: chart for block in of(Charts, among) for chart in block.charts}


def drawn(chart: Chart) -> list[str]:
    """Classes of the trials that are drawn."""
    return [each.get("class", "") for each in ET.fromstring(str(chart.svg)).iter("path")]


def rewritten(folder: Folder, **about: Any) -> Folder:
    """The table of trials with other metadata."""
    path = Path(folder.uri) / "trials.parquet"
    table = pq.read_table(path)
    whole = json.loads(table.schema.metadata[METADATA_KEY]) | about
    pq.write_table(table.replace_schema_metadata({METADATA_KEY: json.dumps(whole)}), path)
    return folder


def test_a_sweep_shows_its_best_trials_and_apart_why_others_failed(tmp_path: Path) -> None:
    run = found(swept(at(tmp_path)).uri)
    assert run.kind == "tune" and "sweep, its trials" in described(run)
    shown = blocks(run.folder)
    (table,) = of(Table, shown)
    assert [head.text for head in table.heads][:4] == [
        "Trial",
        "Inception score\xa0↑",
        "Reconstruction\xa0↓",
        "On the front",
    ]
    assert len(table.rows) == 10
    assert [all(cell.best for cell in row.cells) for row in table.rows] == [True] + [False] * 9
    assert not any(cell.best for row in table.rows[1:] for cell in row.cells)
    recorded = {f"trial {row['trial']}": row for row in pq.read_table(tmp_path / "trials.parquet").to_pylist()}
    first = table.rows[0].cells[0].text
    assert recorded[first]["best"] and recorded[first]["metric.inception_score"] == max(
        row["metric.inception_score"] for row in recorded.values() if row["state"] == "done"
    )
    on_front = [row.cells[3].text for row in table.rows]
    assert on_front == sorted(on_front, key=["yes", "–"].index) and on_front.count("yes") == sum(
        r["on_front"] for r in recorded.values()
    )
    (failed,) = [block for block in of(Facts, shown) if block.title == "1 trial failed"]
    assert failed.pairs == [("trial 3", f"a loss is not finite after update 7 {HOSTILE}")]
    assert dict(of(Facts, shown)[0].pairs)["Trials"] == "12: 10 done, 1 stopped early, 1 failed"
    assert any("best.yaml" in message.text for message in of(Message, shown))


def test_every_goal_is_drawn_against_every_key_and_the_other_goal(tmp_path: Path) -> None:
    shown = charts(blocks(swept(at(tmp_path))))
    keys = ["weights.guided", "weights.generated", "weights.latent", "learning_rate", "optimiser"]
    assert list(shown) == [
        "Reconstruction against Inception score",
        *(f"{goal} against {key}" for goal in ("Inception score", "Reconstruction") for key in keys),
        "Keys and goals",
    ]
    looks = drawn(shown["Inception score against learning_rate"])
    assert (len(looks), looks.count("trial early"), looks.count("trial best")) == (11, 1, 1)
    assert looks[-1] == "trial best"  # over all others
    texts = [text.text for text in ET.fromstring(str(shown["Reconstruction against learning_rate"].svg)).iter("text")]
    assert {"1e\N{MINUS SIGN}5", "1e\N{MINUS SIGN}4", "0.001", "0.01"} <= set(texts)
    texts = [text.text for text in ET.fromstring(str(shown["Reconstruction against optimiser"].svg)).iter("text")]
    assert {"adam", "sgd", "muon"} <= set(texts) and "Reconstruction (lower is better)" in texts
    front = drawn(shown["Reconstruction against Inception score"])
    assert front[0] == "among" and front.count("trial front") >= 1 and front.count("trial best") == 1
    lines = drawn(shown["Keys and goals"])
    assert lines[-1] == "over best" and lines.count("over early") == 1 and len(lines) == 11
    assert list(shown["Keys and goals"].numbers.heads)[-3:] == ["Inception score", "Reconstruction", ""]
    assert all(len(chart.numbers.rows) == 11 for chart in shown.values())


def test_one_goal_has_no_front(tmp_path: Path) -> None:
    shown = blocks(swept(at(tmp_path), {"reconstruction": "min"}))
    (table,) = of(Table, shown)
    assert "On the front" not in [head.text for head in table.heads]
    values = [float(row.cells[1].text) for row in table.rows if row.cells[-1].text != "stopped early"]
    assert values == sorted(values)
    assert not any("against Inception" in title for title in charts(shown))


@pytest.mark.parametrize("how", ["running", "damaged", "cut short"])
def test_without_its_table_a_sweep_is_told_by_its_ledger(how: str, tmp_path: Path) -> None:
    whole = blocks(swept(at(tmp_path / "whole")))
    folder = swept(at(tmp_path / "run"), table=how != "running")
    if how == "damaged":
        (tmp_path / "run/trials.parquet").write_bytes(b"damaged")
    elif how == "cut short":
        (tmp_path / "run/trials.parquet").write_bytes((tmp_path / "run/trials.parquet").read_bytes()[:500])
    shown = blocks(folder)
    told = [message.text for message in of(Message, shown) if message.problem]
    assert [("trials.parquet cannot be read" in text) for text in told] == ([True] if how != "running" else [])
    assert of(Table, shown) == of(Table, whole)
    assert list(charts(shown)) == list(charts(whole))


def test_trials_that_ended_after_the_table_was_written_are_there(tmp_path: Path) -> None:
    folder = swept(at(tmp_path), count=8)
    swept(at(tmp_path / "later"), count=12)
    for unit in ("000010", "000011"):
        for name in (f"points/{unit}.json", f"__invertone/ledger/commits/{unit}.json"):
            folder.publish_json(name, at(tmp_path / "later").read_json(name))
    shown = blocks(rewritten(folder, trials=12))
    assert "10 of 12 trials have ended so far." in [message.text for message in of(Message, shown)]
    (table,) = of(Table, shown)
    assert {"trial 10", "trial 11"} <= {row.cells[0].text for row in table.rows}
    assert sum(row.cells[1].best for row in table.rows) == 1


def test_a_sweep_that_just_began_says_so(tmp_path: Path) -> None:
    folder = swept(at(tmp_path), table=False)
    for each in [*tmp_path.glob("__invertone/ledger/commits/*"), *tmp_path.glob("__invertone/ledger/failures/*")]:
        each.unlink()
    shown = blocks(folder)
    assert [message.text for message in of(Message, shown)] == [
        "0 of 12 trials have ended so far.",
        "No trial has its goals yet.",
    ]
    assert not of(Charts, shown)


@pytest.mark.parametrize(
    "about",
    [
        {"goals": ["a"]},
        {"goals": {"unheard_of": "max"}},
        {"space": 3, "keys": None, "trials": "many"},
        {"space": {"learning_rate": {"loguniform": [0, "x"]}, "optimiser": {"choice": 4}, "latents": {"simplex": 5}}},
        {"space": {"learning_rate": {"loguniform": []}, "weights.guided": {"uniform": [None, 1]}, "x": None}},
    ],
)  # fmt: skip
def test_odd_metadata_does_no_harm(about: dict[str, Any], tmp_path: Path) -> None:
    assert of(Facts, blocks(rewritten(swept(at(tmp_path)), **about)))


def test_a_sweep_without_run_json_is_told_by_its_table(tmp_path: Path) -> None:
    folder = swept(at(tmp_path))
    (tmp_path / "__invertone/run.json").unlink()
    assert found(folder.uri).kind == "tune" and of(Table, blocks(folder))


@given(st.lists(st.floats(1e-90, 1e90), max_size=20))
def test_a_logarithmic_scale_holds_its_values_and_its_ticks_differ(values: list[float]) -> None:
    made = log_scale(values, 10.0, 300.0)
    assert all(10 - 1e-6 <= made.at(value) <= 300 + 1e-6 for value in values)
    assert 2 <= len(made.ticks) <= 7 or len(values) == 0
    assert len({made.text(tick) for tick in made.ticks}) == len(made.ticks)
    assert all(10 - 1e-6 <= made.at(tick) <= 300 + 1e-6 for tick in made.ticks)


def test_names_have_equal_places_and_are_shortened_where_they_would_touch() -> None:
    made = name_scale(["adam", "a name that is far too long to stand", "sgd"], 0.0, 90.0)
    assert [made.at(tick) for tick in made.ticks] == [15.0, 45.0, 75.0]
    assert made.text(0.0) != made.text(1.0) and made.text(1.0).endswith("…") and len(made.text(1.0)) <= 4


def test_a_diverged_trial_does_not_hide_the_others() -> None:
    loss = Axis("loss", [1.0, 1.1, 1.2, 1e9], better="min")
    assert loss.is_log() and not Axis("loss", [1.0, 1.1, 1.2, 9.0], better="min").is_log()
    chart = points("t", Axis("k", [1.0, 2.0, 3.0, 4.0]), loss, [Glyph(str(i)) for i in range(4)])
    assert "logarithmic" in str(chart.svg)
    assert goodness([1.0, 1.1, 1e9, float("nan"), 1.1], "min") == [1.0, 0.5, 0.0, 0.0, 0.5]


def test_a_value_that_is_missing_is_a_gap_and_text_stays_text() -> None:
    axes = [
        Axis(HOSTILE, [1.0, 2.0]),
        Axis("b", [HOSTILE, None], names=[HOSTILE, "x"]),
        Axis("c", [1, 2], better="max"),
    ]
    trials = [Glyph(HOSTILE, best=True), Glyph("other", good=0.0)]
    other, best = ET.fromstring(str(parallel(HOSTILE, axes, trials).svg)).iter("path")
    assert (other.get("d", "").count("M"), other.get("d", "").count("L")) == (2, 0)
    assert (best.get("d", "").count("M"), best.get("d", "").count("L")) == (1, 2)
    for chart in (
        parallel(HOSTILE, axes, trials),
        points(HOSTILE, axes[0], axes[2], trials),
        points("t", axes[1], axes[2], trials),
    ):
        assert {each.tag for each in ET.fromstring(str(chart.svg)).iter()} <= {
            "svg",
            "title",
            "desc",
            "path",
            "line",
            "text",
        }
        assert HOSTILE in (ET.fromstring(str(chart.svg)).findtext("desc") or "")


def test_a_sweep_of_one_weight_is_a_curve_with_the_published_optimum_marked(tmp_path: Path) -> None:
    folder = swept_weight(at(tmp_path), {"weights.generation": 0.6, "weights.reconstruction": 0.4})
    shown = blocks(folder)
    told = "weights.generation 0.6, weights.reconstruction 0.4"
    assert ("Published best", told) in of(Facts, shown)[0].pairs
    chart = charts(shown)["Score against weights.generation"]
    svg = ET.fromstring(str(chart.svg))
    assert "published: 0.6" in [text.text for text in svg.iter("text")]
    assert "published: weights.generation 0.6" in (svg.findtext("desc") or "")
    (mark,) = [line for line in svg.iter("line") if line.get("class") == "mark"]
    spots = {path.findtext("title"): str(path.get("d")) for path in svg.iter("path") if path.find("title") is not None}
    x = {title: float(d[1:].split()[0]) for title, d in spots.items() if title}
    place = {w: next(v for t, v in x.items() if f"weights.generation {w}," in t) for w in (0.5, 0.7)}
    assert float(mark.get("x1", "0")) == pytest.approx((place[0.5] + place[0.7]) / 2, abs=0.05)
    (curve,) = [path for path in svg.iter("path") if path.get("class") == "curve"]
    steps = [float(each.split()[0]) for each in curve.get("d", "")[1:].split("L")]
    assert len(steps) == 5 and steps == sorted(steps)  # two trials at 0.5 are one point of it


def test_without_a_published_optimum_and_with_several_keys_nothing_is_marked_or_joined(tmp_path: Path) -> None:
    alone = charts(blocks(swept_weight(at(tmp_path / "a"))))["Score against weights.generation"]
    several = charts(blocks(swept(at(tmp_path / "b"))))["Inception score against learning_rate"]
    classes = [[each.get("class") for each in ET.fromstring(str(chart.svg)).iter()] for chart in (alone, several)]
    assert not any("mark" in each for each in classes) and ["curve" in each for each in classes] == [True, False]


def test_a_published_value_beyond_what_was_tried_widens_the_axis() -> None:
    trials = [Glyph("a"), Glyph("b")]
    goal = Axis("goal", [1.0, 2.0], better="max")
    svg = ET.fromstring(str(points("t", Axis("k", [0.1, 0.2], published=0.9), goal, trials).svg))
    assert "published: 0.9" in [text.text for text in svg.iter("text")]
    for published in ("adam", None, float("nan")):
        svg = ET.fromstring(str(points("t", Axis("k", [0.1, 0.2], published=published), goal, trials).svg))
        assert not [line for line in svg.iter("line") if line.get("class") == "mark"]
    names = Axis("k", ["adam", "sgd"], names=["adam", "sgd"], published="sgd")
    svg = ET.fromstring(str(points("t", names, goal, trials).svg))
    assert "published: sgd" in [text.text for text in svg.iter("text")]
