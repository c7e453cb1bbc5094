"""The reconstruction table: how near reconstructions come to their clips, beside what doing nothing scores.

Rows: one per inference run; *real* (the clip itself: what the measures say of perfection), *silence*, and *random latent*
(a reconstruction that knows nothing of the clip). A method that does not beat the last two has recovered nothing. All rows
are over the same clips: those that every run has a result for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from invertone.cluster.errors import UserError
from invertone.cluster.formats.latents import committed_parts, described
from invertone.cluster.formats.ledger import Output, Unit
from invertone.cluster.formats.runs import SUMMARY
from invertone.cluster.formats.shards import ShardManifest, load_manifest
from invertone.cluster.jobs.driver import Driver
from invertone.cluster.jobs.engine import Outcome, run_units
from invertone.cluster.storage.folder import Folder, content_digest
from invertone.cluster.storage.layout import laid_out
from invertone.eval.latents.inference_runs import check_run, labels_of
from invertone.eval.measures.columns import estimates, table_of
from invertone.eval.measures.estimates import Estimate
from invertone.eval.measures.labels import unshared_labels
from invertone.eval.measures.listener import Sampling
from invertone.eval.measures.sums import merged
from invertone.eval.schemas.reconstruction import ReconstructionConfig
from invertone.eval.table import Table, literal
from invertone.eval.tables.judge import BASELINES, Job, ReconstructionStage, Run
from invertone.eval.tabulate import tabulate
from invertone.models.checkpoint import folder_of
from invertone.models.generator import check_generator, generator_digest

Parts = Mapping[str, Mapping[str, Output]]
"""The Parquet files of each run, by its row's label and by the name that they share with their shard."""


def plan(config: ReconstructionConfig) -> list[str]:
    """What --dry-run prints."""
    job, manifest, parts = _resolve(config)
    units = _units(config, parts, manifest)
    names = ", ".join(run.label for run in job.runs)
    return [f"would judge: {names} on {sum(unit.items for unit in units):,} clips in {len(units):,} shards"]


def run(name: str, config: ReconstructionConfig) -> None:
    """Judges every row and prints the table."""
    job, manifest, parts = _resolve(config)
    digests = {f"latents.{label}": content_digest(found.values()) for label, found in parts.items()}
    digests["shards"] = manifest.digest
    digests["generator"] = check_generator(job.generator)
    if job.classifier:
        digests["classifier"] = folder_of(job.classifier, "classifier", "classifier")[1].digest
    units = _units(config, parts, manifest)

    def make(driver: Driver) -> tuple[Table, Outcome]:
        stage, what = ReconstructionStage(job), f"eval {name}"
        outcome = run_units(driver, stage, units, what=what, settings=config, device=config.device)
        return _table(config, job, driver.term.folder, manifest, parts), outcome

    tabulate(name, config, digests, make)


def _resolve(config: ReconstructionConfig) -> tuple[Job, ShardManifest, Parts]:
    about = [described(Folder.at(uri)) for uri in config.latents]
    recorded = about[0]["inputs"]
    shards = config.shards or recorded["shards"]
    manifest = load_manifest(Folder.at(shards))
    for uri, each in zip(config.latents, about, strict=True):
        check_run(uri, each, manifest, shards)
    classifier = config.classifier or recorded.get("classifier")
    generator = config.generator or recorded["generator"]
    made_by = manifest.extra.get("digests", {}).get("generator", "")
    runs = tuple(
        Run(label, uri, each["digests"]["generator"] == made_by, each["method"])
        for label, uri, each in zip(labels_of(config.latents, about), config.latents, about, strict=True)
    )
    known = generator_digest(generator) == made_by
    sampling = Sampling(config.seed, config.bootstrap, config.groups)
    parts = {
        run.label: {part.name.removesuffix(".parquet"): part for part in committed_parts(Folder.at(run.uri))}
        for run in runs
    }
    job = Job(runs, shards, generator, known, classifier, sampling, config.batch, config.device)
    return job, manifest, parts


def _units(config: ReconstructionConfig, parts: Parts, manifest: ShardManifest) -> list[Unit]:
    """One per shard of which every run has a Parquet file."""
    units = []
    for entry in manifest.of_splits(config.splits):
        stem = entry.name.removesuffix(".tar")
        if all(stem in found for found in parts.values()):
            work = {"unit": stem, "shard": dataclasses.asdict(entry)}
            work["parts"] = {label: dataclasses.asdict(found[stem]) for label, found in parts.items()}
            units.append(Unit(stem, work, items=entry.count))
    if not units:
        what = "no shard is in all runs" if len(parts) > 1 else "no rows"
        raise UserError(f"{what} of these splits", where=", ".join(config.latents), fix="choose other splits or runs")
    return units


def _rows_of(parts: Parts, manifest: ShardManifest, splits: Sequence[str]) -> dict[str, int]:
    """How many rows each run has of these splits, whether or not the others have the same clips."""
    counts = {entry.name.removesuffix(".tar"): entry.count for entry in manifest.of_splits(splits)}
    return {label: sum(counts.get(stem, 0) for stem in found) for label, found in parts.items()}


def _table(config: ReconstructionConfig, job: Job, folder: Folder, manifest: ShardManifest, parts: Parts) -> Table:
    sums = merged(folder)
    rows: dict[str, dict[str, Estimate]] = {}
    for name in [*(run.label for run in job.runs), *BASELINES]:
        if name in sums:
            failed = float(sums[name]["failed"][0]) if "failed" in sums[name] else 0.0
            clips = {"clips": Estimate(float(sums[name]["clips"][0]))} if "clips" in sums[name] else {}
            rows[name] = clips | {"failed": Estimate(failed)} | estimates(sums[name], sums.get("real"))
    for run in job.runs:
        seconds = _seconds_per_clip(Folder.at(run.uri))
        if seconds is not None:
            rows[run.label]["seconds"] = Estimate(seconds)
    about = {
        "corpus": manifest.corpus,
        "latents": [run.uri for run in job.runs],
        "shards": job.shards,
        "generator": job.generator,
        "classifier": job.classifier,
    }
    methods = {run.label: run.method for run in job.runs}
    remarks = _remarks(config, job, manifest, parts, int(rows.get("real", {}).get("clips", Estimate(0.0)).value))
    return table_of(config, f"Reconstruction of {manifest.corpus}", rows, methods, about, remarks)


def _remarks(config: ReconstructionConfig, job: Job, manifest: ShardManifest, parts: Parts, clips: int) -> list[str]:
    """That rows leave out what not every run has; which labels are not compared."""
    remarks = []
    rows = _rows_of(parts, manifest, config.splits)
    if any(count != clips for count in rows.values()):
        told = ", ".join(f"{literal(label)} {count:,}" for label, count in rows.items())
        remarks.append(
            f"All rows are over the same {clips:,} clips, those that every run has a result for; rows there are: {told}."
        )
    if job.classifier:
        known = folder_of(job.classifier, "classifier", "classifier")[1].label_names
        remarks += unshared_labels(manifest.label_names, known)
    return remarks


def _seconds_per_clip(folder: Folder) -> float | None:
    """What an inference run says of its own cost, None where it does not."""
    try:
        summary = laid_out(folder).read_json(SUMMARY)
    except FileNotFoundError:
        return None
    seconds, clips = summary.get("seconds"), summary.get("clips")
    return seconds / clips if seconds is not None and clips else None
