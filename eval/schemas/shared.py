"""Keys that every table has, and those of tables that judge clips or look at a sample."""

from __future__ import annotations

from dataclasses import dataclass

from invertone.cluster.config.schema import REQUIRED, key
from invertone.cluster.config.shared import BulkConfig
from invertone.cluster.formats.shards import SPLITS
from invertone.eval.schemas.measures import MEASURES

DEVICES = ("auto", "cpu", "cuda")
COLUMNS = tuple(each.name for each in MEASURES)
LEVELS = ("untouched", "peak", "rms")
GROUPINGS = ("auto", "recording", "speaker")
TARGETS = ("label", "speaker", "gender")
PUBLISHED_JUDGES = ("", "wavegan-inception", "cnn-xxiv", "resnet18")
"""See `models/judges.py`; empty: not known, or of no classifier."""
COLOURS = (*TARGETS, "split", "run")


@dataclass(frozen=True)
class EvalConfig(BulkConfig):
    """Keys that every table has."""

    table: str = key(REQUIRED, "which table")
    out: str = key(REQUIRED, "run folder that takes the table", path=True, neutral=True)
    splits: list[str] = key([], "only clips of these splits; empty means all", choices=SPLITS)
    batch: int = key(64, "clips at a time; does not change the result", minimum=1, neutral=True)
    device: str = key("auto", "auto takes GPUs where the cluster has them", choices=DEVICES, neutral=True)
    needs: dict[str, str] = key(
        {},
        "how to make what the table is made of: {key: command}, {key.entry: command}, or {path: command} of what others are "
        "made of; in a command {name} is the run folder's name, {number} which of its row's runs it is, from 0",
        neutral=True,
    )
    partial: bool = key(
        False, "leave out runs that are not there, and rows without any, instead of refusing", neutral=True
    )


@dataclass(frozen=True)
class JudgedConfig(EvalConfig):
    """Keys of tables that judge clips by a classifier and by distances, with confidence intervals."""

    seed: int = key(0, "decides random latents, groups and bootstrap draws", minimum=0)
    bootstrap: int = key(200, "bootstrap replicates behind the 95 % intervals; 0 makes none", minimum=0, maximum=10_000)
    groups: int = key(10, "groups that the inception score is the mean of; WaveGAN takes 10", minimum=1, maximum=1_000)
    columns: list[str] = key(
        [],
        "columns to show; empty means all that there are",
        choices=COLUMNS,
        neutral=True,
    )
    published_judge: str = key(
        "",
        "the classifier that a paper's figures are of; where the table's own is another, they are marked",
        choices=PUBLISHED_JUDGES,
        neutral=True,
    )
    title: str = key("", "what stands above the table; empty means a plain description", neutral=True)
    published: dict[str, dict[str, list[float]]] = key(
        {},
        "a paper's figures, to stand beside ours: {row: {column: figure}}, or [figure, spread] for one with its ±",
        neutral=True,
    )
    notes: list[str] = key([], "what is to be said below the table", neutral=True)


@dataclass(frozen=True)
class SampleConfig(EvalConfig):
    """Keys of the tables that look at a sample of clips."""

    clips: int = key(
        1_000, "at most so many clips of each side or split, chosen by seed and key", minimum=2, maximum=10_000
    )
    seed: int = key(0, "decides which clips, the folds and the bootstrap", minimum=0)
