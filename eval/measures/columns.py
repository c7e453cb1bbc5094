"""The columns that tables of clips share: how each comes from sums, how it is shown, how it is to be read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from invertone.cluster.config.registry import resolved
from invertone.eval.measures.estimates import (
    Estimate,
    Sums,
    mean,
    percentile,
)
from invertone.eval.schemas.measures import MEASURES
from invertone.eval.schemas.shared import JudgedConfig
from invertone.eval.table import Cell, Column, Table

PUBLISHED = "_published"
"""Ending of the column that holds a paper's figures."""


def column_of(name: str) -> Column:
    """How a measure is shown; `row` is the table's first column."""
    if name == "row":
        return Column("row", "Row")
    found = next(each for each in MEASURES if each.name == name)
    return Column(found.name, found.title, found.format, found.better)


def column_names() -> list[str]:
    """In their order."""
    return ["row", *(each.name for each in MEASURES)]


def estimates(sums: Sums, reference: Sums | None) -> dict[str, Estimate]:
    """Every measure whose sums are there. reference: the sums of the row that Fréchet distances are taken to.

    A measure that nothing was counted for, or that is infinite (PSNR of a perfect copy), is left out; not so the accuracy of
    clips whose labels the classifier does not know, which is NaN: a table shows that there is none.
    """
    found: dict[str, Estimate] = {}
    with np.errstate(divide="ignore", invalid="ignore"):
        for measure in MEASURES:
            if measure.mean and measure.name in sums:
                found[measure.name] = percentile(mean(sums, measure.name))
            elif measure.estimate:
                estimate: Estimate | None = resolved(measure.estimate)(sums, reference)
                if estimate is not None:
                    found[measure.name] = estimate
    unknown = {"accuracy"} if "named" in sums and sums["named"][0] and not sums["labelled"][0] else set()
    return {name: each for name, each in found.items() if np.isfinite(each.value) or name in unknown}


def table_of(
    config: JudgedConfig,
    title: str,
    rows: Mapping[str, Mapping[str, Estimate]],
    also: Mapping[str, str],
    about: Mapping[str, object],
    remarks: Sequence[str] = (),
) -> Table:
    """The table of `rows`, with the paper's figures that `config` holds; `also`: see `with_published`. remarks: what is to be
    said of this table, beside how its columns are read."""
    cells: list[dict[str, Cell]] = [
        {"row": name, **{key: _cell(key, estimate.value) for key, estimate in found.items()}}
        for name, found in rows.items()
    ]
    columns = shown(config.columns, cells)
    wide, whole = with_published(columns, cells, config.published, also)
    intervals = [
        {key: estimate.interval for key, estimate in rows.get(str(row["row"]), {}).items() if estimate.interval}
        for row in whole
    ]
    notes = [*remarks, *notes_for(columns)]
    if config.bootstrap:
        notes.append(f"Intervals: bootstrap over clips, {config.bootstrap} replicates.")
    notes.append(f"Seed: {config.seed}.")
    everything = {"seed": config.seed, "bootstrap": config.bootstrap, **about}
    return Table(config.title or title, wide, whole, notes, everything, intervals)


def _cell(name: str, value: float) -> Cell:
    if not math.isfinite(value):
        return None
    return int(value) if name in ("clips", "failed") else value


def shown(asked: Sequence[str], found: Sequence[Mapping[str, object]]) -> list[Column]:
    """The columns to show: those `asked` for (none means all) that any row has, in their order."""
    there = {name for row in found for name in row}
    return [
        column_of(name) for name in column_names() if name in there and (name in asked or not asked or name == "row")
    ]


def notes_for(columns: Sequence[Column]) -> list[str]:
    """How to read the columns that are shown."""
    names = [column.name for column in columns]
    shown = [each for each in MEASURES if each.name in names]
    return [*(each.note for each in shown if each.note), *(each.caution for each in shown if each.caution)]


def with_published(
    columns: Sequence[Column],
    rows: Sequence[Mapping[str, Cell]],
    published: Mapping[str, Mapping[str, float]],
    also: Mapping[str, str],
) -> tuple[list[Column], list[dict[str, Cell]]]:
    """The paper's figures beside ours: a column of them after each of ours that they are of, and rows for what only the paper
    has. published: figures by row and column; `also` names a second name that a row's figures may stand under."""
    given = {name for figures in published.values() for name in figures}
    wide: list[Column] = []
    for column in columns:
        wide.append(column)
        if column.name in given:
            wide.append(Column(column.name + PUBLISHED, "paper", column.format))
    ours = {column.name for column in columns}
    for name in (name for name in column_names() if name in given - ours):
        wide += [Column(name + PUBLISHED, f"{column_of(name).title} paper", column_of(name).format)]
    whole: list[dict[str, Cell]] = []
    used = set()
    for row in rows:
        name = str(row["row"])
        source = name if name in published else also.get(name, name)
        used.add(source)
        whole.append({**row, **{f"{key}{PUBLISHED}": value for key, value in published.get(source, {}).items()}})
    for name, figures in published.items():
        if name not in used:
            whole.append({"row": name, **{f"{key}{PUBLISHED}": value for key, value in figures.items()}})
    return wide, whole
