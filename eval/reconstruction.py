"""The reconstruction table: how near reconstructions come to their clips, beside what doing nothing scores.

Rows: one per inference run; *real* (the clip itself: what the measures say of perfection), *silence*, and *random latent*
(a reconstruction that knows nothing of the clip). A method that does not beat the last two has recovered nothing.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from cluster.driver import driving
from cluster.engine import Outcome, run_units
from cluster.errors import UserError
from cluster.ledger import Unit
from cluster.runs import SUMMARY, open_run
from cluster.shards import ShardManifest, load_manifest
from cluster.storage import Folder, content_digest
from cluster.tables import committed_parts, described
from eval.config import ReconstructionConfig
from eval.inference_runs import check_complete, labels_of
from eval.judge import BASELINES, Job, ReconstructionStage, Run
from eval.table import Cell, Column, Table
from models.checkpoint import folder_of
from models.generator import check_generator, generator_digest

COLUMNS = (
    Column("row", "Row"),
    Column("clips", "Clips", ","),
    Column("failed", "Failed", ","),
    Column("accuracy", "Accuracy", ".1%", "↑"),
    Column("feature_distance", "Feature distance", ".4f", "↓"),
    Column("ssim", "SSIM", ".4f", "↑"),
    Column("spectrogram_mae", "Spectrogram MAE", ".4f", "↓"),
    Column("waveform_mse", "Waveform MSE", ".5f", "↓"),
    Column("explained_variance", "Explained variance", ".3f", "↑"),
    Column("recovered", "Recovered", ".1%", "↑"),
    Column("latent_error", "Latent error", ".4f", "↓"),
    Column("evaluations", "Evaluations", ",.1f", "↓"),
    Column("seconds", "Seconds", ".3f", "↓"),
)
NOTES = (
    "Accuracy: share of labelled clips whose reconstruction the classifier hears as the label (which of synthesised clips is "
    "what it heard in the clip itself). Feature distance: mean squared difference of the classifier's block activations.",
    "SSIM and MAE are of log-magnitude spectrograms (512/128, 87 dB below full scale, scaled to [-1, 1]).",
    "Explained variance is of waveforms, pooled over clips: 1 - sum of residual variances / sum of clip variances. "
    "Recovered: share of clips whose own explained variance is at least 0.99.",
    "Latent error: root mean square difference, over clips and coordinates, of the latent that made the clip and the "
    "recovered one; of clips that the inverted generator made (`invertone generate`).",
    "Evaluations: of the inverter's objective, mean per clip. Seconds: of compute per clip, of the whole inference run.",
    "Waveform measures reward silence: read them against the row *silence*.",
)


def plan(config: ReconstructionConfig) -> list[str]:
    """What --dry-run prints."""
    job, manifest = _resolve(config)
    units = _units(config, job, manifest)
    names = ", ".join(run.label for run in job.runs)
    return [f"would judge: {sum(unit.items for unit in units):,} rows of {names} in {len(units):,} Parquet files"]


def run(name: str, config: ReconstructionConfig) -> None:
    """Judges every row and prints the table."""
    job, manifest = _resolve(config)
    digests = {f"latents.{run.label}": content_digest(committed_parts(Folder.at(run.uri))) for run in job.runs}
    digests["shards"] = manifest.digest
    digests["generator"] = check_generator(job.generator)
    if job.classifier:
        digests["classifier"] = folder_of(job.classifier, "classifier", "classifier")[1].digest
    folder = open_run("eval", name, config, digests)
    units = _units(config, job, manifest)
    stage, what = ReconstructionStage(job), f"eval {name}"
    with driving(folder) as driver:
        outcome = run_units(driver, stage, units, what=what, items="rows", settings=config, device=config.device)
        table = _table(job, outcome, manifest)
        table.publish(folder)
        folder.publish_json(SUMMARY, outcome.summary())
    print(table.markdown())
    print(folder.path_of("table.md"))
    outcome.check()


def _resolve(config: ReconstructionConfig) -> tuple[Job, ShardManifest]:
    about = [described(Folder.at(uri)) for uri in config.latents]
    recorded = about[0]["inputs"]
    shards = config.shards or recorded["shards"]
    manifest = load_manifest(Folder.at(shards))
    for uri, each in zip(config.latents, about, strict=True):
        if each["digests"]["shards"] != manifest.digest:
            raise UserError(
                "latents were made from other shards",
                where=uri,
                fix=f"give the shards they were made from, not {shards}",
            )
        check_complete(Folder.at(uri))
    classifier = config.classifier or recorded.get("classifier")
    generator = config.generator or recorded["generator"]
    made_by = manifest.extra.get("digests", {}).get("generator", "")
    runs = tuple(
        Run(label, uri, each["digests"]["generator"] == made_by)
        for label, uri, each in zip(labels_of(config.latents, about), config.latents, about, strict=True)
    )
    known = generator_digest(generator) == made_by
    return Job(runs, shards, generator, known, classifier, config.seed, config.batch, config.device), manifest


def _units(config: ReconstructionConfig, job: Job, manifest: ShardManifest) -> list[Unit]:
    """One per Parquet file. Baselines are judged once, beside the first run."""
    entries = {entry.name: entry for entry in manifest.of_splits(config.splits)}
    units = []
    for number, run in enumerate(job.runs):
        for part in committed_parts(Folder.at(run.uri)):
            stem = part.name.removesuffix(".parquet")
            entry = entries.get(f"{stem}.tar")
            if entry is not None:
                work = {"row": run.label, "latents": run.uri, "known": run.known, "baselines": number == 0}
                work |= {"part": dataclasses.asdict(part), "shard": dataclasses.asdict(entry)}
                units.append(Unit(f"{number:02d}-{stem}", work, items=entry.count))
    if not units:
        raise UserError("no rows of these splits", where=config.latents[0], fix="choose other splits")
    return units


def _table(job: Job, outcome: Outcome, manifest: ShardManifest) -> Table:
    sums = outcome.statistics["rows"]
    seconds: dict[str, float | None] = {run.label: _seconds_per_clip(Folder.at(run.uri)) for run in job.runs}
    ordered = seconds | dict.fromkeys(BASELINES)
    rows = [_row(name, sums[name], job.classifier is not None, ordered[name]) for name in ordered if name in sums]
    about = {
        "corpus": manifest.corpus,
        "latents": [run.uri for run in job.runs],
        "shards": job.shards,
        "generator": job.generator,
        "classifier": job.classifier,
        "seed": job.seed,
    }
    return Table(f"Reconstruction of {manifest.corpus}", COLUMNS, rows, NOTES, about)


def _seconds_per_clip(folder: Folder) -> float | None:
    """What an inference run says of its own cost, None where it does not."""
    try:
        summary = folder.read_json(SUMMARY)
    except FileNotFoundError:
        return None
    seconds, clips = summary.get("seconds"), summary.get("clips")
    return seconds / clips if seconds is not None and clips else None


def _row(name: str, sums: Mapping[str, float], classified: bool, seconds: float | None) -> dict[str, Cell]:
    clips = sums["clips"]
    mean = {
        key: sums[key] / clips if clips else None
        for key in ("waveform_mse", "spectrogram_mae", "ssim", "feature_distance")
    }
    if not classified:
        mean["feature_distance"] = None
    variance = sums["clip_variance"]
    return {
        "row": name,
        "clips": int(clips),
        "failed": int(sums["failed"]),
        **mean,
        "accuracy": sums["correct"] / sums["labelled"] if sums["labelled"] else None,
        "explained_variance": 1.0 - sums["residual_variance"] / variance if variance else None,
        "recovered": sums["recovered"] / clips if clips else None,
        "latent_error": math.sqrt(sums["latent_square"] / sums["latents_known"]) if sums["latents_known"] else None,
        "evaluations": sums["evaluations"] / sums["evaluations_known"] if sums["evaluations_known"] else None,
        "seconds": seconds,
    }
