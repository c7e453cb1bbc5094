"""The job that makes clips by label and style, to listen to: WAV files or Parquet."""

from __future__ import annotations

from invertone.cluster.errors import UserError, did_you_mean
from invertone.cluster.formats.checkpoints import CheckpointManifest
from invertone.cluster.formats.shards import ShardManifest
from invertone.cluster.jobs.bulk import BulkJob, bulk_job
from invertone.cluster.jobs.engine import Outcome
from invertone.cluster.jobs.sharding import publish_manifest, shard_lines
from invertone.infer.generate.clip_styles import check_latents, clip_styles
from invertone.infer.generate.config import BY_CHANCE, GRID, IN_TURN, INTERPOLATED, GaaeClipsConfig
from invertone.infer.generate.gaae_stage import GaaeClipsStage, style_number
from invertone.infer.generate.numbers import counted, numbered_units
from invertone.models.autoencoder import AVERAGE, DECODERS, family_manifest

STYLES_OF = "styles.json"
"""The clips whose styles were taken, in order: [{"style": 0, "key": …}, …]."""


def plan(config: GaaeClipsConfig) -> list[str]:
    """What --dry-run prints."""
    manifest, label = _inputs(config)
    labels = f"label {manifest.label_names[label]}" if label is not None else _labels(config)
    style = f"style {config.style}" + (f" along {config.path}" if config.style == INTERPOLATED else "")
    styles = f", of {_styles(config, manifest):,} clips of {config.latents}" if config.latents else ""
    return [
        f"would make: {counted(config):,} clips of {labels}, {style}{styles}, by {config.checkpoint}",
        f"would write: {config.output} files into {config.out}",
    ]


def run(name: str, config: GaaeClipsConfig) -> None:
    """Makes every clip that is not committed yet."""
    manifest, label = _inputs(config)
    digests = {"checkpoint": manifest.digest}
    inputs = {"checkpoint": config.checkpoint}
    taken = None
    if config.latents:
        digests["latents"] = check_latents(config.latents, manifest)
        inputs["latents"] = config.latents
        taken = clip_styles(config.latents, _styles(config, manifest), config.seed)
    about = {"method": config.kind, "inputs": inputs, "digests": digests}
    stage = GaaeClipsStage(
        config,
        manifest.label_names,
        label,
        _heeds_labels(manifest),
        about,
        manifest.clips,
        taken.styles if taken else None,
    )
    stem = config.split if config.output == "shards" else "clips"
    with bulk_job("generate", name, config, digests) as job:
        outcome = job.run_units(stage, numbered_units(stem, counted(config), config.clips_per_unit))
        if taken:
            job.folder.publish_json(STYLES_OF, [{"style": at, "key": key} for at, key in enumerate(taken.keys)])
        _publish(job, outcome, config, manifest)


def _labels(config: GaaeClipsConfig) -> str:
    """Of which labels clips are made, in words."""
    if config.style == INTERPOLATED and config.steps:
        return (
            "random labels, one from style to style"
            if config.labels == BY_CHANCE
            else "all labels, one from style to style"
        )
    return "random labels" if config.labels == BY_CHANCE else "all labels in turn"


def _styles(config: GaaeClipsConfig, manifest: CheckpointManifest) -> int:
    """How many styles there are."""
    return style_number(config, counted(config) - 1, len(manifest.label_names)) + 1


def _publish(job: BulkJob, outcome: Outcome, config: GaaeClipsConfig, manifest: CheckpointManifest) -> None:
    """Writes what stands beside the clips, and says how many there are."""
    if config.output == "shards":
        corpus = ShardManifest(
            corpus=f"clips by {manifest.kind}",
            format=manifest.format,
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
    _check_protocol(config, manifest)
    if config.latents:
        check_latents(config.latents, manifest)
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


def _check_protocol(config: GaaeClipsConfig, manifest: CheckpointManifest) -> None:
    """Raises UserError for keys that contradict each other, or would be passed over."""
    if config.steps and (config.steps == 1 or config.style != INTERPOLATED or config.count % config.steps):
        raise UserError(
            f"steps={config.steps} does not divide {config.count} clips of style={config.style} into ways",
            fix="give style=interpolated and a count that is steps, which are two or more, for each way",
        )
    if config.label is not None and config.labels != IN_TURN:
        raise UserError(
            f"label={config.label} and labels={config.labels} contradict each other", fix="give one of them"
        )
    if config.style != GRID:
        return
    if config.label is not None or config.labels != IN_TURN:
        raise UserError("style=grid has every label in turn", fix="leave label and labels out")
    if not _heeds_labels(manifest):
        raise UserError(
            "checkpoint was trained without labels", where=config.checkpoint, fix="give another style than grid"
        )
