"""Detection applied: which clips of an inference run a deepfake table's detector takes for generated.

`detected.parquet` has a row per clip, in the order of keys; the table says how many of each split.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

import numpy as np
import pyarrow as pa

from invertone.cluster.errors import UserError
from invertone.cluster.formats.latents import table_bytes
from invertone.cluster.jobs.driver import Driver
from invertone.cluster.jobs.engine import Outcome
from invertone.cluster.storage.folder import Folder
from invertone.eval.latents.detector import ROLES, Detector, read
from invertone.eval.latents.features import Features, Request, Source, gather
from invertone.eval.latents.inference_runs import InferenceRun, open_inference_runs
from invertone.eval.schemas.detect import DetectConfig
from invertone.eval.table import Cell, Column, Table
from invertone.eval.tabulate import tabulate

DETECTED = "detected.parquet"
COLUMNS = (
    Column("row", "Clips of"),
    Column("n", "n", ","),
    Column("generated", "Taken for generated", ","),
    Column("share", "Share", ".1%"),
    Column("probability", "Mean probability", ".3f"),
)


def plan(config: DetectConfig) -> list[str]:
    """What --dry-run prints."""
    source, detector = _inputs(config)
    rows = sum(part.rows for part in source.parts)
    return [f"would tell: at most {config.clips:,} of {rows:,} clips by their column {detector.column}"]


def run(name: str, config: DetectConfig) -> None:
    """Gathers latents, applies the detector, writes what it says of each clip, prints the table."""
    source, detector = _inputs(config)
    said = hashlib.sha256(json.dumps(asdict(detector), sort_keys=True).encode()).hexdigest()
    digests = {"latents": source.run.digest, "detector": said}
    request = Request(config.seed, (detector.column,), False, "untouched", config.batch, config.device)

    def make(driver: Driver) -> tuple[Table, Outcome]:
        (clips,), outcome = gather(driver, f"eval {name}", [source], request, config)
        if not len(clips):
            raise UserError("no latents of these splits", where=source.run.uri, fix="choose other splits")
        clips = clips.take(np.argsort(clips["key"], kind="stable"))
        probability = detector.probability(clips[detector.column].astype(np.float64))
        driver.term.folder.publish_bytes(DETECTED, table_bytes(detected(clips, probability)))
        return _table(config, source.run, detector, clips, probability), outcome

    tabulate(name, config, digests, make)


def detected(clips: Features, probability: np.ndarray) -> pa.Table:
    """A row per clip: key, split, label_name, speaker, recording, shard, the probability that it was generated, and whether
    that is above a half."""
    known = {name: clips[name] for name in ("key", "split", "label_name", "speaker", "recording", "shard")}
    columns = {
        name: pa.array([each or None for each in values.tolist()], pa.string()) for name, values in known.items()
    }
    return pa.table({**columns, "probability": pa.array(probability), "generated": pa.array(probability > 0.5)})


def _inputs(config: DetectConfig) -> tuple[Source, Detector]:
    detector = read(Folder.at(config.detector))
    inferred = open_inference_runs([config.latents], [config.shards] if config.shards else [])[0]
    for role in ROLES:
        if inferred.about["digests"].get(role) != detector.digests.get(role):
            raise UserError(
                f"latents were made with another {role} than the detector's",
                where=inferred.uri,
                fix=f"infer with the {role} of the detector's runs",
            )
    inferred.check_columns([detector.column])
    size = inferred.vector_columns()[detector.column]
    assert size == len(detector.weights), "of one generator"
    return Source(inferred, inferred.of_splits(config.splits), config.clips), detector


def _table(
    config: DetectConfig, inferred: InferenceRun, detector: Detector, clips: Features, probability: np.ndarray
) -> Table:
    splits = sorted(set(clips["split"].tolist()))
    groups = {"all": np.full(len(clips), True)}
    if len(splits) > 1:
        groups |= {split: clips["split"] == split for split in splits}
    rows: list[dict[str, Cell]] = []
    for name, chosen in groups.items():
        own = probability[chosen]
        count = int((own > 0.5).sum())
        rows.append(
            {
                "row": name,
                "n": len(own),
                "generated": count,
                "share": count / len(own),
                "probability": float(own.mean()),
            }
        )
    notes = [
        f"Logistic regression on `{detector.column}`, fitted to {detector.clips:,} clips, half of them generated; in "
        f"cross-validation {detector.accuracy:.1%} of such clips were told right. It knows the generator it learned from, "
        "and levels and lengths of its recordings: of others it may be wrong.",
        f"Taken for generated: a probability above a half, if as many clips are generated as are not. Each clip's: {DETECTED}.",
    ]
    about = {"latents": inferred.uri, "detector": config.detector, "seed": config.seed, "n": len(clips)}
    return Table(f"Taken for generated: {inferred.manifest.corpus}", COLUMNS, rows, notes, about)
