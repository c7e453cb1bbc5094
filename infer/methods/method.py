"""What an inversion method is, and what it gives. Pure torch, without Ray; a clip's latent is its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, runtime_checkable

import pyarrow as pa
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from invertone.audio.distances import MEASURE
from invertone.audio.front_end import log_magnitude
from invertone.cluster.formats.latents import LATENTS, SCORED
from invertone.cluster.formats.signals import USUAL, SignalFormat, kind_of
from invertone.images.distances import pixel_mae
from invertone.infer.schemas.shared import InferConfig
from invertone.infer.threads import CALLER, Threads
from invertone.infer.tiles import tile_size
from invertone.models.device import precision
from invertone.models.generator import Generator, check_differentiable
from invertone.models.networks.listening import SignalClassifier
from invertone.models.prior import Prior

Network = TypeVar("Network")
ENCODED = "encoded"


@dataclass(frozen=True)
class Measure:
    """What a method without an objective is measured by: rows record it as the one loss term `name`. of: target and what the
    generator makes [b, ...] → one number each."""

    name: str
    of: Callable[[Float[Tensor, "b ..."], Float[Tensor, "b ..."]], Float[Tensor, " b"]]


def _log_magnitude(target: Float[Tensor, "b *c n"], made: Float[Tensor, "b *c n"]) -> Float[Tensor, " b"]:
    return (log_magnitude(target, MEASURE) - log_magnitude(made, MEASURE)).abs().flatten(1).mean(1)


MEASURES = {"clip": Measure("log_magnitude", _log_magnitude), "picture": Measure("pixel_mae", pixel_mae)}
"""By the kind of signal."""


@dataclass(frozen=True)
class Inversion:
    """latent [b, z] and signal, what the generator makes of it (waveforms [b, n], of two channels [b, 2, n]; pictures
    [b, 3, h, w]), None where nobody asked for it. loss [b]: the objective reached, `terms` its parts unweighted; None and empty
    where a method has no objective and made no signal. steps, evaluations [b]: iterations of the start that was kept,
    evaluations over all starts. stopped: why it ended. trajectories: the best loss so far after every evaluation of the kept
    start, where that was asked for. vectors, numbers: what else a method says of each clip, by column."""

    latent: Float[Tensor, "b z"]
    signal: Float[Tensor, "b ..."] | None
    loss: Float[Tensor, " b"] | None
    terms: Mapping[str, Float[Tensor, " b"]]
    steps: Int[Tensor, " b"]
    evaluations: Int[Tensor, " b"]
    stopped: Sequence[str]
    trajectories: Sequence[Sequence[float]] | None = None
    vectors: Mapping[str, Float[Tensor, "b _"]] = field(default_factory=dict)
    numbers: Mapping[str, Shaped[Tensor, " b"]] = field(default_factory=dict)

    def first(self, count: int) -> Inversion:
        """The first `count` clips."""
        return Inversion(
            self.latent[:count],
            self.signal[:count] if self.signal is not None else None,
            self.loss[:count] if self.loss is not None else None,
            {name: term[:count] for name, term in self.terms.items()},
            self.steps[:count],
            self.evaluations[:count],
            self.stopped[:count],
            self.trajectories[:count] if self.trajectories is not None else None,
            {name: each[:count] for name, each in self.vectors.items()},
            {name: each[:count] for name, each in self.numbers.items()},
        )


def joined(parts: Sequence[Inversion]) -> Inversion:
    """The clips of all parts, one after the other."""
    return Inversion(
        torch.cat([part.latent for part in parts]),
        _joined([part.signal for part in parts]),
        _joined([part.loss for part in parts]),
        {name: torch.cat([part.terms[name] for part in parts]) for name in parts[0].terms},
        torch.cat([part.steps for part in parts]),
        torch.cat([part.evaluations for part in parts]),
        [each for part in parts for each in part.stopped],
        None if parts[0].trajectories is None else [each for part in parts for each in part.trajectories or []],
        {name: torch.cat([part.vectors[name] for part in parts]) for name in parts[0].vectors},
        {name: torch.cat([part.numbers[name] for part in parts]) for name in parts[0].numbers},
    )


def _joined(parts: Sequence[Tensor | None]) -> Tensor | None:
    """None where the parts have none."""
    there = [part for part in parts if part is not None]
    assert len(there) in (0, len(parts)), "parts of one method are alike"
    return torch.cat(there) if there else None


@runtime_checkable
class Inverter(Protocol):
    """Targets as networks see them and their keys → their latents."""

    def __call__(self, target: Float[Tensor, "b ..."], keys: Sequence[str]) -> Inversion: ...


@runtime_checkable
class ToldInverter(Protocol):
    """One that is told each clip's own label as well, as the generator numbers it (see `Method.told`)."""

    def __call__(
        self, target: Float[Tensor, "b ..."], keys: Sequence[str], labels: Int[Tensor, " b"] | None = None
    ) -> Inversion: ...


