"""The job that makes clips with known latents: one unit per shard, the manifest made from the commits at the end."""

from __future__ import annotations

from invertone.cluster.errors import UserError
from invertone.cluster.formats.checkpoints import refuse_unlike
from invertone.cluster.formats.shards import REJECTS, ShardManifest
from invertone.cluster.formats.signals import ClipFormat, kind_of
from invertone.cluster.jobs.bulk import bulk_job
from invertone.cluster.jobs.sharding import publish_manifest, shard_lines
from invertone.infer.generate.clips_stage import ClipsStage
from invertone.infer.generate.config import ClipsConfig
from invertone.infer.generate.numbers import counted, numbered_units
from invertone.infer.job import refuse_audio_format
from invertone.models.checkpoint import folder_of
from invertone.models.generator import check_generator, generator_format


def plan(config: ClipsConfig) -> list[str]:
    """What --dry-run prints."""
    _inputs(config)
    labelled = "labelled by the classifier" if config.classifier else "without labels"
    made = f"{kind_of(generator_format(config.generator))}s"
    return [
        f"would make: {counted(config):,} {made} of split {config.split} by {config.generator}, {labelled}",
        f"would write: {len(numbered_units(config.split, counted(config), config.clips_per_shard)):,} shards into {config.out}",
    ]


def run(name: str, config: ClipsConfig) -> None:
    """Makes every clip that is not committed yet, and says what came of it."""
    digests, label_names = _inputs(config)
    format = generator_format(config.generator)
    clips = isinstance(format, ClipFormat)
    units = numbered_units(config.split, counted(config), config.clips_per_shard)
    with bulk_job("generate", name, config, digests) as job:
        outcome = job.run_units(ClipsStage(config, label_names), units, items=f"{kind_of(format)}s")
        corpus = ShardManifest(
            corpus=f"synthesised {kind_of(format)}s",
            format=format,
            levels="untouched",
            label_names=label_names,
            shards=(),
            extra={"seed": config.seed, "inputs": {"generator": config.generator}, "digests": digests},
        )
        manifest = publish_manifest(job.folder, corpus, outcome)
        if not manifest.shards:
            raise UserError(
                f"not one {kind_of(format)} came of this generator",
                where=config.generator,
                fix=f"see {job.folder.path_of(REJECTS)}",
            )
        job.say(*shard_lines(job.folder, manifest, "latents"))
        clipped = outcome.statistics["clipped_samples"]
        if clipped:
            job.say(f"{clipped:,} {'samples' if clips else 'values of pixels'} lay past full scale and were clipped")


def _inputs(config: ClipsConfig) -> tuple[dict[str, str], tuple[str, ...]]:
    """Digests of what the job reads, by role, and the classifier's labels; all checked before anything starts."""
    digests = {"generator": check_generator(config.generator)}
    refuse_audio_format(config, "format", generator_format(config.generator))
    if not config.classifier:
        return digests, ()
    classifier = folder_of(config.classifier, "classifier", "classifier")[1]
    refuse_unlike(classifier, "classifier", generator_format(config.generator), "generator", config.classifier)
    if not classifier.label_names:
        raise UserError(
            "classifier knows no labels",
            where=config.classifier,
            fix="give one that was taught labels, or leave it out",
        )
    return digests | {"classifier": classifier.digest}, classifier.label_names
