"""From a config to a trainer: objective, data, state. Free of Ray: a worker calls it, a test or a bare script may too."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from invertone.audio.front_end import FrontEnd
from invertone.cluster.config.schema import checkpoints_of
from invertone.cluster.errors import UserError
from invertone.cluster.formats.checkpoints import refuse_unlike
from invertone.cluster.formats.shards import ShardManifest, load_manifest
from invertone.cluster.formats.signals import kind_of, refuse_others
from invertone.cluster.formats.trainings import Guidance
from invertone.cluster.storage.folder import Folder
from invertone.models.checkpoint import folder_of
from invertone.models.generator import generator_digest, generator_format
from invertone.train.config import OBJECTIVES
from invertone.train.data.clips import Clips, Part, split_parts
from invertone.train.data.guidance import guidance_of, parts_of, rest_of
from invertone.train.loop.state import TrainingState
from invertone.train.loop.trainer import Report, Trainer
from invertone.train.objective import Objective, World
from invertone.train.recipe import Recipe, Setting, check_divisible
from invertone.train.schemas.shared import FrontEndConfig, TrainConfig
from invertone.train.schemas.spectrogram_gan import GuidanceConfig

GENERATOR, CLASSIFIER, ANY = "generator", "classifier", "any"
"""Kinds of checkpoints that schemas name."""
NAMED = {"clip": "clips of sound", "picture": "pictures"}
"""Kinds of signals, as messages say them."""
DEEPEST = 80.0
"""Nats below the reference: single precision knows no fainter magnitude."""


def inputs(config: TrainConfig) -> dict[str, str]:
    """Digests of the models that training reads, by role. Raises UserError where one is missing or of the wrong kind."""
    digests = {}
    for role, (kind, place) in checkpoints_of(config).items():
        if kind == GENERATOR:
            digests[role] = generator_digest(place)
        else:
            digests[role] = folder_of(place, role, None if kind == ANY else kind)[1].digest
    return digests | _recipe(config).inputs(config)


def check(config: TrainConfig) -> ShardManifest:
    """What can be refused before anything starts. Returns the shards' manifest."""
    manifest = load_manifest(Folder.at(config.shards))
    _check_signal(config, manifest)
    split_parts(manifest, config.splits)
    if config.workers.min > config.workers.max:
        raise UserError(f"workers.min={config.workers.min} is above workers.max={config.workers.max}", fix="swap them")
    check_divisible("batch", config.batch, config.workers)
    _check_front_end(getattr(config, "front_end", None))
    guidance = _guidance(config)
    labelled = manifest
    if guidance is not None and guidance.shards:
        labelled = load_manifest(Folder.at(guidance.shards))
        refuse_others(labelled.format, "guidance.shards", manifest.format, "shards", guidance.shards, "is of")
        split_parts(labelled, config.splits)
    elif guidance is not None and guidance.merged:
        raise UserError("guidance.merged is for guided clips of another corpus", fix="give guidance.shards")
    if _reads_labels(config) and labelled.label_names != manifest.label_names:
        raise UserError(
            f"validate_labels: the guidance has the labels {', '.join(labelled.label_names)}, the shards have "
            f"{', '.join(manifest.label_names) or 'none'}",
            fix="leave it out: a classifier of these labels cannot be right or wrong on those clips",
        )
    given = checkpoints_of(config)
    for role, (kind, place) in given.items():
        if kind == GENERATOR:
            refuse_others(generator_format(place), role, manifest.format, "shards", place)
        else:
            refuse_unlike(
                folder_of(place, role, None if kind == ANY else kind)[1], role, manifest.format, "shards", place
            )
    _recipe(config).check(config, manifest)
    for role, (kind, place) in given.items():
        if kind == CLASSIFIER and not _recipe(config).any_labels:
            _check_labels(role, place, labelled)
    return manifest


def _check_signal(config: TrainConfig, manifest: ShardManifest) -> None:
    """An objective learns from clips or from pictures."""
    held, wanted = kind_of(manifest.format), _recipe(config).signal
    if held != wanted:
        others = [name for name in OBJECTIVES if OBJECTIVES.implementation(name).signal == held]
        raise UserError(
            f"shards hold {manifest.format}, and {config.objective} learns from {NAMED[wanted]}",
            where=config.shards,
            fix=f"give shards of {NAMED[wanted]}; from {NAMED[held]} learn {', '.join(others)}",
        )


