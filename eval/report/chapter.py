"""What a chapter of the page is: which runs it is for, and what it shows of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from invertone.cluster.errors import UserError
from invertone.cluster.jobs.status import status
from invertone.cluster.storage.folder import Folder
from invertone.eval.report.blocks import Block


@dataclass(frozen=True)
class Run:
    """A run folder as it was found. record: run.json, empty where there is none. parts: names of the Parquet files with rows;
    about: what the first says of their making. problems: what is wrong with it. kind: of its chapter."""

    folder: Folder
    record: Mapping[str, Any] = field(default_factory=dict)
    parts: Sequence[str] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    problems: Sequence[str] = ()
    kind: str = ""

    @property
    def stage(self) -> str:
        """What made it, where run.json says it."""
        return str(self.record.get("stage", ""))

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


@dataclass(frozen=True)
class Placed:
    """Where a run is shown: runs of one group share a section, and each has a label in it."""

    group: str
    label: str


def _alone(runs: Sequence[Run]) -> dict[str, Placed]:
    return {run.folder.uri: Placed(run.folder.uri, run.name) for run in runs}


def _never(run: Run) -> bool:
    return False


@dataclass(frozen=True)
class Chapter:
    """What a line in `eval/report/chapters/registry.py` names. title: of a run's section; shown: what a dry run says is shown;
    blocks: of runs that share a section, with their labels by address, how many clips to show, and a seed. stage: runs of this
    stage are its; told_by: and those whose files tell, asked in the order of the registry. placed: which runs share a section,
    by address; by default each has its own.
    """

    title: Callable[[Run], str]
    shown: Callable[[Run], str]
    blocks: Callable[[Sequence[Run], Mapping[str, str], int, int], list[Block]]
    stage: str = ""
    told_by: Callable[[Run], bool] = _never
    placed: Callable[[Sequence[Run]], dict[str, Placed]] = _alone
