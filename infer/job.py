"""The bulk inversion job: one unit per shard, one Parquet file per unit, one row per clip, exactly once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from invertone.cluster.config.schema import checkpoints_of, given
from invertone.cluster.errors import UserError
from invertone.cluster.formats.checkpoints import refuse_unlike
from invertone.cluster.formats.ledger import Unit, first_items
from invertone.cluster.formats.shards import ShardManifest, load_manifest
from invertone.cluster.formats.signals import PictureFormat, SignalFormat, kind_of, refuse_others
from invertone.cluster.jobs.bulk import bulk_job
from invertone.cluster.storage.folder import Folder
from invertone.infer.build import method_of
from invertone.infer.schemas.shared import InferConfig
from invertone.infer.stage import InversionStage
from invertone.models.checkpoint import folder_of
from invertone.models.generator import check_generator, generator_format


def plan(config: InferConfig) -> list[str]:
    """What --dry-run prints."""
    manifest, _ = _inputs(config)
    units = _units(config, manifest)
    return [
        f"would invert: {sum(unit.items for unit in units):,} {kind_of(manifest.format)}s in {len(units):,} shards, "
        f"{sum(unit.work['bytes'] for unit in units) / 1e6:,.1f} MB",
        f"would write: {len(units):,} Parquet files into {config.out}",
    ]


def run(name: str, config: InferConfig) -> None:
    """Inverts every clip or picture of the shards that has no committed row yet."""
    manifest, digests = _inputs(config)
    inverted = f"{kind_of(manifest.format)}s"
    units = _units(config, manifest)
    stage = InversionStage(config, _metadata(name, config, digests))
    with bulk_job("infer", name, config, digests) as job:
        totals = job.run_units(stage, units, items=inverted).statistics
        job.summarise(totals)
        failed = f"{totals['failed']:,} of them failed"
        job.say(f"{totals['clips']:,} {inverted}, {failed}, in {len(units):,} Parquet files: {job.folder.uri}")


def _inputs(config: InferConfig) -> tuple[ShardManifest, dict[str, str]]:
    """The clips, and digests of all that the job reads, checked before anything starts."""
    manifest = load_manifest(Folder.at(config.shards))
    if not manifest.of_splits(config.splits):
        raise UserError(
            f"shards hold no {kind_of(manifest.format)}s of split {', '.join(config.splits)}",
            where=config.shards,
            fix="choose other splits",
        )
    digests = check_models(config)
    refuse_others(generator_format(config.generator), "generator", manifest.format, "shards", config.generator)
    told = method_of(config).told(config)
    if told and not set(told) & set(manifest.label_names):
        raise UserError(
            f"label=clip, and no {kind_of(manifest.format)} here has a label of the generator's: {_few(told)}",
            where=config.shards,
            fix="use label=heard or label=search",
        )
    return manifest, {"shards": manifest.digest} | digests


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")


def check_models(config: InferConfig) -> dict[str, str]:
    """Digests of the models that inference reads, by role. Raises UserError where one is missing, of the wrong kind, made
    for another one, or not enough for the losses."""
    method_of(config).check(config)
    places = checkpoints_of(config)
    digests = {"generator": check_generator(config.generator)}
    checkpoints = {
        role: folder_of(place, role, kind)[1] for role, (kind, place) in places.items() if role not in digests
    }
    made = generator_format(config.generator)
    refuse_audio_format(config, "reconstruction_format", made)
    for role, checkpoint in checkpoints.items():
        refuse_unlike(checkpoint, role, made, "generator", places[role][1])
    mapper = checkpoints.get("mapper")
    if mapper is not None and mapper.inputs.get("generator") != digests["generator"]:
        raise UserError(
            "mapper was trained for another generator (or for another checkpoint of it)",
            where=places["mapper"][1],
            fix="give the generator it was trained with, or train a mapper for this one",
        )
    return digests | {role: checkpoint.digest for role, checkpoint in checkpoints.items()}


def refuse_audio_format(config: Any, key: str, made: SignalFormat) -> None:
    """Raises UserError where an audio format was given for what are pictures. The usual one, which nobody gave, means none."""
    if isinstance(made, PictureFormat) and given(config, key):
        raise UserError(
            f"{key}={getattr(config, key)} is for clips, and the generator makes pictures, which are PNG",
            fix=f"leave {key} out",
        )


def _metadata(name: str, config: InferConfig, digests: Mapping[str, str]) -> dict[str, object]:
    """What the Parquet files say of how they were made: enough for `eval` to find generator, shards and classifier."""
    places = {role: place for role, (_, place) in checkpoints_of(config).items()}
    return {
        "method": config.method,
        "rows": config.rows,
        "name": name.rpartition("/")[2].removesuffix(".yaml").removesuffix(".yml"),
        "inputs": places | {"shards": config.shards},
        "digests": dict(digests),
    }


def _units(config: InferConfig, manifest: ShardManifest) -> list[Unit]:
    """One per shard."""
    entries = manifest.of_splits(config.splits)
    units = (Unit(entry.name.removesuffix(".tar"), dataclasses.asdict(entry), entry.count) for entry in entries)
    return first_items(units, config.limit)
