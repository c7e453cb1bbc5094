"""The encoder: one pass of an inverse mapper (Keyes, Bayat, Khazaie & Mohsenzadeh)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from invertone.infer.methods.method import Inversion, Materials, Method, encoded
from invertone.infer.methods.tiled import Tiled
from invertone.infer.schemas.encoder import EncoderConfig
from invertone.infer.tiles import tile_size
from invertone.models.checkpoint import load_mapper
from invertone.models.generator import Generator
from invertone.models.networks.resnet import ResNet18


@dataclass(frozen=True)
class EncoderInverter:
    """One pass of the mapper, projected into the prior."""

    generator: Generator
    mapper: ResNet18

    @torch.no_grad()
    def __call__(self, target: Float[Tensor, "b n"], keys: Sequence[str]) -> Inversion:
        return encoded(self.generator, target, self.generator.prior.project(self.mapper(target)), passes=1)


def _build(config: EncoderConfig, given: Materials) -> Tiled:
    mapper = load_mapper(config.mapper, given.device)[0]
    return Tiled(EncoderInverter(given.generator, mapper), tile_size(given.device), given.threads)


METHOD = Method(_build)
