"""A sweep: its best trials, each goal against every key that was searched, and what its goals cost each other."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from invertone.cluster.formats.ledger import FAILED
from invertone.cluster.formats.sweeps import (
    BEST,
    DONE,
    STOPPED,
    TRIALS,
)
from invertone.cluster.storage.folder import Folder
from invertone.eval.report.blocks import Block, Cell, Charts, Facts, Head, Message, Row, Table
from invertone.eval.report.chapter import Chapter
from invertone.eval.report.chapters.trials import Sweep, Trial, keys, line, read
from invertone.eval.report.charts import trials as drawing
from invertone.eval.report.charts.scales import number, titled
from invertone.eval.report.charts.trials import Axis, Value, goodness, named, parallel, points

MOST_SHOWN = 10
MOST_AXES = 24
"""Keys that are drawn; a sweep over more is told by its table of trials."""
RANGES = ("uniform", "loguniform", "integer")


def blocks_of(folder: Folder, record: Mapping[str, Any]) -> list[Block]:
    """Everything that a sweep has left so far: what its table holds, and what its ledger knows besides."""
    sweep, problems = read(folder, record)
    blocks: list[Block] = [Facts(_facts(sweep))]
    blocks += [Message(problem, problem=True) for problem in problems]
    if len(sweep.trials) < sweep.planned:
        blocks.append(Message(f"{len(sweep.trials):,} of {sweep.planned:,} trials have ended so far."))
    blocks += [Facts(searched, "What was searched")] if (searched := _searched(sweep.space)) else []
    if not sweep.goals:
        return [*blocks, Message("No goal is recorded, so that no trial is better than another.", problem=True)]
    judged = sweep.judged()
    blocks += _best(folder, sweep, judged) if judged else [Message("No trial has its goals yet.")]
    blocks += _charts(sweep, judged) if judged else []
    return blocks + _failed(sweep.trials)


# -------------------------------------------------------------------------------------------------- what there is


# ------------------------------------------------------------------------------------------------------- the words


def _facts(sweep: Sweep) -> list[tuple[str, str]]:
    states = Counter(trial.state for trial in sweep.trials)
    counted = ", ".join(f"{states[state]:,} {state}" for state in (DONE, STOPPED, FAILED) if states[state])
    facts = [("Trials", f"{len(sweep.trials):,}" + (f": {counted}" if counted else ""))]
    for name in ("training", "search", "scheduler", "seed"):
        if sweep.about.get(name) is not None:
            facts.append((name.capitalize(), str(sweep.about[name])))
    facts += (
        [("Goals", ", ".join(f"{titled(name)} ({way})" for name, way in sweep.goals.items()))] if sweep.goals else []
    )
    spent = sum(trial.seconds for trial in sweep.trials if math.isfinite(trial.seconds))
    return [*facts, ("Time of all trials", _duration(spent))] if spent else facts


def _searched(space: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Keys and where they were searched."""
    pairs = []
    for name, entry in space.items():
        for kind, given in entry.items() if isinstance(entry, dict) else ():
            if kind == "simplex" and isinstance(given, list):
                pairs.append((name, f"{', '.join(map(str, given))}: sum {_text(entry.get('total', 1))}"))
            elif isinstance(given, list):
                between = " to " if kind in RANGES else ", "
                pairs.append((name, f"{kind} {between.join(map(_text, given))}"))
    return pairs


def _best(folder: Folder, sweep: Sweep, judged: Sequence[Trial]) -> list[Block]:
    """A row per trial, the best first; how to train it again."""
    keys, several = sweep.keys, len(sweep.goals) > 1
    stopped = any(trial.state != DONE for trial in judged[:MOST_SHOWN])
    heads = [Head("Trial", numeric=False)]
    heads += [
        Head(f"{titled(name)}\N{NO-BREAK SPACE}{'↑' if way == 'max' else '↓'}") for name, way in sweep.goals.items()
    ]
    heads += [Head("On the front", numeric=False)] if several else []
    heads += [Head(key, numeric=not _names(sweep, key)) for key in keys]
    heads += [Head("Updates"), Head("Time")] + ([Head("State", numeric=False)] if stopped else [])
    shown, rows = judged[:MOST_SHOWN], []
    goals = [_column([trial.metrics[name] for trial in shown]) for name in sweep.goals]
    values = [_column([trial.values.get(key) for trial in shown]) for key in keys]
    for at, trial in enumerate(shown):
        texts = [f"trial {trial.number}", *(column[at] for column in goals)]
        texts += ["yes" if trial.on_front else "–"] if several else []
        texts += [column[at] for column in values]
        texts += [number(trial.steps), _duration(trial.seconds), *([trial.state] if stopped else [])]
        rows.append(Row([Cell(text, best=trial.best) for text in texts]))
    note = f"{len(rows)} of {len(judged):,} trials that have {'their goals' if several else 'the goal'}"
    note += (
        ", those on the front first: no other trial is better in one goal and as good in the others."
        if several
        else "."
    )
    title = "Best trials" if len(judged) > 1 else "Best trial"
    blocks: list[Block] = [Table(title, heads, rows, [f"{note} All are in {TRIALS}."], among="trials")]
    if judged[0].best and folder.exists(BEST):
        blocks.append(Message(f"The best is trained again by: invertone train {folder.path_of(BEST)}"))
    return blocks


