"""Names of labels, runs and places are people's own: a table shows them as they are."""

from __future__ import annotations

import re

import pytest

from invertone.eval.table import Column, Table, literal


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