def encoded(
    generator: Generator, target: Float[Tensor, "b ..."], latent: Float[Tensor, "b z"], passes: int
) -> Inversion:
    """What a method without an objective of its own found, and what the generator makes of it."""
    return of_signal(target, latent, generator(latent), passes)


def of_signal(
    target: Float[Tensor, "b ..."],
    latent: Float[Tensor, "b z"],
    made: Float[Tensor, "b ..."] | None,
    passes: int,
    measure: Measure | None = MEASURES["clip"],
) -> Inversion:
    """What a method without an objective of its own found, by a measure of what the generator makes of it, if that was made and
    is to be measured."""
    loss, terms = None, dict[str, Tensor]()
    if made is not None and measure is not None:
        loss = measure.of(target, made)
        terms = {measure.name: loss}
    none = torch.zeros(len(target), dtype=torch.int64)
    return Inversion(latent, made, loss, terms, none + passes, none, [ENCODED] * len(target))


@dataclass(frozen=True)
class Materials:
    """What an inverter is made with. beat: called at every evaluation, as a sign of life; threads: share its tiles; format:
    of what the generator makes."""

    generator: Generator
    classifier: SignalClassifier | None
    device: torch.device
    beat: Callable[[], None] = lambda: None
    threads: Threads = CALLER
    format: SignalFormat = USUAL


@dataclass(frozen=True)
class Computing:
    """How a method's networks are run: in which precision, compiled or not, by which threads, on tiles of which size."""

    within: Callable[[], AbstractContextManager[object]]
    compiled: bool
    threads: Threads
    tile: int

    @staticmethod
    def of(config: InferConfig, given: Materials) -> Computing:
        """As the config says. Raises UserError for a precision that the device does not have."""
        # compiled programs are made for the thread that calls them first
        threads = given.threads.first() if config.compile else given.threads
        within = precision(config.precision, given.device)
        return Computing(within, config.compile, threads, tile_size(given.device, config.tile))

    def made(self, network: Network) -> Network:
        """The network, compiled where that was asked for."""
        if self.compiled:
            assert isinstance(network, nn.Module), "generators and mappers are"
            network.compile()
        return network


def reconstructs(config: InferConfig) -> bool:
    """Whether rows say anything of reconstructions, so that they must be made."""
    return config.rows != LATENTS


def scored(config: InferConfig) -> bool:
    """Whether rows compare reconstructions with targets."""
    return config.rows in SCORED


def measure_of(config: InferConfig, format: SignalFormat) -> Measure | None:
    """What signals of this format are measured by, where rows compare them."""
    return MEASURES[kind_of(format)] if scored(config) else None


def _needs_gradients(config: Any) -> None:
    check_differentiable(config.generator)


def _measured(config: Any, prior: Prior, format: SignalFormat) -> list[str]:
    measure = measure_of(config, format)
    return [measure.name] if measure else []


def _no_vectors(config: Any, generator: Generator) -> dict[str, int]:
    return {}


def _no_columns(config: Any, generator: Generator) -> dict[str, pa.DataType]:
    return {}


def _told_nothing(config: Any) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True)
class Method:
    """What a line in `infer/config.py` names. build: the inverter of a config. check: raises UserError for what can be refused
    before anything starts, by default a generator that gives no gradients. terms: the loss terms that rows record, by default
    what an encoder is measured by. vectors, columns: the vectors and other columns that rows hold besides the latent, with
    their sizes and types. told: the names, by number, of the labels of clips that the inverter is told (`ToldInverter`), by
    default none: a clip without one of these is an error.
    """

    build: Callable[[Any, Materials], Inverter]
    check: Callable[[Any], None] = _needs_gradients
    terms: Callable[[Any, Prior, SignalFormat], list[str]] = _measured
    vectors: Callable[[Any, Generator], dict[str, int]] = _no_vectors
    columns: Callable[[Any, Generator], dict[str, pa.DataType]] = _no_columns
    told: Callable[[Any], tuple[str, ...]] = _told_nothing
