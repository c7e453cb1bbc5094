"""A training's own files beside its checkpoints.

metrics.jsonl     a line per `log_every` updates and per validation: {"step": 10, NAME: value, …}
tensorboard/      the same for TensorBoard
samples/          clips to listen to, by update
speed.json        how fast it went: {"steps_per_second": …, "waiting_share": …, …}
guidance.json     which clips' labels a semi-supervised training may know
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

from invertone.cluster.storage.folder import Folder

METRICS, TENSORBOARD, SAMPLES = "metrics.jsonl", "tensorboard", "samples"
SPEED, GUIDANCE = "speed.json", "guidance.json"

Curve = Sequence[tuple[float, float | None]]
"""Points (step, value); None where a value was not finite."""


def metrics_line(step: int, values: Mapping[str, float]) -> str:
    """What is written after an update or a validation."""
    return json.dumps({"step": step, **values}) + "\n"


def curves_of(folder: Folder) -> tuple[dict[str, Curve], int]:
    """Points by name of the metric, and how many lines are none: a run that was killed may leave one."""
    try:
        written = folder.read_bytes(METRICS).decode(errors="replace").splitlines()
    except FileNotFoundError:
        return {}, 0
    curves: dict[str, list[tuple[float, float | None]]] = {}
    damaged = 0
    for line in written:
        try:
            values = json.loads(line)
            step = float(values.pop("step"))
        except (ValueError, TypeError, KeyError, AttributeError):
            damaged += 1
            continue
        for name, value in values.items():
            if isinstance(value, (int, float)):
                curves.setdefault(str(name), []).append((step, float(value) if math.isfinite(value) else None))
    return dict(curves), damaged
