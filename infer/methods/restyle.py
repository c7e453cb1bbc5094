"""The iterative mapper: some passes, each of which corrects the latent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from invertone.infer.methods.method import (
    MEASURES,
    Computing,
    Inversion,
    Materials,
    Measure,
    Method,
    measure_of,
    of_signal,
    reconstructs,
)
from invertone.infer.methods.tiled import Tiled
from invertone.infer.schemas.restyle import RestyleConfig
from invertone.models.checkpoint import load_restyle_mapper
from invertone.models.generator import Generator
from invertone.models.networks.restyle import RestyleMapper


@dataclass(frozen=True)
class RestyleInverter:
    """Some passes of a mapper that sees clip and present reconstruction and corrects the latent (Alaluf, Patashnik &
    Cohen-Or 2021, ReStyle), from the prior's centre. reconstructs: whether the last latent's reconstruction is made too;
    measure: and what it is compared by, if it is."""

    generator: Generator
    mapper: RestyleMapper
    passes: int
    reconstructs: bool = True
    within: Callable[[], AbstractContextManager[object]] = nullcontext
    measure: Measure | None = MEASURES["clip"]

    @torch.no_grad()
    def __call__(self, target: Float[Tensor, "b ..."], keys: Sequence[str]) -> Inversion:
        latent = target.new_zeros(len(target), self.generator.latent_size)
        with self.within():
            for _ in range(self.passes):
                correction = self.mapper(target, self.generator(latent).float())
                latent = self.generator.prior.project(latent + correction.float())
            made = self.generator(latent).float() if self.reconstructs else None
        return of_signal(target, latent, made, self.passes, measure=self.measure)


def _build(config: RestyleConfig, given: Materials) -> Tiled:
    computing = Computing.of(config, given)
    inverter = RestyleInverter(
        computing.made(given.generator),
        computing.made(load_restyle_mapper(config.mapper, given.device)[0]),
        config.passes,
        reconstructs(config),
        computing.within,
        measure_of(config, given.format),
    )
    return Tiled(inverter, computing.tile, computing.threads)


METHOD = Method(_build)
