"""Gradient descent on the latent, from the prior or, hybrid, from the latent of a mapper or of the generator's own encoder."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from invertone.cluster.errors import UserError
from invertone.cluster.formats.latents import GENERATOR_LABEL
from invertone.cluster.formats.signals import USUAL, SignalFormat
from invertone.infer.methods.labelling import Labelling, check_label, label_columns, labelling, told_labels
from invertone.infer.methods.layers import check_layers
from invertone.infer.methods.method import Computing, Inversion, Materials, Method, reconstructs
from invertone.infer.methods.spectral import BeforePhases, PhaseRecovery, check_looks_at_spectrograms, spectral_columns
from invertone.infer.schemas.gradient import GradientConfig
from invertone.infer.solvers.adam import AdamSettings, BatchedAdam
from invertone.infer.solvers.lbfgs import BatchedLbfgs, Stopping
from invertone.infer.solvers.losses import TERMS, LatentObjective, build_terms, terms_for
from invertone.infer.solvers.scipy_solver import ScipySolver
from invertone.infer.solvers.solve import EarlyStop, Minimiser, Solution, Solver
from invertone.infer.threads import CALLER, Threads
from invertone.infer.tiles import SLOTS, phase_tile_size, tile, tiles
from invertone.models.autoencoder import SpectrogramAutoencoder
from invertone.models.checkpoint import load_mapper
from invertone.models.device import precision
from invertone.models.generator import Generator, SpectrogramGenerator, traits
from invertone.models.networks.listening import SignalClassifier
from invertone.models.prior import Prior, seeded

_Columns = Mapping[str, Shaped[Tensor, " b"]]


@dataclass(frozen=True)
class _Searches:
    """One search by another: of which clip, from where, with which seed and label."""

    clips: Sequence[int]
    begun: Float[Tensor, "j z"]
    seeds: Sequence[int]
    labels: Int[Tensor, " j"] | None

    def told(self) -> dict[str, Tensor]:
        return {} if self.labels is None else {"labels": self.labels}


@dataclass(frozen=True)
class GradientInverter:
    """Minimises an objective of the latent from one or several starts per clip, and keeps the best.

    `mapper`, one that was trained or the generator's own encoder, gives the first start (hybrid), the nearest point of `within`
    (lower and upper bound of every coordinate) to its latent; without one it is drawn from the prior, as all others are, by
    seed, key and number of the start. `solve` does many at once (`solvers/solve.py`) or one by one
    (`solvers/scipy_solver.py`), and keeps all in the same bounds. `threads` share the tiles. `labelling`: which labels are
    tried for each clip, of a generator that takes them. `phases`: makes sound of what the generator gives, where those are
    spectrograms.
    """

    generator: Generator
    objective: LatentObjective
    solve: Callable[..., Solution]
    tile: int
    within: tuple[float, float]
    mapper: Callable[[Tensor], Tensor] | None = None
    starts: int = 1
    seed: int = 0
    threads: Threads = CALLER
    labelling: Labelling | None = None
    phases: PhaseRecovery | None = None

    def __call__(
        self, target: Float[Tensor, "b ..."], keys: Sequence[str], labels: Int[Tensor, " b"] | None = None
    ) -> Inversion:
        wanted = _cat(self.threads.map(self.objective.wanted, tiles(target, self.tile)), len(target))
        searches = self._searches(target, keys, labels)
        solution = self.solve(wanted, searches.clips, searches.begun, searches.seeds, **searches.told())
        value = solution.value.view(len(target), -1)
        chosen = torch.where(torch.isfinite(value), value, torch.inf).argmin(1)
        rows = chosen + torch.arange(len(target), device=value.device) * value.shape[1]
        latent = solution.point[rows].float()
        kept = None if searches.labels is None else searches.labels[rows]
        made, terms, numbers = self._final(latent, kept, wanted, target, keys)
        on_host = rows.cpu()
        return Inversion(
            latent,
            made,
            solution.value[rows],
            terms,
            solution.iterations[on_host],
            solution.evaluations.view(len(target), -1).sum(1),
            [solution.stopped[row] for row in on_host.tolist()],
            [solution.trajectories[row] for row in on_host.tolist()] if any(solution.trajectories) else None,
            numbers=numbers if kept is None else {GENERATOR_LABEL: kept, **numbers},
        )

    def _searches(
        self, target: Float[Tensor, "b ..."], keys: Sequence[str], told: Int[Tensor, " b"] | None
    ) -> _Searches:
        """From every start of every clip, with every label that is tried for it."""
        begun = self._begun(target, keys)
        tried, labels = 1, None
        if self.labelling is not None:
            candidates = self.labelling.candidates(target, told, self.tile, self.threads)
            tried = candidates.shape[1]
            labels = candidates[:, :, None].expand(-1, -1, self.starts).flatten()
        clips = [clip for clip in range(len(target)) for _ in range(tried * self.starts)]
        seeds = [seed_of(self.seed, key, number) for key in keys for _ in range(tried) for number in range(self.starts)]
        return _Searches(clips, begun[:, None].expand(-1, tried, -1, -1).flatten(0, 2), seeds, labels)

    def _begun(self, target: Float[Tensor, "b ..."], keys: Sequence[str]) -> Float[Tensor, "b s z"]:
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
        self,
        latent: Float[Tensor, "b z"],
        label: Int[Tensor, " b"] | None,
        wanted: Mapping[str, tuple[Tensor, ...]],
        target: Float[Tensor, "b ..."],
        keys: Sequence[str],
    ) -> tuple[Float[Tensor, "b ..."] | None, _Columns, _Columns]:
        """Signals, terms, and what else there is to say at the latents that were kept, by tiles."""
        names = [*keys, *[""] * (-len(keys) % self.tile)]

        def made(number: int, part: Float[Tensor, "t z"]) -> tuple[Tensor | None, _Columns, _Columns]:
            first = number * self.tile
            own = {name: tuple(tile(each, first, self.tile) for each in tensors) for name, tensors in wanted.items()}
            found = self.generator(part) if label is None else self.generator(part, tile(label, first, self.tile))
            terms = self.objective.compare(part, found, own)
            if self.phases is None:
                return found, terms, {}
            clips, named = tile(target, first, self.tile), names[first : first + self.tile]
            waveform, numbers = self.phases(found, clips, named)
            return waveform, terms, numbers

        parts = tiles(latent, self.tile)
        signals, terms, numbers = zip(*self.threads.map(made, range(len(parts)), parts), strict=True)
        count = len(latent)
        whole = None if signals[0] is None else torch.cat(signals)[:count]
        return whole, _columns(terms, count), _columns(numbers, count)


def _columns(parts: Sequence[_Columns], count: int) -> dict[str, Tensor]:
    return {name: torch.cat([each[name] for each in parts])[:count] for name in parts[0]}


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
    mapper: SignalClassifier | None,
    classifier: SignalClassifier | None,
    device: torch.device,
    format: SignalFormat = USUAL,
) -> LatentObjective:
    """The weighted losses, as a function of the latent of signals of this format."""
    weights = dataclasses.asdict(config.weights)
    counted = {name: weights[name] for name in _terms(config, generator.prior, format)}
    layers = config.perceptual_layers
    terms = build_terms(counted, generator, mapper, classifier, config.feature_loss, format, layers)
    within = precision(config.precision, device)
    seen = _seen(generator)
    called: Generator = torch.compile(seen) if config.compile else seen  # type: ignore[assignment]
    return LatentObjective(called, terms, weights, within)


def _seen(generator: Generator) -> Generator:
    """What makes that which the objective looks at."""
    return BeforePhases(generator) if isinstance(generator, SpectrogramGenerator) else generator


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


def _terms(config: GradientConfig, prior: Prior, format: SignalFormat) -> list[str]:
    """Those with a weight that count under this prior."""
    weights = dataclasses.asdict(config.weights)
    return [name for name, weight in weights.items() if weight > 0 and TERMS[name].only_under in ("", prior.kind)]


def _build(config: GradientConfig, given: Materials, from_mapper: bool = False) -> GradientInverter:
    mapper = load_mapper(config.mapper, given.device)[0] if config.mapper else None
    objective = build_objective(config, given.generator, mapper, given.classifier, given.device, given.format)
    computing, generator = Computing.of(config, given), given.generator
    size, threads, phases = computing.tile, computing.threads, None
    if isinstance(generator, SpectrogramGenerator):
        size, phases = phase_tile_size(given.device, config.tile), PhaseRecovery(generator, reconstructs(config))
    solver = build_solver(config, objective, size, given.beat, threads)
    first = (mapper or _own_encoder(generator)) if from_mapper else None
    within = box(generator.prior, config.clip_to)
    return GradientInverter(
        _seen(generator), objective, solver, size, within, first, config.starts, config.seed, threads,
        labelling(config, generator), phases,
    )  # fmt: skip


def _own_encoder(generator: Generator) -> Callable[[Tensor], Tensor]:
    assert isinstance(generator, SpectrogramAutoencoder), "checked when the job was planned"
    return generator.style


def _check(config: GradientConfig, from_mapper: bool = False) -> None:
    """A loss is refused where the network that it needs is not given, or where it looks at waveforms that have no gradient."""
    about = traits(config.generator)
    _check_signal(config, about.signal, from_mapper)
    if about.spectrograms:
        check_looks_at_spectrograms(config, about)
    weights: dict[str, Any] = dataclasses.asdict(config.weights)
    for name, weight in weights.items():
        role = TERMS[name].needs
        if weight > 0 and role and not getattr(config, role):
            without = ", or use `invertone infer hybrid-unlabelled`" if from_mapper and role == "classifier" else ""
            raise UserError(f"weights.{name} needs a {role}", fix=f"add {role}=…, or weights.{name}=0{without}")
    if config.weights.perceptual > 0 and config.classifier:
        check_layers(config.perceptual_layers, config.classifier)
    check_label(config, about)
    if from_mapper and not config.mapper and not about.encodes:
        raise UserError(
            "mapper not given, and the generator has no encoder of its own",
            where=config.generator,
            fix="add mapper=…, or use `invertone infer gradient`",
        )


def _check_signal(config: GradientConfig, kind: str, from_mapper: bool) -> None:
    """A loss of another kind of signal than the generator's is refused, and one of nothing."""
    weights: dict[str, Any] = dataclasses.asdict(config.weights)
    others = [name for name, weight in weights.items() if weight > 0 and TERMS[name].signal not in ("", kind)]
    usual = "weights.pixel_mse=1" if kind == "picture" else "weights.log_magnitude=1"
    if others:
        named = ("hybrid" if from_mapper else "gradient") + ("-pictures" if kind == "picture" else "")
        raise UserError(
            f"weights.{others[0]} looks at {TERMS[others[0]].signal}s, and the generator makes {kind}s",
            where=config.generator,
            fix=f"use `invertone infer {named}`, or {' '.join(f'weights.{name}=0' for name in others)} and weights of "
            f"{', '.join(terms_for(kind))}, such as {usual}",
        )
    if not any(weight for name, weight in weights.items() if not TERMS[name].only_under):
        raise UserError("every weight is 0: nothing to minimise", fix=f"give one, such as {usual}")


def _more_columns(config: GradientConfig, generator: Generator) -> dict[str, pa.DataType]:
    return label_columns(generator) | spectral_columns(generator)


METHOD = Method(_build, _check, _terms, columns=_more_columns, told=told_labels)
HYBRID = Method(
    partial(_build, from_mapper=True),
    partial(_check, from_mapper=True),
    _terms,
    columns=_more_columns,
    told=told_labels,
)
