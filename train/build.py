"""From a config to a trainer: objective, data, state. Free of Ray: a worker calls it, a test or a bare script may too."""

from __future__ import annotations

import math
from typing import Any

import torch

from invertone.audio.clip import CLIP_SAMPLES
from invertone.cluster.errors import UserError
from invertone.cluster.formats.shards import ShardManifest, load_manifest
from invertone.cluster.storage.folder import Folder
from invertone.models.checkpoint import folder_of, load_classifier
from invertone.models.generator import check_differentiable, check_generator, generator_digest, load_generator
from invertone.models.networks.gaae import COLUMNS, ROWS
from invertone.train.config import (
    BiganConfig,
    BigganConfig,
    ClassifierConfig,
    CnnConfig,
    GaaeConfig,
    GganConfig,
    GuidanceConfig,
    MapperConfig,
    RestyleConfig,
    SpectrogramGanConfig,
    TrainConfig,
    WaeConfig,
    WaveganConfig,
    WorkersConfig,
)
from invertone.train.data.clips import Clips, Part, split_parts
from invertone.train.data.guidance import Guidance, guidance_of
from invertone.train.initial import load_initial
from invertone.train.loop.state import TrainingState
from invertone.train.loop.trainer import Report, Trainer
from invertone.train.objective import Objective, World
from invertone.train.objectives.bigan import BiganObjective, GganObjective
from invertone.train.objectives.biggan import BigganObjective
from invertone.train.objectives.classifier import ClassifierObjective
from invertone.train.objectives.cnn import CnnObjective
from invertone.train.objectives.gaae import GaaeObjective
from invertone.train.objectives.mapper import MapperObjective
from invertone.train.objectives.restyle import RestyleObjective
from invertone.train.objectives.wae import WaeObjective
from invertone.train.objectives.wavegan import WaveganObjective


def inputs(config: TrainConfig) -> dict[str, str]:
    """Digests of the models that training reads, by role. Raises UserError where one is missing or of the wrong kind."""
    generator, classifier = getattr(config, "generator", None), getattr(config, "classifier", None)
    digests = {"generator": generator_digest(generator)} if generator else {}
    if getattr(config, "also", None):
        digests["also"] = load_manifest(Folder.at(config.also)).digest  # type: ignore[attr-defined]
    if classifier:
        digests["classifier"] = folder_of(classifier, "classifier", "classifier")[1].digest
    if getattr(config, "initial", None):
        digests["initial"] = folder_of(config.initial, "initial")[1].digest  # type: ignore[attr-defined]
    return digests


def check(config: TrainConfig) -> ShardManifest:
    """What can be refused before anything starts. Returns the shards' manifest."""
    manifest = load_manifest(Folder.at(config.shards))
    split_parts(manifest, config.splits)
    if config.workers.min > config.workers.max:
        raise UserError(f"workers.min={config.workers.min} is above workers.max={config.workers.max}", fix="swap them")
    _check_divisible("batch", config.batch, config.workers)
    guidance = getattr(config, "guidance", None)
    if guidance is not None and guidance.shards:
        split_parts(load_manifest(Folder.at(guidance.shards)), config.splits)
    if isinstance(config, CnnConfig) and config.also:
        names = (load_manifest(Folder.at(guidance.shards)) if guidance and guidance.shards else manifest).label_names
        also = load_manifest(Folder.at(config.also))
        if also.label_names != names:
            raise UserError(
                f"also has the labels {', '.join(also.label_names) or '(none)'}, guidance has {', '.join(names)}",
                where=config.also,
                fix="give clips with the same labels in the same order",
            )
        split_parts(also, ["train"])
    if isinstance(config, SpectrogramGanConfig):
        _check_shape(config)
    if isinstance(config, GaaeConfig) and config.guided_batch:
        _check_divisible("guided_batch", config.guided_batch, config.workers)
    if isinstance(config, ClassifierConfig) and guidance is None and len(manifest.label_names) < 2:
        raise UserError("shards have fewer than two labels", where=config.shards, fix="ingest with labels")
    if isinstance(config, MapperConfig):
        check_generator(config.generator)
        check_differentiable(config.generator)
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
    if isinstance(config, MapperConfig) and config.initial:
        build_objective(config, manifest, torch.device("cpu"))
    return manifest


