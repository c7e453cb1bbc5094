"""What kind of run a folder holds, and its chapter of the page. A run without run.json is told by its files."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from invertone.cluster.errors import UserError
from invertone.cluster.formats.latents import committed_parts, metadata_of
from invertone.cluster.formats.ledger import LEDGER
from invertone.cluster.formats.runs import RUN
from invertone.cluster.formats.sweeps import TRIALS
from invertone.cluster.storage.folder import Folder
from invertone.cluster.storage.layout import laid_out
from invertone.eval import figures
from invertone.eval.report.blocks import Block, Facts, Message, Section
from invertone.eval.report.chapter import Chapter, Placed, Run
from invertone.eval.report.chapters import figures as drawn
from invertone.eval.report.chapters.registry import CHAPTERS

NO_ROWS = ("rejects.parquet", "warnings.parquet", TRIALS)
"""Parquet files that hold something else than clips."""
OTHER = Chapter(
    lambda run: "Run",
    lambda run: f"what its {RUN} says",
    lambda runs, labels, clips, seed: [Message(f"A run of {runs[0].stage} has nothing to look at or listen to.")],
)


def found(uri: str) -> Run:
    """The run at `uri`. Raises UserError where there is nothing that could be shown."""
    folder = laid_out(Folder.at(uri))
    if not folder.exists():
        raise UserError("no such folder", where=folder.uri, fix="give the out of a job")
    record, problems = _record(folder)
    parts, about, damaged = _parts(folder)
    problems += damaged
    run = Run(folder, record, parts, about)
    kind = _kind(run)
    if not kind and not record:
        raise UserError(
            "neither a run of ours nor shards",
            where=folder.uri,
            fix="give the out of an eval, infer, train, tune or generate",
        )
    if not record and not problems:
        problems.append(f"{RUN} is missing: what follows is told by the folder's files")
    return dataclasses.replace(run, problems=problems, kind=kind)


def _record(folder: Folder) -> tuple[dict[str, Any], list[str]]:
    try:
        record = folder.read_json(RUN)
    except (FileNotFoundError, NotADirectoryError):
        return {}, []
    except ValueError:
        record = None
    if not isinstance(record, dict):
        return {}, [f"{RUN} is damaged: what follows is told by the folder's files"]
    return record, []


def _parts(folder: Folder) -> tuple[list[str], dict[str, Any], list[str]]:
    """Names of the Parquet files with rows, and what the first that can be read says of their making.

    Those that the ledger vouches for; where it is lost, those that lie in the folder.
    """
    try:
        names = [part.name for part in committed_parts(folder)]
    except (OSError, ValueError, KeyError, TypeError):
        names = []
    if not names and not folder.exists(LEDGER):
        names = [name for name in folder.names() if name.endswith(".parquet") and name not in NO_ROWS]
    problems: list[str] = []
    for name in names:
        try:
            return names, metadata_of(folder, _Named(name)), []  # type: ignore[arg-type]
        except (UserError, OSError, ValueError, pa.ArrowException) as error:
            problems.append(f"{folder.path_of(name)}: {' '.join(str(error).split())[:160]}")
    return names, {}, problems[:1]


@dataclass(frozen=True)
class _Named:
    """As much of an output as a reader of its metadata looks at."""

    name: str


def _kind(run: Run) -> str:
    """The chapter that is for it: by its stage, else by its files; empty if there is none."""
    chapters = {name: CHAPTERS.implementation(name) for name in CHAPTERS}
    by_stage = (name for name, chapter in chapters.items() if run.stage and chapter.stage == run.stage)
    by_files = (name for name, chapter in chapters.items() if chapter.told_by(run))
    return next(by_stage, None) or next(by_files, "")


def _chapter(run: Run) -> Chapter:
    chapter: Chapter = CHAPTERS.implementation(run.kind) if run.kind else OTHER
    return chapter


def sections_of(runs: Sequence[Run], clips: int, seed: int) -> list[Section]:
    """A section per run, in the order given; runs that their chapter shows side by side share one."""
    placed: dict[str, Placed] = {}
    for kind in dict.fromkeys(run.kind for run in runs):
        same = [run for run in runs if run.kind == kind]
        placed |= _chapter(same[0]).placed(same)
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(placed[run.folder.uri].group, []).append(run)
    labels = {uri: each.label for uri, each in placed.items()}
    return [_section(number, together, labels, clips, seed) for number, together in enumerate(groups.values(), 1)]


def _section(number: int, runs: Sequence[Run], labels: Mapping[str, str], clips: int, seed: int) -> Section:
    first, chapter = runs[0], _chapter(runs[0])
    blocks: list[Block] = [Message(f"{run.name}: {line}", problem=True) for run in runs for line in run.problems]
    title = f"{chapter.title(first)}: {', '.join(labels[run.folder.uri] for run in runs)}"
    blocks += chapter.blocks(runs, labels, clips, seed)
    if first.kind:
        blocks += drawn.blocks_of(first.folder)
    blocks += [_config(run) for run in runs if run.record]
    blocks.sort(key=lambda block: isinstance(block, Facts) and block.folded)  # what is folded comes last
    return Section(f"run-{number}", title, " · ".join(run.folder.uri for run in runs), blocks)


def _config(run: Run) -> Facts:
    """What run.json says: when, by what, with which keys."""
    pairs = [("started", str(run.record.get("started", "–")))]
    for title in ("config", "versions", "fingerprint"):
        values = run.record.get(title)
        for name, value in _flat(values if isinstance(values, dict) else {}):
            if title != "fingerprint" or name.startswith("input."):
                pairs.append((name.replace("input.", "digest of ") if title == "fingerprint" else name, value))
    return Facts(pairs, f"What made {run.name}", folded=True)


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            pairs += _flat(value, f"{prefix}{name}.")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            pairs.append((f"{prefix}{name}", text if value not in (None, "", []) else "–"))
    return pairs


def described(run: Run) -> str:
    """What --dry-run says of a run."""
    chapter = _chapter(run)
    listed = [f"{each.kind} {each.title!r}" for each in figures.read(run.folder)[0]]
    return f"{run.folder.uri}: {chapter.title(run).lower()}, {chapter.shown(run)}" + (
        f", figures {', '.join(listed)}" if listed else ""
    )
