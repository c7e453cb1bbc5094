"""Inference runs over the same shards, side by side: what all their rows say, and chosen clips to look at and listen to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from invertone.cluster.errors import UserError
from invertone.cluster.formats.ledger import Ledger
from invertone.cluster.formats.shards import ShardManifest, load_manifest
from invertone.cluster.formats.signals import kind_of
from invertone.cluster.storage.folder import Folder
from invertone.eval.figures import Counts, Histogram
from invertone.eval.report.blocks import Block, Cell, Charts, Facts, Head, Message, Row, Table
from invertone.eval.report.chapter import Chapter, Placed, Run
from invertone.eval.report.chapters.clips import clips
from invertone.eval.report.chapters.methods import Method, Read, median_of
from invertone.eval.report.charts.charts import histogram
from invertone.eval.report.tally import (
    FINE_BINS,
    FIRST,
    MEASURES,
    Measure,
    fine_counts,
    tallied,
)

MOST_BINS = 40
TAIL = 0.995
"""Share of all values that a histogram shows in full; what lies beyond is said in words."""
MOST_LABELS = 40
_TAKEN = {"clip": "heard as", "picture": "taken for"}


def blocks_of(methods: Sequence[Method], count: int, seed: int) -> list[Block]:
    """Everything about runs over the same shards. The first one decides which clips are shown."""
    blocks: list[Block] = []
    read, ranges = [], {}
    for method in methods:
        tally, parts, problems = tallied(method.folder, method.parts)
        blocks += [Message(line, problem=True) for line in [*_incomplete(method), *problems]]
        read.append(Read(method, tally, parts, {}))
    for measure in MEASURES:
        spreads = [each.tally.spreads[measure.name] for each in read if each.tally.spreads[measure.name].count]
        if spreads:
            low, high = min(each.low for each in spreads), max(each.high for each in spreads)
            ranges[measure.name] = (low, high if high > low else low + (abs(low) or 1.0) * 1e-6)
    for each in read:
        each.counts = fine_counts(each.method.folder, each.parts, ranges)
    manifest, problem = _manifest(methods[0])
    signal = kind_of(manifest.format) if manifest else "picture" if "pixel_mae" in ranges else "clip"
    blocks.append(_summary(read, ranges, signal))
    charts = [_histogram(measure, read, ranges[measure.name]) for measure in FIRST if measure.name in ranges]
    blocks += [Charts(charts, "All rows")] if charts else []
    blocks += _accuracies(read, manifest, signal)
    blocks += [_errors(each, signal) for each in read if each.tally.errors]
    blocks += [Message(problem, problem=True)] if problem else []
    if count:
        blocks += clips(read, manifest, count, seed, ranges, signal)
    return blocks


def _incomplete(method: Method) -> list[str]:
    ledger = Ledger(method.folder)
    planned, done = (ledger.plan() or {}).get("units", 0), len(ledger.done())
    return [f"{method.label}: only {done:,} of {planned:,} units are inferred so far"] if done < planned else []


def _manifest(method: Method) -> tuple[ShardManifest | None, str]:
    """The clips' manifest, if it still is the one that the latents were made from; otherwise why it is not."""
    try:
        manifest = load_manifest(Folder.at(method.shards))
    except (UserError, OSError) as error:
        return None, f"The clips themselves cannot be shown: {error}"
    if manifest.digest != method.shards_digest:
        return None, f"The clips themselves cannot be shown: {method.shards} holds other shards by now"
    return manifest, ""


# ------------------------------------------------------------------------------------------------- all rows


def _summary(read: Sequence[Read], ranges: Mapping[str, tuple[float, float]], signal: str) -> Table:
    """One row per method: how many rows, and the mean of every score, the best of several methods marked."""
    shown = [measure for measure in MEASURES if measure.name in ranges]
    columns: list[tuple[str, str, str, list[float | None]]] = [
        ("Accuracy", "↑", ".1%", [each.tally.accuracy for each in read]),
        *((m.title, m.arrow, m.format, [each.tally.spreads[m.name].mean for each in read]) for m in shown),
        ("Median MAE", "↓", ".4f", [median_of(each, ranges) for each in read]),
    ]
    columns = [column for column in columns if any(value is not None for value in column[3])]
    heads = [Head("Method", numeric=False), Head(f"{signal.capitalize()}s"), Head("Failed")]
    heads += [Head(f"{title}\N{NO-BREAK SPACE}{arrow}") for title, arrow, _, _ in columns]
    rows = []
    for at, each in enumerate(read):
        cells = [Cell(each.method.label), Cell(f"{each.tally.rows:,}"), Cell(f"{each.tally.failed:,}")]
        for _, arrow, form, values in columns:
            value = values[at]
            is_best = value is not None and value == best(values, arrow)
            cells.append(Cell("–" if value is None else format(value, form), best=is_best))
        rows.append(Row(cells))
    told = f"share of labelled {signal}s that are {_TAKEN[signal]} their label"
    note = f"Means over the rows that have the score. Accuracy: {told}."
    return Table("Methods", heads, rows, [note])


