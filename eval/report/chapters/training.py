"""A training run: its curves, how fast it went, its best checkpoint, and its latest samples to listen to."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from invertone.cluster.formats.checkpoints import CHECKPOINTS
from invertone.cluster.formats.trainings import (
    METRICS,
    SAMPLES,
    VALIDATION,
    Best,
    Curve,
    curves_of,
    readable_best,
    readable_guidance,
    readable_speed,
)
from invertone.cluster.storage.folder import Folder
from invertone.eval.figures import Lines, Series
from invertone.eval.report.blocks import Block, Charts, Clips, Facts, Message, Tile
from invertone.eval.report.chapter import Chapter
from invertone.eval.report.chapters.clips import tile
from invertone.eval.report.charts.charts import Mark, lines
from invertone.eval.report.charts.elements import Chart
from invertone.eval.report.charts.scales import number, titled

ROLES = ("target", "reconstruction", "generated")
MOST_CURVES = 60


def blocks_of(folder: Folder, count: int) -> list[Block]:
    """Everything that a training has left so far."""
    curves, damaged = metrics(folder)
    best = readable_best(folder)
    blocks: list[Block] = []
    facts = _facts(folder, best, curves)
    blocks += [Facts(facts)] if facts else []
    if damaged:
        blocks.append(Message(f"{damaged:,} lines of {METRICS} cannot be read and are left out", problem=True))
    if not curves:
        blocks.append(Message("No metrics are written yet."))
    for phase, names in _phases(curves).items():
        charts = [_curve(phase, name, curves[f"{phase}/{name}" if phase else name], best) for name in names]
        blocks.append(
            Charts(charts, "Validation" if phase == VALIDATION else f"Training: {phase}" if phase else "Training")
        )
    return blocks + (_samples(folder, count) if count else [])


def metrics(folder: Folder) -> tuple[dict[str, Curve], int]:
    """The first curves, and how many lines cannot be read."""
    curves, damaged = curves_of(folder)
    return dict(list(curves.items())[:MOST_CURVES]), damaged


def _phases(curves: Mapping[str, Any]) -> dict[str, list[str]]:
    """Names of metrics by phase, validation first."""
    phases: dict[str, list[str]] = {VALIDATION: []}
    for name in curves:
        phase, slash, term = name.partition("/")
        phases.setdefault(phase if slash else "", []).append(term if slash else name)
    return {phase: names for phase, names in phases.items() if names}


def _curve(phase: str, name: str, points: Sequence[tuple[float, float | None]], best: Best | None) -> Chart:
    series = Series(name, [step for step, _ in points], [value for _, value in points])
    marked = best is not None and phase == VALIDATION and isinstance(best.step, (int, float))
    marks = [Mark(float(best.step), "best")] if best is not None and marked else []
    return lines(Lines(titled(name), "updates", "", [series]), marks)


def _facts(folder: Folder, best: Best | None, curves: Mapping[str, Sequence[Any]]) -> list[tuple[str, str]]:
    facts = []
    last = max((points[-1][0] for points in curves.values() if points), default=None)
    if last is not None:
        facts.append(("Updates", number(last)))
    if best is not None:
        facts.append(("Best checkpoint", f"step {_text(best.step)}"))
        facts.append((titled(best.metric), _text(best.score)))
    elif names := folder.folders(CHECKPOINTS):
        facts.append(("Newest checkpoint", names[-1]))
    speed = readable_speed(folder)
    if isinstance(speed.steps_per_second, (int, float)):
        facts.append(("Speed", f"{speed.steps_per_second:.3g} updates/s"))
    if isinstance(speed.waiting_share, (int, float)):
        facts.append(("Waiting for data", f"{speed.waiting_share * 100:.3g} % of the time"))
    guidance = readable_guidance(folder)
    if guidance is not None:
        count, share = guidance
        facts.append(("Guidance", f"{count:,} labels" + (f" ({share:.0%})" if isinstance(share, float) else "")))
    return facts


def _samples(folder: Folder, count: int) -> list[Block]:
    """The newest samples: a row per clip, a column per role."""
    steps = folder.folders(SAMPLES)
    if not steps:
        return []
    below = f"{SAMPLES}/{steps[-1]}"
    found: dict[str, dict[str, str]] = {}
    for name in folder.names(below):
        if name.endswith((".wav", ".flac", ".png")):
            row, role = _place(name.rpartition(".")[0])
            found.setdefault(row, {})[role] = f"{below}/{name}"
    roles = sorted(
        {role for row in found.values() for role in row}, key=lambda role: (role not in ROLES, _rank(role), role)
    )
    rows = []
    for row in sorted(found, key=lambda row: (not row.isdecimal(), row.zfill(8), row))[:count]:
        tiles = [_tile(folder, role, found[row].get(role)) for role in roles]
        rows.append((f"{_kind(found)} {row}", "", tiles))
    if len(roles) == 1:  # nothing to compare: one after the other
        rows = [("", "", [dataclasses.replace(tiles[0], title=name) for name, _, tiles in rows])]
    step = steps[-1].removeprefix("step-").lstrip("0") or "0"
    note = f"After update {int(step):,}." if step.isdecimal() else ""
    return [Clips("Samples", rows, len(roles) if len(roles) > 1 else 0, note=note)] if rows else []


def _kind(found: Mapping[str, Mapping[str, str]]) -> str:
    """`picture` where the samples are."""
    return "picture" if any(name.endswith(".png") for row in found.values() for name in row.values()) else "clip"


def _place(stem: str) -> tuple[str, str]:
    """`3-target` and `target-3` are clip 3 in the role target."""
    before, after = re.fullmatch(r"(\d+)-(.+)", stem), re.fullmatch(r"(.+)-(\d+)", stem)
    if before:
        return before[1], before[2]
    return (after[2], after[1]) if after else (stem, "sample")


def _rank(role: str) -> int:
    return ROLES.index(role) if role in ROLES else len(ROLES)


def _tile(folder: Folder, role: str, name: str | None) -> Tile:
    return Tile(role, text="–") if name is None else tile(role, folder.read_bytes(name))


def _text(value: Any) -> str:
    return number(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)


CHAPTER = Chapter(
    lambda run: "Training",
    lambda run: "its curves and samples",
    lambda runs, labels, clips, seed: blocks_of(runs[0].folder, clips),
    stage="train",
    told_by=lambda run: not run.stage and run.folder.exists(METRICS),
)
