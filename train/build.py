"""From a config to a trainer: objective, data, state. Free of Ray: a worker calls it, a test or a bare script may too."""

from __future__ import annotations

import torch

from cluster.errors import UserError
from cluster.shards import ShardManifest, load_manifest
from cluster.storage import Folder
from models.checkpoint import folder_of, load_classifier
from models.generator import check_generator, generator_digest, load_generator
from train.config import ClassifierConfig, MapperConfig, RestyleConfig, TrainConfig, WaeConfig, WaveganConfig
from train.data import Clips, split_parts
from train.loop import Report, Trainer
from train.objective import Objective, World
from train.objectives.classifier import ClassifierObjective
from train.objectives.mapper import MapperObjective
from train.objectives.restyle import RestyleObjective
from train.objectives.wae import WaeObjective
from train.objectives.wavegan import WaveganObjective
from train.state import TrainingState


def inputs(config: TrainConfig) -> dict[str, str]:
    """Digests of the models that training reads, by role. Raises UserError where one is missing or of the wrong kind."""
    generator, classifier = getattr(config, "generator", None), getattr(config, "classifier", None)
    digests = {"generator": generator_digest(generator)} if generator else {}
    if classifier:
        digests["classifier"] = folder_of(classifier, "classifier", "classifier")[1].digest
    return digests


def check(config: TrainConfig) -> ShardManifest:
    """What can be refused before anything starts. Returns the shards' manifest."""
    manifest = load_manifest(Folder.at(config.shards))
    split_parts(manifest, config.splits)
    if config.batch % config.workers:
        raise UserError(
            f"batch={config.batch} cannot be divided among workers={config.workers}", fix="choose a multiple of workers"
        )
    if isinstance(config, ClassifierConfig) and len(manifest.label_names) < 2:
        raise UserError("shards have fewer than two labels", where=config.shards, fix="ingest with labels")
    if isinstance(config, MapperConfig):
        check_generator(config.generator)
    classifier = getattr(config, "classifier", None)
    if classifier:
        known = folder_of(classifier, "classifier", "classifier")[1].label_names
        if known != manifest.label_names:
            raise UserError(
                f"classifier knows the labels {', '.join(known)}, the shards have "
                f"{', '.join(manifest.label_names) or 'none'}",
                where=classifier,
                fix="train a classifier on shards with the same labels",
            )
    return manifest


def build_objective(config: TrainConfig, manifest: ShardManifest, device: torch.device) -> Objective:
    """Initial weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        if isinstance(config, ClassifierConfig):
            return ClassifierObjective(config, len(manifest.label_names))
        if isinstance(config, WaveganConfig):
            return WaveganObjective(config, load_classifier(config.classifier)[0] if config.classifier else None)
        if isinstance(config, WaeConfig):
            return WaeObjective(config, load_classifier(config.classifier)[0] if config.classifier else None)
        assert isinstance(config, MapperConfig)
        objective = RestyleObjective if isinstance(config, RestyleConfig) else MapperObjective
        generator = load_generator(config.generator, device)[0]
        return objective(config, generator, load_classifier(config.classifier)[0])


def build_trainer(config: TrainConfig, world: World, device: torch.device, report: Report) -> Trainer:
    """Everything that one rank needs."""
    manifest = load_manifest(Folder.at(config.shards))
    training, validation, source = split_parts(manifest, config.splits)
    objective = build_objective(config, manifest, device)
    shards = Folder.at(config.shards)
    data = {
        "corpus": manifest.corpus,
        "digest": manifest.digest,
        "training_clips": sum(part.count for part in training),
        "validation_clips": sum(part.count for part in validation),
        "validation": source,
    }
    state = TrainingState(Folder.at(config.out), objective, manifest.levels, manifest.label_names, data, inputs(config))
    return Trainer(
        objective,
        config,
        state,
        Clips(shards, training, config.resident),
        Clips(shards, validation, config.resident),
        world,
        device,
        report,
    )
