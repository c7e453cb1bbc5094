"""Names of labels, runs and places are people's own: a table shows them as they are."""

from __future__ import annotations

import re

import pytest

from invertone.eval.table import PUBLISHED, Column, Table, as_printed, figure, literal


@pytest.mark.parametrize(
    "name", ["a|b", "`code`", "<b>bold</b>", "two\nlines", "back\\slash", "*stars*", "plain_name", "|", ""]
)
def test_a_name_stays_in_its_cell(name: str) -> None:
    columns = (Column("row", name or "Row"), Column("value", "Value", ".1f"))
    told = Table(name or "T", columns, [{"row": name, "value": 1.0}], (), {}, [{"value": (0.5, 1.5)}]).markdown()
    lines = [line for line in told.splitlines() if line.startswith("|")]
    assert len(lines) == 6
    for line in lines:
        assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) == 3, line
        assert not re.search(r"(?<!\\)(?:\\\\)*[`<]", line), line


def test_what_needs_no_escape_is_left_alone() -> None:
    assert literal("encoder (latents-2), 日本 ± 1") == "encoder (latents-2), 日本 ± 1"


@pytest.mark.parametrize(
    ("value", "percent", "printed"),
    [
        (24.4, False, "24.40"),
        (0.4841, False, "0.4841"),
        (0.00003, False, "0.00003"),
        (7.23, False, "7.23"),
        (0.003, False, "0.003"),
        (1.0, False, "1.00"),
        (0.9114, True, "91.14%"),
        (0.012, True, "1.20%"),
        (0.0003, True, "0.03%"),
        (1e-300, False, "0.00000000"),
        (float("nan"), False, "–"),
    ],
)
def test_a_paper_s_figure_keeps_the_decimals_it_is_printed_with(value: float, percent: bool, printed: str) -> None:
    assert as_printed(value, percent) == printed


def test_a_spread_follows_its_figure() -> None:
    ours, theirs = Column("score", "Score", ".1f"), Column(f"score{PUBLISHED}", "paper", ".1f")
    assert (figure(ours, 2.25, 0.06), figure(ours, 2.25), figure(ours, None, 0.06)) == ("2.2 ± 0.1", "2.2", "–")
    rows = [{"row": "a", "score": 2.25, theirs.name: 7.28}, {"row": "b", "score": None}]
    table = Table("T", (Column("row", "Row"), ours, theirs), rows, spreads=[{"score": 0.06, theirs.name: 0.003}, {}])
    assert [line.split("|")[2:4] for line in table.markdown().splitlines()[4:6]] == [
        [" 2.2 ± 0.1 ", " 7.28 ± 0.003 "],
        ["         – ", "            – "],
    ]