def best(values: Sequence[float | None], arrow: str) -> float | None:
    """The best of several values, None where there are not two different ones."""
    known = {value for value in values if value is not None}
    return None if len(known) < 2 else max(known) if arrow == "↑" else min(known)


def _histogram(measure: Measure, read: Sequence[Read], ends: tuple[float, float]) -> Any:
    """Common bins for all methods, without the far end of the worse side if few values lie there."""
    fine = np.linspace(*ends, FINE_BINS + 1)
    pooled = np.sum([each.counts[measure.name] for each in read], axis=0)
    first, last = 0, FINE_BINS
    if measure.arrow == "↓":
        last = int(np.searchsorted(np.cumsum(pooled), TAIL * pooled.sum())) + 1
    else:
        first = FINE_BINS - 1 - int(np.searchsorted(np.cumsum(pooled[::-1]), TAIL * pooled.sum()))
    if last - first > 0.75 * FINE_BINS:
        first, last = 0, FINE_BINS
    bins = min(MOST_BINS, max(8, round(3 * float(max(each.tally.rows for each in read)) ** (1 / 3))))
    width = max(1, -(-(last - first) // bins))
    if measure.arrow == "↓":
        places = np.minimum(np.arange(first, first + bins * width + 1, width), FINE_BINS)
    else:
        places = np.maximum(np.arange(last - bins * width, last + 1, width), 0)
    places = np.unique(places)
    left_out = int(pooled.sum() - pooled[places[0] : places[-1]].sum())
    series = [
        Counts(
            each.method.label,
            fine[places].tolist(),
            [int(each.counts[measure.name][a:b].sum()) for a, b in zip(places, places[1:], strict=False)],
        )
        for each in read
        if each.counts[measure.name].sum()
    ]
    better = "smaller is better" if measure.arrow == "↓" else "greater is better"
    beyond = f"; {left_out:,} values lie beyond the picture" if left_out else ""
    return histogram(Histogram(measure.title, measure.title, series, f"{better.capitalize()}{beyond}."))


def _accuracies(read: Sequence[Read], manifest: ShardManifest | None, signal: str) -> list[Block]:
    """Accuracy by label and method, as fields that are darker where more is right."""
    labels = sorted({label for each in read for label in each.tally.heard})
    if not labels or (signal == "picture" and len(labels) > MOST_LABELS):  # people, of whom each has a few pictures
        return []
    names = manifest.label_names if manifest else ()
    shown = labels[:MOST_LABELS]
    heads = [Head("Method", numeric=False)]
    heads += [Head(names[label] if 0 <= label < len(names) else str(label), heat=True) for label in shown]
    rows = []
    for each in read:
        cells = [Cell(each.method.label)]
        for label in shown:
            count, right = each.tally.heard.get(label, (0, 0))
            cells.append(Cell(f"{right / count:.0%}", heat=right / count) if count else Cell("–"))
        rows.append(Row(cells))
    told = {"clip": "the classifier hears as", "picture": "the recogniser takes for"}[signal]
    notes = [f"Share of the label's {signal}s whose reconstruction {told} that label."]
    if len(labels) > MOST_LABELS:
        notes.append(f"The first {MOST_LABELS} of {len(labels):,} labels.")
    return [Table("Accuracy by label", heads, rows, notes)]


def _errors(each: Read, signal: str) -> Facts:
    title = f"{each.method.label}: {each.tally.failed:,} {signal}s failed, for example"
    return Facts([tuple(line.split(": ", 1)) for line in each.tally.errors], title)  # type: ignore[misc]


# ------------------------------------------------------------------------------------------------ some clips


def _placed(runs: Sequence[Run]) -> dict[str, Placed]:
    """Inference runs over the same shards are shown side by side; equal names are told apart by their folders."""
    able = [run for run in runs if run.parts and run.about]
    names = [str(run.about.get("name") or run.about.get("method") or run.name) for run in able]
    placed = {run.folder.uri: Placed(run.folder.uri, run.name) for run in runs}
    for name, run in zip(names, able, strict=True):
        label = name if names.count(name) == 1 else f"{name} ({run.name})"
        shards = Method(label, run.folder, run.parts, run.about).shards_digest
        placed[run.folder.uri] = Placed(f"shards {shards}", label)
    return placed


def _blocks(runs: Sequence[Run], labels: Mapping[str, str], clips: int, seed: int) -> list[Block]:
    if not runs[0].parts or not runs[0].about:
        return [Message("No Parquet is committed yet.")]
    return blocks_of([Method(labels[run.folder.uri], run.folder, run.parts, run.about) for run in runs], clips, seed)


CHAPTER = Chapter(
    lambda run: "Inference",
    lambda run: f"{len(run.parts):,} Parquet files, clips beside their reconstructions",
    _blocks,
    stage="infer",
    told_by=lambda run: not run.stage and bool(run.parts) and "shards" in run.about.get("inputs", {}),
    placed=_placed,
)
