"""The job that makes clips by label and style, to listen to: WAV files or Parquet."""

from __future__ import annotations

from cluster.checkpoints import CheckpointManifest
from cluster.config import did_you_mean
from cluster.driver import driving
from cluster.engine import run_units
from cluster.errors import UserError
from cluster.ledger import numbered_units
from cluster.runs import SUMMARY, open_run
from infer.generate_config import GaaeClipsConfig
from infer.generate_gaae_stage import GaaeClipsStage
from models.autoencoder import DECODERS, family_manifest


def plan_gaae(config: GaaeClipsConfig) -> list[str]:
    """What --dry-run prints."""
    manifest, label = _inputs(config)
    labels = "all labels in turn" if label is None else f"label {manifest.label_names[label]}"
    return [
        f"would make: {config.count:,} clips of {labels}, style {config.style}, by {config.checkpoint}",
        f"would write: {config.output} files into {config.out}",
    ]


def run_gaae(name: str, config: GaaeClipsConfig) -> None:
    """Makes every clip that is not committed yet."""
    manifest, label = _inputs(config)
    folder = open_run("generate", name, config, {"checkpoint": manifest.digest})
    about = {
        "method": config.kind,
        "inputs": {"checkpoint": config.checkpoint},
        "digests": {"checkpoint": manifest.digest},
    }
    stage = GaaeClipsStage(config, manifest.label_names, label, about)
    with driving(folder) as driver:
        outcome = run_units(
            driver,
            stage,
            numbered_units("clips", config.count, config.clips_per_unit),
            what=f"generate {name}",
            settings=config,
            device=config.device,
        )
        folder.publish_json(SUMMARY, outcome.summary() | outcome.statistics)
    made = outcome.statistics["clips"] - outcome.statistics["failed"]
    print(f"{made:,} clips: {folder.path_of('wav') if config.output == 'wav' else folder.uri}")
    outcome.check()


def _inputs(config: GaaeClipsConfig) -> tuple[CheckpointManifest, int | None]:
    """The checkpoint and the number of the label, checked before anything starts."""
    _, manifest = family_manifest(config.checkpoint, "checkpoint")
    if config.label is None:
        return manifest, None
    names = list(manifest.label_names)
    if not manifest.networks[DECODERS[manifest.kind]]["classes"]:
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
