"""The stage `import`: a published model, verified, becomes a checkpoint of ours. Without Ray: it is seconds of work."""

from __future__ import annotations

import dataclasses
from typing import Any

from invertone.cluster.errors import UserError
from invertone.cluster.formats.checkpoints import WEIGHTS, CheckpointManifest, publish, read_file, read_manifest
from invertone.cluster.formats.runs import SUMMARY, open_run
from invertone.cluster.formats.signals import CHANNELS, ClipFormat
from invertone.cluster.jobs.driver import driving
from invertone.cluster.storage.folder import Folder
from invertone.models.checkpoint import describe, weights_bytes
from invertone.models.networks.wavegan_inception import CLIPS
from invertone.models.prior import Prior
from invertone.models.published import wavegan, wavegan_inception
from invertone.models.published.tensorflow_checkpoint import open_checkpoint
from invertone.models.published.wavegan import PublishedWavegan
from invertone.models.published.wavegan_inception import LABELS, PublishedInception
from invertone.train.imports.config import ImportConfig, WaveganImportConfig

Published = PublishedWavegan | PublishedInception


def plan(config: ImportConfig) -> list[str]:
    """What --dry-run prints. Reads the index and the step, no weights."""
    found = _found(config)
    levels = f" with levels {config.levels}" if isinstance(config, WaveganImportConfig) else ""
    return [
        f"would import: {_what(found)}",
        *(f"would leave out: {what}" for what in _left_out(found)),
        f"would write: a checkpoint{levels} into {config.out}",
    ]


def run(name: str, config: ImportConfig) -> None:
    """Publishes the checkpoint at the root of `config.out`; what is there already, and whole, is kept."""
    found = _found(config)
    digest = found.checkpoint.digest()
    folder = open_run("import", name, config, {"checkpoint": digest})
    with driving(folder) as driver:
        manifest = _whole(folder)
        if manifest is None:
            networks = found.networks()
            bare = CheckpointManifest(
                networks=describe(networks),
                step=found.step,
                data={"imported_from": "TensorFlow", "digest": digest},
                **_said(config, found),
            )
            files = {WEIGHTS: weights_bytes(networks)}
            driver.check()
            manifest = publish(folder, bare, files)
        driver.tell(items=1, of_items=1, what="models")
        folder.publish_json(SUMMARY, {"step": manifest.step, "parameters": found.parameters})
    print("\n".join([_what(found), *(f"left out: {what}" for what in _left_out(found)), folder.uri]))


def _found(config: ImportConfig) -> Published:
    checkpoint = open_checkpoint(config.checkpoint)
    if isinstance(config, WaveganImportConfig):
        return wavegan.inspect(checkpoint, config.clip_samples)
    return wavegan_inception.inspect(checkpoint)


def _said(config: ImportConfig, found: Published) -> dict[str, Any]:
    """What the manifest says of a kind of model."""
    if isinstance(config, WaveganImportConfig):
        assert isinstance(found, PublishedWavegan)
        clips = ClipFormat(config.sample_rate, found.clip_samples, found.channels)
        said = {"kind": "wavegan", "levels": config.levels, "prior": dataclasses.asdict(Prior("uniform"))}
    else:
        clips, said = CLIPS, {"kind": "classifier", "levels": "untouched", "label_names": LABELS}
    return said | {"format": clips}


def _whole(folder: Folder) -> CheckpointManifest | None:
    """The checkpoint of an earlier run of this very import; None where there is none, or a damaged one to replace."""
    try:
        manifest = read_manifest(folder)
        if manifest is not None:
            read_file(folder, manifest, WEIGHTS)
    except UserError:
        return None
    return manifest


def _what(found: Published) -> str:
    if isinstance(found, PublishedInception):
        number = found.parameters["classifier"]
        what = f"classifier of WaveGAN's inception scores, of width {found.width}, at step {found.step:,}"
        return f"{what}, with {number:,} parameters, for the labels {', '.join(LABELS)}"
    sound = f"{found.clip_samples:,} {CHANNELS[found.channels]} samples"
    parts = [f"WaveGAN of width {found.width} and latent size {found.latent_size} for {sound}, at step {found.step:,}"]
    parts += [f"post filter of {found.post_filter} taps"] * bool(found.post_filter)
    parts.append(f"generator with {found.parameters['generator']:,} parameters")
    if found.critic_width is not None:
        parts.append(f"critic of width {found.critic_width} with {found.parameters['critic']:,}")
    return ", ".join(parts)


def _left_out(found: Published) -> list[str]:
    """What the checkpoint holds besides the networks."""
    left = [f"{found.optimiser} variables of the optimisers"] * bool(found.optimiser)
    others = ", ".join(found.others[:5]) + ", …" * (len(found.others) > 5)
    return left + [f"{len(found.others)} other variables: {others}"] * bool(found.others)
