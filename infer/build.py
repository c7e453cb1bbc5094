"""From a config to an inverter: networks, losses, optimiser. Free of Ray: a test or a bare script may call it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import torch
from torch import Tensor

from invertone.infer.methods.inverters import (
    CLASS_PROBABILITIES,
    GUIDED_LATENT,
    LOG_MAGNITUDE,
    AutoencoderInverter,
    EncoderInverter,
    GradientInverter,
    Inverter,
    RestyleInverter,
    Tiled,
)
from invertone.infer.schemas.autoencoder import GaaeInferConfig
from invertone.infer.schemas.encoder import EncoderConfig
from invertone.infer.schemas.gradient import GradientConfig
from invertone.infer.schemas.restyle import RestyleConfig
from invertone.infer.schemas.shared import InferConfig
from invertone.infer.solvers.adam import AdamSettings, BatchedAdam
from invertone.infer.solvers.lbfgs import BatchedLbfgs, Stopping
from invertone.infer.solvers.losses import LatentObjective, build_terms
from invertone.infer.solvers.scipy_solver import ScipySolver
from invertone.infer.solvers.solve import EarlyStop, Minimiser, Solver
from invertone.infer.threads import CALLER, Threads
from invertone.infer.tiles import SLOTS, phase_tile_size, tile_size
from invertone.models.autoencoder import SpectrogramAutoencoder
from invertone.models.checkpoint import load_mapper, load_restyle_mapper
from invertone.models.device import precision
from invertone.models.generator import Generator
from invertone.models.networks.resnet import ResNet18
from invertone.models.prior import Prior


def build_inverter(
    config: InferConfig,
    generator: Generator,
    classifier: ResNet18 | None,
    device: torch.device,
    beat: Callable[[], None] = lambda: None,
    threads: Threads = CALLER,
) -> Inverter:
    """The inverter that `config.method` names. Neither `config.batch` nor the number of `threads` can change its results:
    every call of a network has the same shape and is one thread's. `beat` is called at every evaluation."""
    tile = tile_size(device)
    if isinstance(config, EncoderConfig):
        return Tiled(EncoderInverter(generator, load_mapper(config.mapper, device)[0]), tile, threads)
    if isinstance(config, GaaeInferConfig):
        assert isinstance(generator, SpectrogramAutoencoder), "checked when the job was planned"
        return Tiled(AutoencoderInverter(generator), phase_tile_size(device), threads)
    if isinstance(config, RestyleConfig):
        inverter = RestyleInverter(generator, load_restyle_mapper(config.mapper, device)[0], config.passes)
        return Tiled(inverter, tile, threads)
    assert isinstance(config, GradientConfig)
    mapper = load_mapper(config.mapper, device)[0] if config.mapper else None
    objective = build_objective(config, generator, mapper, classifier, device)
    first = mapper if config.method == "hybrid" else None
    if config.compile:  # compiled programs are made for the thread that calls them first
        threads = threads.first()
    solver = build_solver(config, objective, tile, beat, threads)
    return GradientInverter(generator, objective, solver, tile, first, config.starts, config.seed, threads)


def build_objective(
    config: GradientConfig,
    generator: Generator,
    mapper: ResNet18 | None,
    classifier: ResNet18 | None,
    device: torch.device,
) -> LatentObjective:
    """The weighted losses, as a function of the latent."""
    weights = dataclasses.asdict(config.weights)
    counted = {name: weights[name] for name in loss_terms(config, generator.prior)}
    terms = build_terms(counted, generator, mapper, classifier, config.feature_loss)
    within = precision(config.precision, device)
    called: Generator = torch.compile(generator) if config.compile else generator  # type: ignore[assignment]
    return LatentObjective(called, terms, weights, within)


def vector_columns(config: InferConfig, generator: Generator) -> dict[str, int]:
    """The vectors that rows hold besides the latent, with their sizes."""
    if not isinstance(config, GaaeInferConfig):
        return {}
    assert isinstance(generator, SpectrogramAutoencoder), "checked when the job was planned"
    return {GUIDED_LATENT: generator.latent_size, CLASS_PROBABILITIES: generator.labels}


def loss_terms(config: InferConfig, prior: Prior) -> list[str]:
    """The terms that rows record: those with a weight; what an encoder is measured by is the log magnitude."""
    if not isinstance(config, GradientConfig):
        return [LOG_MAGNITUDE]
    weights = dataclasses.asdict(config.weights)
    return [name for name, weight in weights.items() if weight > 0 and (name != "prior" or prior.kind == "normal")]


def build_solver(
    config: GradientConfig,
    objective: LatentObjective,
    tile: int,
    beat: Callable[[], None] = lambda: None,
    threads: Threads = CALLER,
) -> Solver | ScipySolver:
    """What minimises it, many clips at once or, for comparison, SciPy one by one."""
    lower, upper = box(objective.generator.prior)
    stop = config.stop
    early = EarlyStop(stop.target, stop.patience, stop.improvement, stop.seconds)
    stopping = Stopping(stop.gradient, stop.decrease, config.evaluations, config.iterations)
    if config.optimiser == "scipy":
        return ScipySolver(objective, lower, upper, stopping, early, config.trajectory, beat, threads)
    settings = AdamSettings(config.learning_rate, config.clipping, config.evaluations)

    def make(start: Tensor, seeds: Tensor) -> Minimiser:
        if config.optimiser == "adam":
            return BatchedAdam(start, seeds, lower, upper, settings)
        return BatchedLbfgs(start, lower, upper, stopping)

    slots = max(tile, SLOTS)
    if stop.seconds is not None:  # a clip's time runs while it waits for its turn
        slots = tile * max(1, threads.count)
    return Solver(objective, make, slots, early, config.trajectory, beat, tile if slots > tile else None, threads)


def box(prior: Prior) -> tuple[float, float]:
    """Where the prior lets a coordinate be."""
    return (-1.0, 1.0) if prior.kind == "uniform" else (-math.inf, math.inf)