def _failed(trials: Sequence[Trial]) -> list[Block]:
    failed = [trial for trial in trials if trial.state == FAILED]
    pairs = [(f"trial {trial.number}", line(trial.error or "no error is recorded")) for trial in failed[:MOST_SHOWN]]
    example = ", for example" if len(failed) > MOST_SHOWN else ""
    return [Facts(pairs, f"{len(failed):,} trial{'s' * (len(failed) > 1)} failed{example}")] if failed else []


# ------------------------------------------------------------------------------------------------------ the charts


def _charts(sweep: Sweep, judged: Sequence[Trial]) -> list[Block]:
    first, way = next(iter(sweep.goals.items()))
    good = goodness([trial.metrics[first] for trial in judged], way)
    shown = [
        drawing.Trial(f"trial {trial.number}", trial.state != DONE, trial.best, trial.on_front, part)
        for trial, part in zip(judged, good, strict=True)
    ]
    goals = [Axis(titled(name), [t.metrics[name] for t in judged], better=way) for name, way in sweep.goals.items()]
    keys = [_axis(sweep, key, judged) for key in sweep.keys[:MOST_AXES]]
    blocks: list[Block] = []
    if len(sweep.keys) > MOST_AXES:
        blocks.append(Message(f"The first {MOST_AXES} of {len(sweep.keys)} keys are drawn."))
    if len(goals) > 1:
        pairs = [(a, b) for at, a in enumerate(goals) for b in goals[at + 1 :]]
        fronts = [points(f"{b.title} against {a.title}", a, b, shown, front=True, height=300.0) for a, b in pairs]
        blocks.append(Charts(fronts, "Goal against goal"))
    for goal in goals:
        by_key = [points(f"{goal.title} against {key.title}", key, goal, shown) for key in keys]
        # they are one figure, and share the first one's legend
        by_key = [chart if at == 0 else dataclasses.replace(chart, legend=()) for at, chart in enumerate(by_key)]
        blocks += [Charts(by_key, f"{goal.title} by key")] if by_key else []
    if len(judged) > 1 and keys:
        blocks.append(Charts([parallel("Keys and goals", [*keys, *goals], shown)], "All keys and goals together"))
    return blocks


def _axis(sweep: Sweep, key: str, trials: Sequence[Trial]) -> Axis:
    """A key's axis, as its part of the space has it."""
    values = [trial.values.get(key) for trial in trials]
    kind, given = _kind(sweep.space, key)
    names = _names(sweep, key)
    ends = [float(end) for end in given if _is_number(end) and math.isfinite(end)] if not names else []
    return Axis(key, values, log=kind == "loguniform", names=names, ends=ends)


def _names(sweep: Sweep, key: str) -> list[str]:
    """The choices of a key, in their order; the values that there are, where some are words; none of a number's."""
    kind, given = _kind(sweep.space, key)
    found = [trial.values[key] for trial in sweep.trials if key in trial.values]
    if kind == "choice":
        return list(dict.fromkeys([*map(named, given), *map(named, found)]))
    return [] if all(map(_is_number, found)) else list(dict.fromkeys(map(named, found)))


def _kind(space: Mapping[str, Any], key: str) -> tuple[str, list[Any]]:
    """How a key was searched, and its ends or choices."""
    for name, entry in space.items():
        if key not in keys(name, entry):
            continue
        if "simplex" in entry:
            return "simplex", [0.0, entry.get("total", 1.0)]
        for kind, given in entry.items():
            if kind in (*RANGES, "choice") and isinstance(given, list):
                return kind, given
    return "", []


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _text(value: Any) -> str:
    return "–" if value is None else number(value) if _is_number(value) else str(value)


def _column(values: Sequence[Value]) -> list[str]:
    """A column's texts: numbers with the same decimals, where that leaves three digits or more of the smallest."""
    sizes = [abs(float(v)) for v in values if isinstance(v, float) and v and math.isfinite(v)]
    if len(sizes) < len(values) or max(sizes) >= 1e4:
        return [_text(value) for value in values]
    decimals = max(0, 3 - math.floor(math.log10(max(sizes))))
    if min(sizes) < 10.0 ** (2 - decimals):
        return [_text(value) for value in values]
    return [f"{value:.{decimals}f}".replace("-", "\N{MINUS SIGN}") for value in values]


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


CHAPTER = Chapter(
    lambda run: "Sweep",
    lambda run: "its trials, what they tried against what came of it",
    lambda runs, labels, clips, seed: blocks_of(runs[0].folder, runs[0].record),
    stage="tune",
    told_by=lambda run: not run.stage and run.folder.exists(TRIALS),
)
