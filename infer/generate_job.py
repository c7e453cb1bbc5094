"""The job that makes clips with known latents: one unit per shard, the manifest made from the commits at the end."""

from __future__ import annotations

from audio.clip import CLIP_SAMPLES, SAMPLE_RATE
from cluster.checkpoints import CheckpointManifest
from cluster.driver import driving
from cluster.engine import run_units
from cluster.errors import UserError
from cluster.ledger import Unit
from cluster.runs import open_run
from cluster.sharding import publish_manifest, shard_lines
from cluster.shards import REJECTS, ShardManifest
from infer.generate_config import ClipsConfig
from infer.generate_stage import ClipsStage
from models.checkpoint import folder_of

CORPUS = "synthesised clips"


def plan(config: ClipsConfig) -> list[str]:
    """What --dry-run prints."""
    checkpoints = _checkpoints(config)
    made_by = f"the generator of step {checkpoints['generator'].step:,}"
    labelled = "labelled by the classifier" if "classifier" in checkpoints else "without labels"
    return [
        f"would make: {config.count:,} clips of split {config.split} by {made_by}, {labelled}",
        f"would write: {len(_units(config)):,} shards into {config.out}",
    ]


def run(name: str, config: ClipsConfig) -> None:
    """Makes every clip that is not committed yet, and says what came of it."""
    checkpoints = _checkpoints(config)
    digests = {role: checkpoint.digest for role, checkpoint in checkpoints.items()}
    label_names = checkpoints["classifier"].label_names if config.classifier else ()
    folder = open_run("generate", name, config, digests)
    stage = ClipsStage(config, label_names)
    with driving(folder) as driver:
        outcome = run_units(
            driver, stage, _units(config), what=f"generate {name}", settings=config, device=config.device
        )
        corpus = ShardManifest(
            corpus=CORPUS,
            sample_rate=SAMPLE_RATE,
            clip_samples=CLIP_SAMPLES,
            levels="untouched",
            label_names=label_names,
            shards=(),
            extra={"seed": config.seed, "inputs": {"generator": config.generator}, "digests": digests},
        )
        manifest = publish_manifest(folder, corpus, outcome)
    if not manifest.shards:
        raise UserError(
            "not one clip came of this generator", where=config.generator, fix=f"see {folder.path_of(REJECTS)}"
        )
    print("\n".join(shard_lines(folder, manifest, "latents")))
    clipped = outcome.statistics["clipped_samples"]
    if clipped:
        print(f"{clipped:,} samples lay past full scale and were clipped")
    outcome.check()


def _checkpoints(config: ClipsConfig) -> dict[str, CheckpointManifest]:
    """What the job reads, by role, checked before anything starts."""
    kinds = {"generator": "wavegan", "classifier": "classifier"}
    given = {role: getattr(config, role) for role in kinds}
    return {role: folder_of(uri, role, kinds[role])[1] for role, uri in given.items() if uri}


def _units(config: ClipsConfig) -> list[Unit]:
    units = []
    for number, first in enumerate(range(0, config.count, config.per_shard)):
        name, items = f"{config.split}-{number:06d}", min(config.per_shard, config.count - first)
        units.append(Unit(name, {"name": name, "first": first, "count": items}, items=items))
    return units