def _check_divisible(name: str, batch: int, workers: WorkersConfig) -> None:
    """However many workers there are, each takes an equal part of a batch."""
    for count in range(workers.min, workers.max + 1):
        if batch % count:
            multiple = math.lcm(*range(workers.min, workers.max + 1))
            raise UserError(
                f"{name}={batch} cannot be divided among {count} workers", fix=f"choose a multiple of {multiple}"
            )


def _check_shape(config: SpectrogramGanConfig) -> None:
    """The family's networks are made for one size of spectrogram."""
    front_end = config.front_end
    rows, columns = front_end.mels or front_end.n_fft // 2, CLIP_SAMPLES // front_end.hop_length
    if (rows, columns) != (ROWS, COLUMNS) or front_end.mels:
        raise UserError(
            f"front_end gives {rows} x {columns}, the networks are for {ROWS} x {COLUMNS} linear frequencies",
            fix="use n_fft: 512, hop_length: 128, mels: 0",
        )
    if config.attention_rows not in (0, 16, 32, 64, 128):
        raise UserError(
            f"attention_rows={config.attention_rows} is no height of a block", fix="use 128, 64, 32, 16 or 0"
        )
    for name, count in (("encoder_multiples", 6), ("discriminator_multiples", 6), ("decoder_multiples", 7)):
        given = getattr(config, name)
        if len(given) != count or min(given) < 1:
            raise UserError(
                f"{name} must be {count} numbers of at least 1", fix=f"see `invertone train {config.objective} --help`"
            )


def build_objective(
    config: TrainConfig, manifest: ShardManifest, device: torch.device, guidance: Guidance | None = None
) -> Objective:
    """Initial weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        if guidance is not None:
            objective = _guided_objective(config, len(guidance.label_names))
            if isinstance(config, SpectrogramGanConfig) and config.classifier:
                objective.frozen = {"classifier": load_classifier(config.classifier)[0]}  # type: ignore[misc]
            return objective
        if isinstance(config, ClassifierConfig):
            return ClassifierObjective(config, len(manifest.label_names))
        if isinstance(config, WaveganConfig):
            return WaveganObjective(config, load_classifier(config.classifier)[0] if config.classifier else None)
        if isinstance(config, WaeConfig):
            return WaeObjective(config, load_classifier(config.classifier)[0] if config.classifier else None)
        assert isinstance(config, MapperConfig)
        kind = RestyleObjective if isinstance(config, RestyleConfig) else MapperObjective
        generator = load_generator(config.generator, device)[0]
        mapping = kind(config, generator, load_classifier(config.classifier)[0])
        if config.initial:
            load_initial(config.initial, mapping.mapper)
        return mapping


def _guided_objective(config: TrainConfig, classes: int) -> Objective:
    if isinstance(config, GaaeConfig):
        return GaaeObjective(config, classes)
    if isinstance(config, GganConfig):
        return GganObjective(config, classes)
    if isinstance(config, BigganConfig):
        return BigganObjective(config, classes)
    if isinstance(config, BiganConfig):
        return BiganObjective(config, classes)
    assert isinstance(config, CnnConfig)
    return CnnObjective(config, classes)


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
    asked: GuidanceConfig | None = getattr(config, "guidance", None)
    guidance, guided, known, names = None, None, None, manifest.label_names
    if asked is not None:
        guide = Folder.at(asked.shards) if asked.shards else shards
        guide_manifest = load_manifest(guide) if asked.shards else manifest
        choice = split_parts(guide_manifest, config.splits)[0] if asked.shards else training
        guidance = guidance_of(asked, guide, guide_manifest, choice, out, write=world.rank == 0)
        # A key says nothing outside its own corpus: where another one guides, no training clip has a label.
        known, names = {} if asked.shards else guidance.labels, guidance.label_names
        parts = guidance.parts(guide_manifest) + _also(config)
        guided = Clips(guide, parts, config.resident, guidance.labels)
        data["guidance"] = guidance.described()
    objective = build_objective(config, manifest, device, guidance)
    state = TrainingState(out, objective, manifest.levels, names, data, inputs(config))
    return Trainer(
        objective,
        config,
        state,
        Clips(shards, training, config.resident, known),
        Clips(shards, validation, config.resident, known),
        guided,
        world,
        device,
        report,
    )


def _also(config: TrainConfig) -> list[Part]:
    """All training clips of the further shards that a CNN learns from."""
    if not (isinstance(config, CnnConfig) and config.also):
        return []
    folder = Folder.at(config.also)
    entries = load_manifest(folder).of_splits(["train"])
    return [Part(entry, 0, entry.count, elsewhere=folder) for entry in entries]
