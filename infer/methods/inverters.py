"""Inversion methods: a batch of clips → latents. Pure torch, free of Ray; a clip's latent does not depend on its neighbours."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from invertone.audio.distances import MEASURE
from invertone.audio.front_end import log_magnitude
from invertone.infer.solvers.losses import LatentObjective
from invertone.infer.solvers.solve import Solution
from invertone.infer.threads import CALLER, Threads
from invertone.infer.tiles import tile, tiles
from invertone.models.autoencoder import SpectrogramAutoencoder
from invertone.models.generator import Generator
from invertone.models.networks.resnet import ResNet18
from invertone.models.networks.restyle import RestyleMapper
from invertone.models.prior import seeded

ENCODED = "encoded"
LOG_MAGNITUDE = "log_magnitude"
GUIDED_LATENT, CLASS_PROBABILITIES = "guided_latent", "class_probabilities"


@dataclass(frozen=True)
class Inversion:
    """latent [b, z] and waveform [b, n], what the generator makes of it. loss [b]: the objective reached, `terms` its parts
    unweighted. steps, evaluations [b]: iterations of the start that was kept, evaluations over all starts. stopped: why it
    ended. trajectories: the best loss so far after every evaluation of the kept start, where that was asked for. vectors: what
    else a method says of each clip, by column."""

    latent: Float[Tensor, "b z"]
    waveform: Float[Tensor, "b n"]
    loss: Float[Tensor, " b"]
    terms: Mapping[str, Float[Tensor, " b"]]
    steps: Int[Tensor, " b"]
    evaluations: Int[Tensor, " b"]
    stopped: Sequence[str]
    trajectories: Sequence[Sequence[float]] | None = None
    vectors: Mapping[str, Float[Tensor, "b _"]] = field(default_factory=dict)

    def first(self, count: int) -> Inversion:
        """The first `count` clips."""
        return Inversion(
            self.latent[:count],
            self.waveform[:count],
            self.loss[:count],
            {name: term[:count] for name, term in self.terms.items()},
            self.steps[:count],
            self.evaluations[:count],
            self.stopped[:count],
            self.trajectories[:count] if self.trajectories is not None else None,
            {name: each[:count] for name, each in self.vectors.items()},
        )


def joined(parts: Sequence[Inversion]) -> Inversion:
    """The clips of all parts, one after the other."""
    return Inversion(
        torch.cat([part.latent for part in parts]),
        torch.cat([part.waveform for part in parts]),
        torch.cat([part.loss for part in parts]),
        {name: torch.cat([part.terms[name] for part in parts]) for name in parts[0].terms},
        torch.cat([part.steps for part in parts]),
        torch.cat([part.evaluations for part in parts]),
        [each for part in parts for each in part.stopped],
        None if parts[0].trajectories is None else [each for part in parts for each in part.trajectories or []],
        {name: torch.cat([part.vectors[name] for part in parts]) for name in parts[0].vectors},
    )


@runtime_checkable
class Inverter(Protocol):
    """target [b, n] and the clips' keys → their latents."""

    def __call__(self, target: Float[Tensor, "b n"], keys: Sequence[str]) -> Inversion: ...


@dataclass(frozen=True)
class EncoderInverter:
    """One pass of the mapper, projected into the prior."""

    generator: Generator
    mapper: ResNet18

    @torch.no_grad()
    def __call__(self, target: Float[Tensor, "b n"], keys: Sequence[str]) -> Inversion:
        return _encoded(self.generator, target, self.generator.prior.project(self.mapper(target)), passes=1)


@dataclass(frozen=True)
class RestyleInverter:
    """Some passes of a mapper that sees clip and present reconstruction and corrects the latent (Alaluf, Patashnik &
    Cohen-Or 2021, ReStyle), from the prior's centre."""

    generator: Generator
    mapper: RestyleMapper
    passes: int

    @torch.no_grad()
    def __call__(self, target: Float[Tensor, "b n"], keys: Sequence[str]) -> Inversion:
        latent = target.new_zeros(len(target), self.generator.latent_size)
        for _ in range(self.passes):
            latent = self.generator.prior.project(latent + self.mapper(target, self.generator(latent)))
        return _encoded(self.generator, target, latent, self.passes)


@dataclass(frozen=True)
class AutoencoderInverter:
    """The encoder that was trained with the decoder: the style latent, beside it the guided latent and the probabilities of
    the labels; the reconstruction is the decoder's, its phase by PGHI, at the clip's level."""

    autoencoder: SpectrogramAutoencoder

    @torch.no_grad()
    def __call__(self, target: Float[Tensor, "b n"], keys: Sequence[str]) -> Inversion:
        encoded = self.autoencoder.encode(target)
        spectrogram = self.autoencoder.spectrogram(encoded.style, encoded.probabilities)
        seeds = [seeded("phase", key).initial_seed() for key in keys]
        waveform = self.autoencoder.sound(spectrogram, seeds, self.autoencoder.level(target)).to(target.device)
        found = _of_waveform(target, encoded.style, waveform, passes=1)
        return replace(found, vectors={GUIDED_LATENT: encoded.guided, CLASS_PROBABILITIES: encoded.probabilities})


def _encoded(
    generator: Generator, target: Float[Tensor, "b n"], latent: Float[Tensor, "b z"], passes: int
) -> Inversion:
    return _of_waveform(target, latent, generator(latent), passes)


def _of_waveform(
    target: Float[Tensor, "b n"], latent: Float[Tensor, "b z"], waveform: Float[Tensor, "b n"], passes: int
) -> Inversion:
    """What a method without an objective of its own found, measured by the log magnitude."""
    loss = (log_magnitude(target, MEASURE) - log_magnitude(waveform, MEASURE)).abs().flatten(1).mean(1)
    none = torch.zeros(len(target), dtype=torch.int64)
    return Inversion(latent, waveform, loss, {LOG_MAGNITUDE: loss}, none + passes, none, [ENCODED] * len(target))


@dataclass(frozen=True)
class GradientInverter:
    """Minimises an objective of the latent from one or several starts per clip, and keeps the best.

    `mapper` gives the first start (hybrid); without one it is drawn from the prior, as all others are, by seed, key and
    number of the start. `solve` does many at once (`solvers/solve.py`) or one by one (`solvers/scipy_solver.py`).
    `threads` share the tiles.
    """

    generator: Generator
    objective: LatentObjective
    solve: Callable[..., Solution]
    tile: int
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
            drawn[:, 0] = self.generator.prior.project(encoded)
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


@dataclass(frozen=True)
class Tiled:
    """An inverter that is always called with `size` clips, the last call filled up with silence; `threads` share the calls.

    Kernels choose their order of summation by the shape of the batch. With one shape for all, a clip's latent is the same
    to the bit whatever clips come with it; otherwise an optimiser, which divides small gradients by themselves, blows up
    1e-7 to 1e-1 (measured on spoken digits with Adam: 1 clip of 24 after 20 steps, 5 after 100).
    """

    inverter: Inverter
    size: int
    threads: Threads = CALLER

    def __call__(self, target: Float[Tensor, "b n"], keys: Sequence[str]) -> Inversion:
        names = [*keys, *[""] * (-len(target) % self.size)]
        parts = tiles(target, self.size)
        own = [names[first : first + self.size] for first in range(0, len(names), self.size)]
        return joined(self.threads.map(self.inverter, parts, own)).first(len(target))


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
