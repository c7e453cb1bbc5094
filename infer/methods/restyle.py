"""The iterative mapper: some passes, each of which corrects the latent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from invertone.infer.methods.method import Inversion, Materials, Method, encoded
from invertone.infer.methods.tiled import Tiled
from invertone.infer.schemas.restyle import RestyleConfig
from invertone.infer.tiles import tile_size
from invertone.models.checkpoint import load_restyle_mapper
from invertone.models.generator import Generator
from invertone.models.networks.restyle import RestyleMapper


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
        return encoded(self.generator, target, latent, self.passes)


def _build(config: RestyleConfig, given: Materials) -> Tiled:
    mapper = load_restyle_mapper(config.mapper, given.device)[0]
    return Tiled(RestyleInverter(given.generator, mapper, config.passes), tile_size(given.device), given.threads)


METHOD = Method(_build)
