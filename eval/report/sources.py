"""What kind of run a folder holds, and its chapter of the page. A run without run.json is told by its files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from invertone.cluster.errors import UserError
from invertone.cluster.formats.latents import committed_parts, metadata_of
from invertone.cluster.formats.ledger import LEDGER
from invertone.cluster.formats.runs import RUN
from invertone.cluster.formats.shards import MANIFEST
from invertone.cluster.formats.sweeps import TRIALS
from invertone.cluster.formats.training import METRICS
from invertone.cluster.jobs.status import status
from invertone.cluster.storage.folder import Folder
from invertone.cluster.storage.layout import laid_out
from invertone.eval import figures
from invertone.eval.report.blocks import Block, Facts, Message, Section
from invertone.eval.report.chapters import evaluation, inference, material, training, tuning
from invertone.eval.report.chapters import figures as drawn
from invertone.eval.report.chapters.inference import Method
from invertone.eval.table import JSON

EVALUATION, INFERENCE, TRAINING, TUNING = "eval", "infer", "train", "tune"
SHARDS, GENERATED, OTHER = "shards", "generate", "other"
NO_ROWS = ("rejects.parquet", "warnings.parquet", TRIALS)
"""Parquet files that hold something else than clips."""
TITLES = {
    EVALUATION: "Evaluation",
    INFERENCE: "Inference",
    TRAINING: "Training",
    TUNING: "Sweep",
    SHARDS: "Clips",
    GENERATED: "Generated clips",
    OTHER: "Run",
}


@dataclass(frozen=True)
class Run:
    """A run folder as it was found. record: run.json, empty where there is none. problems: what is wrong with it."""

    folder: Folder
    kind: str
    record: Mapping[str, Any] = field(default_factory=dict)
    parts: Sequence[str] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    problems: Sequence[str] = ()

    @property
    def name(self) -> str:
        return self.folder.uri.rstrip("/").rsplit("/", 1)[-1]

    @property
    def digest(self) -> str:
        """Identifies what decided the run's result, empty where the run does not tell."""
        fingerprint = self.record.get("fingerprint")
        if not fingerprint:
            return ""
        return hashlib.sha256(json.dumps(fingerprint, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def state(self) -> str:
        """done, running, stopped …, where the folder tells."""
        if not self.record:
            return "no run.json"
        try:
            return status(self.folder).state
        except (UserError, OSError, ValueError, KeyError, TypeError, pa.ArrowException):
            return "unknown"


def found(uri: str) -> Run:
    """The run at `uri`. Raises UserError where there is nothing that could be shown."""
    folder = laid_out(Folder.at(uri))
    if not folder.exists():
        raise UserError("no such folder", where=folder.uri, fix="give the out of a job")
    record, problems = _record(folder)
    parts, about, damaged = _parts(folder)
    problems += damaged
    kind = _kind(folder, record, parts, about)
    if kind == OTHER and not record:
        raise UserError(
            "neither a run of ours nor shards",
            where=folder.uri,
            fix="give the out of an eval, infer, train, tune or generate",
        )
    if not record and not problems:
        problems.append(f"{RUN} is missing: what follows is told by the folder's files")
    return Run(folder, kind, record, parts, about, problems)


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


def _kind(folder: Folder, record: Mapping[str, Any], parts: Sequence[str], about: Mapping[str, Any]) -> str:
    stage = str(record.get("stage", ""))
    if stage in (EVALUATION, TRAINING, TUNING, INFERENCE):
        return stage
    if folder.exists(MANIFEST):
        return SHARDS
    if stage == GENERATED or (not stage and folder.exists(material.WAV)):
        return GENERATED
    if not stage and folder.exists(JSON):
        return EVALUATION
    if not stage and folder.exists(TRIALS):
        return TUNING
    if not stage and folder.exists(METRICS):
        return TRAINING
    if not stage and parts and about:
        return INFERENCE if "shards" in about.get("inputs", {}) else GENERATED
    return OTHER


def sections_of(runs: Sequence[Run], clips: int, seed: int) -> list[Section]:
    """A chapter per run, in the order given; inference runs over the same shards share one."""
    sections: list[Section] = []
    grouped: set[str] = set()
    methods = _methods(runs)
    for run in runs:
        if run.folder.uri in grouped:
            continue
        together = [run]
        if run.kind == INFERENCE and run.folder.uri in methods:
            digest = methods[run.folder.uri].shards_digest
            together = [
                each for each in runs
                if each.folder.uri in methods and methods[each.folder.uri].shards_digest == digest
            ]  # fmt: skip
        grouped |= {each.folder.uri for each in together}
        sections.append(_section(len(sections) + 1, together, methods, clips, seed))
    return sections


def _methods(runs: Sequence[Run]) -> dict[str, Method]:
    """Inference runs that can be compared, by address; equal names are told apart by their folders."""
    able = {run.folder.uri: run for run in runs if run.kind == INFERENCE and run.parts and run.about}
    names = [str(run.about.get("name") or run.about.get("method") or run.name) for run in able.values()]
    methods = {}
    for name, run in zip(names, able.values(), strict=True):
        label = name if names.count(name) == 1 else f"{name} ({run.name})"
        methods[run.folder.uri] = Method(label, run.folder, run.parts, run.about)
    return methods


def _section(number: int, runs: Sequence[Run], methods: Mapping[str, Method], clips: int, seed: int) -> Section:
    first = runs[0]
    blocks: list[Block] = [Message(f"{run.name}: {line}", problem=True) for run in runs for line in run.problems]
    made = first.kind == SHARDS and first.record.get("stage") == GENERATED
    title = f"{TITLES[GENERATED if made else first.kind]}: {', '.join(_called(run, methods) for run in runs)}"
    if first.kind == EVALUATION:
        blocks += evaluation.blocks_of(first.folder)
    elif first.kind == TRAINING:
        blocks += training.blocks_of(first.folder, clips)
    elif first.kind == TUNING:
        blocks += tuning.blocks_of(first.folder, first.record)
    elif first.kind == SHARDS:
        blocks += material.shards_blocks(first.folder, clips, seed)
    elif first.kind == GENERATED:
        blocks += material.generated_blocks(first.folder, first.record, first.parts, clips)
    elif first.kind == INFERENCE and first.folder.uri in methods:
        blocks += inference.blocks_of([methods[run.folder.uri] for run in runs], clips, seed)
    elif first.kind == INFERENCE:
        blocks.append(Message("No Parquet is committed yet."))
    else:
        blocks.append(Message(f"A run of {first.record.get('stage')} has nothing to look at or listen to."))
    if first.kind != OTHER:
        blocks += drawn.blocks_of(first.folder)
    blocks += [_config(run) for run in runs if run.record]
    blocks.sort(key=lambda block: isinstance(block, Facts) and block.folded)  # what is folded comes last
    return Section(f"run-{number}", title, " · ".join(run.folder.uri for run in runs), blocks)


def _called(run: Run, methods: Mapping[str, Method]) -> str:
    if run.folder.uri in methods:
        return methods[run.folder.uri].label
    return run.name


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
    shown = {
        EVALUATION: "its table",
        INFERENCE: f"{len(run.parts):,} Parquet files, clips beside their reconstructions",
        TRAINING: "its curves and samples",
        TUNING: "its trials, what they tried against what came of it",
        SHARDS: "its counts and some clips",
        GENERATED: "its clips",
        OTHER: f"what its {RUN} says",
    }[run.kind]
    listed = [f"{each.kind} {each.title!r}" for each in figures.read(run.folder)[0]]
    return f"{run.folder.uri}: {TITLES[run.kind].lower()}, {shown}" + (
        f", figures {', '.join(listed)}" if listed else ""
    )
