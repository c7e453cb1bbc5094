"""trials.parquet, the table of a sweep: one row per trial that is over, and in its metadata the sweep's design."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from invertone.cluster.formats.latents import METADATA_KEY
from invertone.cluster.formats.sweeps import TRIALS, Design, Proposal, Trial, marked, plain_values, run_of
from invertone.cluster.storage.folder import Folder
from invertone.cluster.storage.parquet import read_parquet

METRIC = "metric."
"""Metrics have columns of their own, keys of the training have those of their names."""
COLUMNS = {
    "trial": pa.int32(),
    "state": pa.string(),
    "best": pa.bool_(),
    "on_front": pa.bool_(),
    "steps": pa.int64(),
    "seconds": pa.float64(),
    "run": pa.string(),
    "error": pa.string(),
}


def publish_trials(folder: Folder, trials: Iterable[Trial], design: Design) -> None:
    """The table of trials, the best and the front marked by the design's goals."""
    rows = marked(sorted(trials, key=lambda trial: trial.number), design.goals)
    keys = sorted({key for row in rows for key in row.values})
    metrics = sorted({name for row in rows for name in row.metrics})
    fixed = [_row(row) for row in rows]
    columns = {name: pa.array([row[name] for row in fixed], kind) for name, kind in COLUMNS.items()}
    columns |= {key: _column([row.values.get(key) for row in rows]) for key in keys}
    columns |= {f"{METRIC}{name}": pa.array([row.metrics.get(name) for row in rows], pa.float64()) for name in metrics}
    about = dataclasses.asdict(dataclasses.replace(design, keys=keys))
    table = pa.table(columns).replace_schema_metadata({METADATA_KEY: json.dumps(about)})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    folder.publish_bytes(TRIALS, buffer.getvalue())


def read_trials(folder: Folder) -> tuple[list[Trial], dict[str, Any]]:
    """The table of trials and its metadata (see `Design.readable`). Raises OSError, ValueError, KeyError, TypeError or
    pyarrow.ArrowException where there is none, or a damaged one."""
    table = read_parquet(folder.read_bytes(TRIALS))
    about = json.loads((table.schema.metadata or {}).get(METADATA_KEY, b"{}"))
    metrics = [name for name in table.column_names if name.startswith(METRIC)]
    keys = [name for name in table.column_names if name not in COLUMNS and name not in metrics]
    return [_trial(row, keys, metrics) for row in table.to_pylist()], about if isinstance(about, dict) else {}


def _row(trial: Trial) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "state": trial.state,
        "best": trial.best,
        "on_front": trial.on_front,
        "steps": trial.steps,
        "seconds": trial.seconds,
        "run": run_of(trial.number),
        "error": trial.error or None,
    }


def _trial(row: Mapping[str, Any], keys: Sequence[str], metrics: Sequence[str]) -> Trial:
    return Trial(
        number=int(row["trial"]),
        proposal=Proposal(plain_values({key: row[key] for key in keys})),
        state=str(row["state"]),
        steps=int(row.get("steps") or 0),
        seconds=float(row.get("seconds") or 0.0),
        metrics={name.removeprefix(METRIC): float(row[name]) for name in metrics if row[name] is not None},
        error=str(row.get("error") or ""),
        best=bool(row.get("best")),
        on_front=bool(row.get("on_front")),
    )


def _column(values: Sequence[Any]) -> pa.Array:
    """Numbers as float64 (whole ones as int64), anything else as text."""
    known = [value for value in values if value is not None]
    if all(isinstance(value, bool) for value in known):
        return pa.array(values, pa.bool_())
    if all(isinstance(value, int) and not isinstance(value, bool) for value in known):
        return pa.array(values, pa.int64())
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in known):
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    return pa.array([None if value is None else str(value) for value in values], pa.string())
