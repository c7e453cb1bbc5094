"""Gradient descent on the latent, from the prior or, hybrid, from a mapper's latent."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from invertone.cluster.errors import UserError
from invertone.infer.methods.method import Computing, Inversion, Materials, Method
from invertone.infer.schemas.gradient import GradientConfig
from invertone.infer.solvers.adam import AdamSettings, BatchedAdam
from invertone.infer.solvers.lbfgs import BatchedLbfgs, Stopping
from invertone.infer.solvers.losses import TERMS, LatentObjective, build_terms
from invertone.infer.solvers.scipy_solver import ScipySolver
from invertone.infer.solvers.solve import EarlyStop, Minimiser, Solution, Solver
from invertone.infer.threads import CALLER, Threads
from invertone.infer.tiles import SLOTS, tile, tiles
from invertone.models.checkpoint import load_mapper
from invertone.models.device import precision
from invertone.models.generator import Generator, check_differentiable
from invertone.models.networks.listening import ClipClassifier
from invertone.models.networks.resnet import ResNet18
from invertone.models.prior import Prior, seeded


@dataclass(frozen=True)
class GradientInverter:
    """Minimises an objective of the latent from one or several starts per clip, and keeps the best.

    `mapper` gives the first start (hybrid), the nearest point of `within` (lower and upper bound of every coordinate) to its
    latent; without one it is drawn from the prior, as all others are, by seed, key and number of the start. `solve` does many
    at once (`solvers/solve.py`) or one by one (`solvers/scipy_solver.py`), and keeps all in the same bounds. `threads` share
    the tiles.
    """

    generator: Generator
    objective: LatentObjective
    solve: Callable[..., Solution]
    tile: int
    within: tuple[float, float]
    mapper: ResNet18 | None = None
    starts: int = 1
    seed: int = 0
    threads: Threads = CALLER

    def __call__(self, target: Float[Tensor, "b n"], keys: Sequence[str]) -> Inversion:
        wanted = _cat(self.threads.map(self.objective.wanted, tiles(target, self.tile)), len(target))
        begun = self._begun(target, keys)
        clips = [clip for clip in range(len(target)) for _ in range(self.starts)]
        seeds = [seed_of(self.seed, key, number) for key in keys for number in range(self.starts)]
        solution = self.solve(wanted, clips, begun.flatten(0, 1), seeds)
        value = solution.value.view(len(target), self.starts)
        chosen = torch.where(torch.isfinite(value), value, torch.inf).argmin(1)
        rows = chosen + torch.arange(len(target), device=value.device) * self.starts
        latent = solution.point[rows].float()
        waveform, terms = self._final(latent, wanted)
        on_host = rows.cpu()
        return Inversion(
            latent,
            waveform,
            solution.value[rows],
            terms,
            solution.iterations[on_host],
            solution.evaluations.view(len(target), self.starts).sum(1),
            [solution.stopped[row] for row in on_host.tolist()],
            [solution.trajectories[row] for row in on_host.tolist()] if any(solution.trajectories) else None,
        )

    def _begun(self, target: Float[Tensor, "b n"], keys: Sequence[str]) -> Float[Tensor, "b s z"]:
        drawn = torch.stack(
            [
                torch.cat([start(self.seed, key, self.generator, number) for number in range(self.starts)])
                for key in keys
            ]
        ).to(target.device)
        if self.mapper is not None:
            with torch.no_grad():
                encoded = torch.cat(self.threads.map(self.mapper, tiles(target, self.tile)))[: len(target)]
            drawn[:, 0] = encoded.clamp(*self.within)
        return drawn

    @torch.no_grad()
    def _final(
        self, latent: Float[Tensor, "b z"], wanted: Mapping[str, tuple[Tensor, ...]]
    ) -> tuple[Float[Tensor, "b n"], dict[str, Float[Tensor, " b"]]]:
        """Waveforms and terms at the latents that were kept, by tiles."""

        def made(number: int, part: Float[Tensor, "t z"]) -> tuple[Tensor, dict[str, Tensor]]:
            first = number * self.tile
            own = {name: tuple(tile(each, first, self.tile) for each in tensors) for name, tensors in wanted.items()}
            waveform = self.generator(part)
            return waveform, self.objective.compare(part, waveform, own)

        parts = tiles(latent, self.tile)
        waveforms, terms = zip(*self.threads.map(made, range(len(parts)), parts), strict=True)
        count = len(latent)
        return torch.cat(waveforms)[:count], {
            name: torch.cat([each[name] for each in terms])[:count] for name in self.objective.names
        }


def _cat(parts: Sequence[Mapping[str, tuple[Tensor, ...]]], count: int) -> dict[str, tuple[Tensor, ...]]:
    return {
        name: tuple(torch.cat([part[name][at] for part in parts])[:count] for at in range(len(parts[0][name])))
        for name in parts[0]
    }


def seed_of(seed: int, key: str, number: int) -> int:
    """31 bits that decide what an optimiser draws for one start of one clip."""
    digest = hashlib.sha256(repr((seed, "draws", key, number)).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def start(seed: int, key: str, generator: Generator, number: int = 0) -> Float[Tensor, "1 z"]:
    """One random start of one clip: the same in every batch, shard and run."""
    return generator.prior.sample(1, generator.latent_size, seeded(seed, "start", key, number))


def build_objective(
    config: GradientConfig,
    generator: Generator,
    mapper: ResNet18 | None,
    classifier: ClipClassifier | None,
    device: torch.device,
) -> LatentObjective:
    """The weighted losses, as a function of the latent."""
    weights = dataclasses.asdict(config.weights)
    counted = {name: weights[name] for name in _terms(config, generator.prior)}
    terms = build_terms(counted, generator, mapper, classifier, config.feature_loss)
    within = precision(config.precision, device)
    called: Generator = torch.compile(generator) if config.compile else generator  # type: ignore[assignment]
    return LatentObjective(called, terms, weights, within)


def build_solver(
    config: GradientConfig,
    objective: LatentObjective,
    tile: int,
    beat: Callable[[], None] = lambda: None,
    threads: Threads = CALLER,
) -> Solver | ScipySolver:
    """What minimises it, many clips at once or, for comparison, SciPy one by one."""
    lower, upper = box(objective.generator.prior, config.clip_to)
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


def box(prior: Prior, clip_to: float | None = None) -> tuple[float, float]:
    """Where a coordinate may be: in [-clip_to, clip_to], anywhere with clip_to 0; without one where the prior lets it be."""
    bound = clip_to if clip_to is not None else 1.0 if prior.kind == "uniform" else 0.0
    return (-bound, bound) if bound else (-math.inf, math.inf)


def _terms(config: GradientConfig, prior: Prior) -> list[str]:
    """Those with a weight that count under this prior."""
    weights = dataclasses.asdict(config.weights)
    return [name for name, weight in weights.items() if weight > 0 and TERMS[name].only_under in ("", prior.kind)]


def _build(config: GradientConfig, given: Materials, from_mapper: bool = False) -> GradientInverter:
    mapper = load_mapper(config.mapper, given.device)[0] if config.mapper else None
    objective = build_objective(config, given.generator, mapper, given.classifier, given.device)
    computing = Computing.of(config, given)
    size, threads = computing.tile, computing.threads
    solver = build_solver(config, objective, size, given.beat, threads)
    first = mapper if from_mapper else None
    within = box(given.generator.prior, config.clip_to)
    return GradientInverter(
        given.generator, objective, solver, size, within, first, config.starts, config.seed, threads
    )


def _check(config: GradientConfig) -> None:
    """A loss is refused where the network that it needs is not given."""
    weights: dict[str, Any] = dataclasses.asdict(config.weights)
    for name, weight in weights.items():
        role = TERMS[name].needs
        if weight > 0 and role and not getattr(config, role):
            raise UserError(f"weights.{name} needs a {role}", fix=f"add {role}=…, or weights.{name}=0")
    if not any(weight for name, weight in weights.items() if not TERMS[name].only_under):
        raise UserError("every weight is 0: nothing to minimise", fix="give one, such as weights.log_magnitude=1")
    check_differentiable(config.generator)


METHOD = Method(_build, _check, _terms)
HYBRID = Method(partial(_build, from_mapper=True), _check, _terms)
