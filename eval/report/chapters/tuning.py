"""A sweep: its best trials, each goal against every key that was searched, and what its goals cost each other."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from invertone.cluster.formats.ledger import FAILED
from invertone.cluster.formats.sweeps import BEST, DONE, STOPPED, TRIALS, Trial, Value, ranked
from invertone.cluster.storage.folder import Folder
from invertone.eval.report.blocks import Block, Cell, Charts, Facts, Head, Message, Row, Table
from invertone.eval.report.chapter import Chapter
from invertone.eval.report.chapters.trials import RANGES, Results, one_line, results_of
from invertone.eval.report.charts.scales import number, titled
from invertone.eval.report.charts.trials import Axis, Glyph, goodness, is_number, parallel, points

MOST_SHOWN = 10
MOST_AXES = 24
"""Keys that are drawn; a sweep over more is told by its table of trials."""


def blocks_of(folder: Folder, record: Mapping[str, Any]) -> list[Block]:
    """Everything that a sweep has left so far: what its table holds, and what its ledger knows besides."""
    config = record.get("config")
    results = results_of(folder, config)
    given = config.get("published") if isinstance(config, dict) else None
    published: Mapping[str, Any] = given if isinstance(given, dict) else {}
    trials, design = results.trials, results.design
    blocks: list[Block] = [Facts(_facts(results, published))]
    blocks += [Message(problem, problem=True) for problem in results.problems]
    if len(trials) < results.planned:
        blocks.append(Message(f"{len(trials):,} of {results.planned:,} trials have ended so far."))
    blocks += [Facts(searched, "What was searched")] if (searched := _searched(design.space)) else []
    if not design.goals:
        return [*blocks, Message("No goal is recorded, so that no trial is better than another.", problem=True)]
    able = ranked(trials, design.goals)
    blocks += _best(folder, results, able) if able else [Message("No trial has its goals yet.")]
    blocks += _charts(results, able, published) if able else []
    return blocks + _failed(trials)


def _facts(results: Results, published: Mapping[str, Any]) -> list[tuple[str, str]]:
    states = Counter(trial.state for trial in results.trials)
    counted = ", ".join(f"{states[state]:,} {state}" for state in (DONE, STOPPED, FAILED) if states[state])
    facts = [("Trials", f"{len(results.trials):,}" + (f": {counted}" if counted else ""))]
    design = results.design
    for name in ("training", "search", "scheduler", "seed"):
        if getattr(design, name) is not None:
            facts.append((name.capitalize(), str(getattr(design, name))))
    if design.goals:
        facts.append(("Goals", ", ".join(f"{titled(name)} ({way})" for name, way in design.goals.items())))
    if published:
        facts.append(("Published best", ", ".join(f"{key} {_text(value)}" for key, value in published.items())))
    spent = sum(trial.seconds for trial in results.trials if math.isfinite(trial.seconds))
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


def _best(folder: Folder, results: Results, able: Sequence[Trial]) -> list[Block]:
    """A row per trial, the best first; how to train it again."""
    shown, several = able[:MOST_SHOWN], len(results.design.goals) > 1
    columns = _columns(results, shown)
    rows = [Row([Cell(texts[at], best=trial.best) for _, texts in columns]) for at, trial in enumerate(shown)]
    note = f"{len(rows)} of {len(able):,} trials that have {'their goals' if several else 'the goal'}"
    if several:
        note += ", those on the front first: no other trial is better in one goal and as good in the others"
    title = "Best trials" if len(able) > 1 else "Best trial"
    heads = [head for head, _ in columns]
    blocks: list[Block] = [Table(title, heads, rows, [f"{note}. All are in {TRIALS}."], among="trials")]
    if able[0].best and folder.exists(BEST):
        blocks.append(Message(f"The best is trained again by: invertone train {folder.path_of(BEST)}"))
    return blocks


def _columns(results: Results, shown: Sequence[Trial]) -> list[tuple[Head, Sequence[str]]]:
    """Headings and texts: number, goals, keys, how long it took."""
    goals = results.design.goals
    columns: list[tuple[Head, Sequence[str]]] = [
        (Head("Trial", numeric=False), [f"trial {trial.number}" for trial in shown])
    ]
    for name, way in goals.items():
        head = Head(f"{titled(name)}\N{NO-BREAK SPACE}{'↑' if way == 'max' else '↓'}")
        columns.append((head, _aligned([trial.metrics[name] for trial in shown])))
    if len(goals) > 1:
        columns.append((Head("On the front", numeric=False), ["yes" if trial.on_front else "–" for trial in shown]))
    for key in results.keys:
        head = Head(key, numeric=not results.names_of(key))
        columns.append((head, _aligned([trial.values.get(key) for trial in shown])))
    columns.append((Head("Updates"), [number(trial.steps) for trial in shown]))
    columns.append((Head("Time"), [_duration(trial.seconds) for trial in shown]))
    if any(trial.state != DONE for trial in shown):
        columns.append((Head("State", numeric=False), [trial.state for trial in shown]))
    return columns


def _failed(trials: Sequence[Trial]) -> list[Block]:
    failed = [trial for trial in trials if trial.state == FAILED]
    pairs = [
        (f"trial {trial.number}", one_line(trial.error or "no error is recorded")) for trial in failed[:MOST_SHOWN]
    ]
    example = ", for example" if len(failed) > MOST_SHOWN else ""
    return [Facts(pairs, f"{len(failed):,} trial{'s' * (len(failed) > 1)} failed{example}")] if failed else []


def _charts(results: Results, able: Sequence[Trial], published: Mapping[str, Any]) -> list[Block]:
    """Goal against goal, each goal against every key with the published value marked, all together. Where one weight alone was
    swept, alone or against its complement, its trials are joined."""
    first, way = next(iter(results.design.goals.items()))
    good = goodness([trial.metrics[first] for trial in able], way)
    shown = [
        Glyph(f"trial {trial.number}", trial.state != DONE, trial.best, trial.on_front, part)
        for trial, part in zip(able, good, strict=True)
    ]
    goals = [
        Axis(titled(name), [t.metrics[name] for t in able], better=way) for name, way in results.design.goals.items()
    ]
    keys = [
        dataclasses.replace(_axis(results, key, able), published=published.get(key)) for key in results.keys[:MOST_AXES]
    ]
    curve = _is_one(results)
    blocks: list[Block] = []
    if len(results.keys) > MOST_AXES:
        blocks.append(Message(f"The first {MOST_AXES} of {len(results.keys)} keys are drawn."))
    if len(goals) > 1:
        pairs = [(a, b) for at, a in enumerate(goals) for b in goals[at + 1 :]]
        fronts = [points(f"{b.title} against {a.title}", a, b, shown, front=True, height=300.0) for a, b in pairs]
        blocks.append(Charts(fronts, "Goal against goal"))
    for goal in goals:
        by_key = [points(f"{goal.title} against {key.title}", key, goal, shown, curve=curve) for key in keys]
        # they are one figure, and share the first one's legend
        by_key = [chart if at == 0 else dataclasses.replace(chart, legend=()) for at, chart in enumerate(by_key)]
        blocks += [Charts(by_key, f"{goal.title} by key")] if by_key else []
    if len(able) > 1 and keys:
        blocks.append(Charts([parallel("Keys and goals", [*keys, *goals], shown)], "All keys and goals together"))
    return blocks


def _is_one(results: Results) -> bool:
    """Whether trials differ in one number alone: one range, or two weights whose sum is fixed."""
    kinds = [results.search_of(key)[0] for key in results.keys]
    several = len(results.keys) - (kinds == ["simplex"] * 2)
    numbers = all(is_number(trial.values.get(key)) for trial in results.trials for key in results.keys)
    return len(results.design.space) == 1 and several == 1 and numbers


def _axis(results: Results, key: str, trials: Sequence[Trial]) -> Axis:
    """A key's axis, as its part of the space has it."""
    values = [trial.values.get(key) for trial in trials]
    kind, given = results.search_of(key)
    names = results.names_of(key)
    ends = [float(end) for end in given if is_number(end) and math.isfinite(end)] if not names else []
    return Axis(key, values, log=kind == "loguniform", names=names, ends=ends)


def _text(value: Any) -> str:
    return "–" if value is None else number(value) if is_number(value) else str(value)


def _aligned(values: Sequence[Value | None]) -> list[str]:
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
