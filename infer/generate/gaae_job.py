"""The job that makes clips by label and style, to listen to: WAV files or Parquet."""

from __future__ import annotations

from invertone.audio.clip import CLIP_SAMPLES, SAMPLE_RATE
from invertone.cluster.errors import UserError, did_you_mean
from invertone.cluster.formats.checkpoints import CheckpointManifest
from invertone.cluster.formats.shards import ShardManifest
from invertone.cluster.jobs.bulk import BulkJob, bulk_job
from invertone.cluster.jobs.engine import Outcome
from invertone.cluster.jobs.sharding import publish_manifest, shard_lines
from invertone.infer.generate.config import GaaeClipsConfig
from invertone.infer.generate.gaae_stage import GaaeClipsStage
from invertone.infer.generate.numbers import counted, numbered_units
from invertone.models.autoencoder import AVERAGE, DECODERS, family_manifest


def plan(config: GaaeClipsConfig) -> list[str]:
    """What --dry-run prints."""
    manifest, label = _inputs(config)
    labels = "all labels in turn" if label is None else f"label {manifest.label_names[label]}"
    return [
        f"would make: {counted(config):,} clips of {labels}, style {config.style}, by {config.checkpoint}",
        f"would write: {config.output} files into {config.out}",
    ]


def run(name: str, config: GaaeClipsConfig) -> None:
    """Makes every clip that is not committed yet."""
    manifest, label = _inputs(config)
    digests = {"checkpoint": manifest.digest}
    about = {"method": config.kind, "inputs": {"checkpoint": config.checkpoint}, "digests": digests}
    stage = GaaeClipsStage(config, manifest.label_names, label, _heeds_labels(manifest), about)
    stem = config.split if config.output == "shards" else "clips"
    with bulk_job("generate", name, config, digests) as job:
        outcome = job.run_units(stage, numbered_units(stem, counted(config), config.clips_per_unit))
        _publish(job, outcome, config, manifest)


def _publish(job: BulkJob, outcome: Outcome, config: GaaeClipsConfig, manifest: CheckpointManifest) -> None:
    """Writes what stands beside the clips, and says how many there are."""
    if config.output == "shards":
        corpus = ShardManifest(
            corpus=f"clips by {manifest.kind}",
            sample_rate=SAMPLE_RATE,
            clip_samples=CLIP_SAMPLES,
            levels="untouched",
            label_names=manifest.label_names if _heeds_labels(manifest) else (),
            shards=(),
            extra={
                "seed": config.seed,
                "inputs": {"generator": config.checkpoint},
                "digests": {"generator": manifest.digest},
            },
        )
        job.say(*shard_lines(job.folder, publish_manifest(job.folder, corpus, outcome), "clips"))
        return
    job.summarise(outcome.statistics)
    made = outcome.statistics["clips"] - outcome.statistics["failed"]
    job.say(f"{made:,} clips: {job.folder.path_of('wav') if config.output == 'wav' else job.folder.uri}")


def _heeds_labels(manifest: CheckpointManifest) -> bool:
    """Whether the decoder takes labels."""
    return bool(manifest.networks[DECODERS[manifest.kind] + AVERAGE]["classes"])


def _inputs(config: GaaeClipsConfig) -> tuple[CheckpointManifest, int | None]:
    """The checkpoint and the number of the label, checked before anything starts."""
    _, manifest = family_manifest(config.checkpoint, "checkpoint")
    if config.label is None:
        return manifest, None
    names = list(manifest.label_names)
    if not _heeds_labels(manifest):
        raise UserError("checkpoint was trained without labels", where=config.checkpoint, fix="leave label out")
    if config.label in names:
        return manifest, names.index(config.label)
    if config.label.isdecimal() and int(config.label) < len(names):
        return manifest, int(config.label)
    raise UserError(
        f"no label {config.label!r}",
        where=config.checkpoint,
        fix=f"labels are {', '.join(names)}{did_you_mean(config.label, names)}",
    )