def _reads_labels(config: TrainConfig) -> bool:
    return bool(getattr(config, "validate_labels", False))


def _check_front_end(front_end: FrontEndConfig | None) -> None:
    if front_end is None:
        return
    nats = FrontEnd(**dataclasses.asdict(front_end)).nats
    if not 0 < nats <= DEEPEST:
        raise UserError(
            f"front_end: its floor, dynamic_range * deviation - mean, lies {nats:.4g} nats below the reference, "
            f"not above 0 and at most {DEEPEST:g}",
            fix="give mean as it is of logarithms relative to the reference, below 0",
        )


def _check_labels(role: str, place: str, manifest: ShardManifest) -> None:
    """A classifier judges what is generated: by the labels of `manifest`, those of the guidance where it has a corpus of its
    own."""
    known = folder_of(place, role, CLASSIFIER)[1].label_names
    if known != manifest.label_names:
        raise UserError(
            f"{role} knows the labels {', '.join(known)}, the shards have {', '.join(manifest.label_names) or 'none'}",
            where=place,
            fix="train a classifier on shards with the same labels",
        )


def _guidance(config: TrainConfig) -> GuidanceConfig | None:
    """How labels guide this training; None where they do not."""
    asked: GuidanceConfig | None = getattr(config, "guidance", None)
    return asked if asked is not None and _recipe(config).guided(config) else None


def _recipe(config: TrainConfig) -> Recipe:
    recipe: Recipe = OBJECTIVES.implementation(config.objective)
    return recipe


def build_objective(
    config: TrainConfig, manifest: ShardManifest, device: torch.device, guidance: Guidance | None = None
) -> Objective:
    """Initial weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        names = manifest.label_names if guidance is None else guidance.label_names
        return _recipe(config).build(config, Setting(names, manifest.format, device))


def build_trainer(config: TrainConfig, world: World, device: torch.device, report: Report) -> Trainer:
    """Everything that one rank needs."""
    manifest = load_manifest(Folder.at(config.shards))
    training, validation, source = split_parts(manifest, config.splits)
    shards, out = Folder.at(config.shards), Folder.at(config.out)
    data: dict[str, Any] = {
        "corpus": manifest.corpus,
        "digest": manifest.digest,
        "training_clips": sum(part.count for part in training),
        "validation_clips": sum(part.count for part in validation),
        "validation": source,
    }
    asked = _guidance(config)
    guidance, guided, names = None, None, manifest.label_names
    # None: all labels. What can be guided and is not knows none of them.
    known: dict[str, int] | None = None if getattr(config, "guidance", None) is None else {}
    if asked is not None:
        guide = Folder.at(asked.shards) if asked.shards else shards
        guide_manifest = load_manifest(guide) if asked.shards else manifest
        # Nothing is validated on another corpus: none of its clips is held out.
        there = [Part(each, 0, each.count) for each in guide_manifest.of_splits(config.splits)]
        choice = there if asked.shards else training
        guidance = guidance_of(asked, guide, guide_manifest, choice, out, write=world.rank == 0)
        # A key says nothing outside its own corpus: where another one guides, no training clip has a label.
        known, names = {} if asked.shards else guidance.labels, guidance.label_names
        if asked.merged:
            merged = parts_of(guidance, guide_manifest)
            training = training + [dataclasses.replace(part, elsewhere=guide) for part in merged]
        elif asked.apart and not asked.shards:
            training = rest_of(training, guidance)
        data["unlabelled_clips"] = sum(part.count for part in training)
        parts = parts_of(guidance, guide_manifest) + _recipe(config).also(config)
        guided = Clips(guide, parts, config.resident, guidance.labels, manifest.format)
        data["guidance"] = guidance.summary()
    objective = build_objective(config, manifest, device, guidance)
    state = TrainingState(out, objective, manifest.format, manifest.levels, names, data, inputs(config))
    return Trainer(
        objective,
        config,
        state,
        Clips(shards, training, config.resident, known, manifest.format),
        Clips(shards, validation, config.resident, None if _reads_labels(config) else known, manifest.format),
        guided,
        world,
        device,
        report,
    )
