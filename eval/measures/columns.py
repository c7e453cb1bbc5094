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
from invertone.eval.schemas.measures import CLIP, MEASURES
from invertone.eval.schemas.shared import JudgedConfig
from invertone.eval.table import PUBLISHED, Cell, Column, Table

COUNTS = ("trainings", "clips", "failed")


TRAININGS = (
    "Several trainings: mean over them, ± the standard deviation over them (ddof 1), no interval; clips: of each training. The "
    "paper's ± of a trained row is over three trainings too; it does not say its ddof."
)


def column_of(name: str, signal: str = CLIP) -> Column:
    """How a measure is shown of signals of this kind; `row` is the table's first column."""
    if name == "row":
        return Column("row", "Row")
    found = next(each for each in MEASURES if each.name == name)
    return Column(found.name, found.title_of(signal), found.format, found.better)


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
    signal: str = CLIP,
) -> Table:
    """The table of `rows`, with the paper's figures that `config` holds; `also`: see `with_published`. remarks: what is to be
    said of this table, beside how its columns are read. signal: the kind of signals it is of."""
    cells: list[dict[str, Cell]] = [
        {"row": name, **{key: _cell(key, estimate.value) for key, estimate in found.items()}}
        for name, found in rows.items()
    ]
    columns = shown(config.columns, cells, signal)
    wide, whole, theirs = with_published(columns, cells, config.published, also, signal)
    ours = [
        {key: each.spread for key, each in rows.get(str(row["row"]), {}).items() if each.spread is not None}
        for row in whole
    ]
    spreads = [own | printed for own, printed in zip(ours, theirs, strict=True)]
    intervals = [
        {key: estimate.interval for key, estimate in rows.get(str(row["row"]), {}).items() if estimate.interval}
        for row in whole
    ]
    notes = [*config.notes, *remarks, *notes_for(columns, signal)]
    if any(ours):
        notes.append(TRAININGS)
    if config.bootstrap:
        notes.append(f"Intervals: bootstrap over {signal}s, {config.bootstrap} replicates.")
    notes.append(f"Seed: {config.seed}.")
    everything = {"seed": config.seed, "bootstrap": config.bootstrap, **about}
    return Table(config.title or title, wide, whole, notes, everything, intervals, spreads)


def _cell(name: str, value: float) -> Cell:
    if not math.isfinite(value):
        return None
    return int(value) if name in COUNTS else value


def shown(asked: Sequence[str], found: Sequence[Mapping[str, object]], signal: str = CLIP) -> list[Column]:
    """The columns to show: those `asked` for (none means all) that any row has, in their order."""
    there = {name for row in found for name in row}
    return [
        column_of(name, signal)
        for name in column_names()
        if name in there and (name in asked or not asked or name == "row")
    ]


def notes_for(columns: Sequence[Column], signal: str = CLIP) -> list[str]:
    """How to read the columns that are shown, of signals of this kind."""
    names = [column.name for column in columns]
    shown = [each for each in MEASURES if each.name in names]
    notes = [each.note_of(signal) for each in shown]
    return [*(note for note in notes if note), *(each.caution for each in shown if each.caution)]


def with_published(
    columns: Sequence[Column],
    rows: Sequence[Mapping[str, Cell]],
    published: Mapping[str, Mapping[str, Sequence[float]]],
    also: Mapping[str, str],
    signal: str = CLIP,
) -> tuple[list[Column], list[dict[str, Cell]], list[dict[str, float]]]:
    """The paper's figures beside ours: a column of them after each of ours that they are of, and rows for what only the paper
    has; last, the spreads (±) of the paper's figures by row. published: [figure] or [figure, spread] by row and column; `also`
    names a second name that a row's figures may stand under."""
    given = {name for figures in published.values() for name in figures}
    wide: list[Column] = []
    for column in columns:
        wide.append(column)
        if column.name in given:
            wide.append(Column(column.name + PUBLISHED, "paper", column.format))
    ours = {column.name for column in columns}
    for name in (name for name in column_names() if name in given - ours):
        theirs = column_of(name, signal)
        wide += [Column(name + PUBLISHED, f"{theirs.title} paper", theirs.format)]
    whole: list[dict[str, Cell]] = []
    spreads: list[dict[str, float]] = []
    used = set()

    def append(row: Mapping[str, Cell], figures: Mapping[str, Sequence[float]]) -> None:
        whole.append({**row, **{f"{name}{PUBLISHED}": found[0] for name, found in figures.items()}})
        spreads.append({f"{name}{PUBLISHED}": found[1] for name, found in figures.items() if len(found) > 1})

    for row in rows:
        name = str(row["row"])
        source = name if name in published else also.get(name, name)
        used.add(source)
        append(row, published.get(source, {}))
    for name, figures in published.items():
        if name not in used:
            append({"row": name}, figures)
    return wide, whole, spreads
