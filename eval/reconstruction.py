"""The reconstruction table: how near reconstructions come to their clips, beside what doing nothing scores.

Rows: one per inference run; *real* (the clip itself: what the measures say of perfection), *silence*, and *random latent*
(a reconstruction that knows nothing of the clip). A method that does not beat the last two has recovered nothing.
"""

from __future__ import annotations

import dataclasses

from cluster.driver import Driver
from cluster.engine import Outcome, run_units
from cluster.errors import UserError
from cluster.ledger import Unit
from cluster.runs import SUMMARY
from cluster.shards import ShardManifest, load_manifest
from cluster.storage import Folder, content_digest
from cluster.tables import committed_parts, described
from eval.columns import estimates, table_of
from eval.config import ReconstructionConfig
from eval.inference_runs import check_run, labels_of
from eval.judge import BASELINES, Job, ReconstructionStage, Run
from eval.listener import Sampling
from eval.measures import Estimate
from eval.sums import merged
from eval.table import Table
from eval.tabulate import tabulate
from models.checkpoint import folder_of
from models.generator import check_generator, generator_digest


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
    units = _units(config, job, manifest)

    def make(driver: Driver) -> tuple[Table, Outcome]:
        stage, what = ReconstructionStage(job), f"eval {name}"
        outcome = run_units(driver, stage, units, what=what, items="rows", settings=config, device=config.device)
        return _table(config, job, driver.term.folder, manifest), outcome

    tabulate(name, config, digests, make)


def _resolve(config: ReconstructionConfig) -> tuple[Job, ShardManifest]:
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
    return Job(runs, shards, generator, known, classifier, sampling, config.batch, config.device), manifest


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
                name = f"{number:02d}-{stem}"
                units.append(Unit(name, work | {"unit": name}, items=entry.count))
    if not units:
        raise UserError("no rows of these splits", where=config.latents[0], fix="choose other splits")
    return units


def _table(config: ReconstructionConfig, job: Job, folder: Folder, manifest: ShardManifest) -> Table:
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
    return table_of(config, f"Reconstruction of {manifest.corpus}", rows, methods, about)


def _seconds_per_clip(folder: Folder) -> float | None:
    """What an inference run says of its own cost, None where it does not."""
    try:
        summary = folder.read_json(SUMMARY)
    except FileNotFoundError:
        return None
    seconds, clips = summary.get("seconds"), summary.get("clips")
    return seconds / clips if seconds is not None and clips else None
