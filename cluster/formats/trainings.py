"""What a training leaves in its run folder besides checkpoints: its curves, how fast it was, the clips that guide it, samples.

metrics.jsonl             a line per step that was logged or validated; names are `phase/term` or `validation/metric`
speed.json                how fast the newest process trained
guidance.json             the clips whose labels a semi-supervised training may know
checkpoints/best.json     which checkpoint is the best so far
samples/step-00000500/    clips to listen to, WAV
tensorboard/              the same curves and clips for TensorBoard

`curves_of` and readers named `readable_…` show a run as far as it can be read: what is missing or damaged is left out.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from invertone.cluster.formats.checkpoints import BEST_POINTER
from invertone.cluster.storage.folder import Folder, sha256

METRICS, SPEED, GUIDANCE = "metrics.jsonl", "speed.json", "guidance.json"
SAMPLES, TENSORBOARD = "samples", "tensorboard"
VALIDATION = "validation"
"""The phase of validation metrics."""
Curve = Sequence[tuple[float, float | None]]
"""Points (step, value); None where a value was not finite."""


@dataclass(frozen=True)
class Line:
    """A line of metrics.jsonl: the values after `step` updates, by name."""

    step: float
    values: Mapping[str, Any]

    def text(self) -> str:
        return json.dumps({"step": self.step, **self.values}) + "\n"

    @staticmethod
    def of(text: str) -> Line:
        """Raises ValueError for what is no such line."""
        values = json.loads(text)
        try:
            return Line(float(values.pop("step")), values)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"no line of metrics: {text[:80]!r}") from error


def lines_until(folder: Folder, step: int) -> list[str]:
    """The lines of metrics.jsonl up to `step`, as they are written; a last line that a kill cut short is no line."""
    try:
        texts = folder.read_bytes(METRICS).decode().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    return [text for text in texts if text.endswith("\n") and Line.of(text).step <= step]


def curves_of(folder: Folder) -> tuple[dict[str, Curve], int]:
    """Points by name of the metric, and how many lines are none: a run that was killed may leave one."""
    try:
        texts = folder.read_bytes(METRICS).decode(errors="replace").splitlines()
    except FileNotFoundError:
        return {}, 0
    curves: dict[str, list[tuple[float, float | None]]] = {}
    damaged = 0
    for text in texts:
        try:
            line = Line.of(text)
        except ValueError:
            damaged += 1
            continue
        for name, value in line.values.items():
            if isinstance(value, (int, float)):
                curves.setdefault(str(name), []).append((line.step, float(value) if math.isfinite(value) else None))
    return dict(curves), damaged


@dataclass(frozen=True)
class Speed:
    """How fast a process trained, its first step, checkpoints and validations left out. waiting_share: the share of the time
    in which there was nothing to do for lack of data. Of a file that can be read in part, the rest is None."""

    steps: int
    seconds: float
    steps_per_second: float
    waiting_share: float

    def publish(self, folder: Folder) -> None:
        folder.publish_json(SPEED, dataclasses.asdict(self))


def readable_speed(folder: Folder) -> Speed:
    found = _readable(folder, SPEED)
    values: dict[str, Any] = {each.name: found.get(each.name) for each in dataclasses.fields(Speed)}
    return Speed(**values)


@dataclass(frozen=True)
class Best:
    """The best checkpoint so far: its step, and the validation metric that made it so."""

    step: int
    metric: str
    score: float

    def publish(self, folder: Folder) -> None:
        folder.publish_json(BEST_POINTER, dataclasses.asdict(self))


def read_best(folder: Folder) -> Best | None:
    """None where no checkpoint is the best."""
    try:
        pointer = folder.read_json(BEST_POINTER)
    except FileNotFoundError:
        return None
    return Best(int(pointer["step"]), str(pointer.get("metric", "")), float(pointer["score"]))


def readable_best(folder: Folder) -> Best | None:
    """Step and score as they are written, whatever they are."""
    found = _readable(folder, BEST_POINTER)
    return Best(found.get("step"), str(found.get("metric", "score")), found.get("score")) if found else None  # type: ignore[arg-type]


@dataclass(frozen=True)
class GuidedClip:
    """Where a guided clip lies and which label it has; `label` counts in `Guidance.label_names`."""

    shard: str
    index: int
    key: str
    label: int
    speaker: str | None


@dataclass(frozen=True)
class Guidance:
    """label_names: what labels count. clips: the guided subset. asked: the config it was chosen by."""

    label_names: tuple[str, ...]
    clips: tuple[GuidedClip, ...]
    asked: dict[str, Any]

    @property
    def labels(self) -> dict[str, int]:
        """The label of each guided clip, by key."""
        return {clip.key: clip.label for clip in self.clips}

    def summary(self) -> dict[str, Any]:
        """For the checkpoint: how it was chosen, how many of each label, and what identifies the choice."""
        counts = [0] * len(self.label_names)
        for clip in self.clips:
            counts[clip.label] += 1
        keys = json.dumps(sorted((clip.key, clip.label) for clip in self.clips))
        counted = dict(zip(self.label_names, counts, strict=True))
        return {**self.asked, "clips": counted, "digest": sha256(keys.encode())}

    def publish(self, folder: Folder) -> None:
        folder.publish_json(GUIDANCE, dataclasses.asdict(self))


def read_guidance(folder: Folder) -> Guidance | None:
    """None where none is chosen yet."""
    try:
        found = folder.read_json(GUIDANCE)
    except FileNotFoundError:
        return None
    return Guidance(tuple(found["label_names"]), tuple(GuidedClip(**clip) for clip in found["clips"]), found["asked"])


def readable_guidance(folder: Folder) -> tuple[int, Any] | None:
    """How many labels are known, and which share of the labelled clips was asked for, as it is written."""
    found = _readable(folder, GUIDANCE)
    asked, clips = found.get("asked"), found.get("clips")
    return (len(clips), asked.get("fraction")) if isinstance(asked, dict) and isinstance(clips, list) else None


def _readable(folder: Folder, name: str) -> dict[str, Any]:
    """A small JSON file; nothing where there is none, or it is damaged."""
    try:
        values = folder.read_json(name)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
