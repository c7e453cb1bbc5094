"""The encoder: one pass of an inverse mapper (Keyes, Bayat, Khazaie & Mohsenzadeh)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from invertone.infer.methods.method import Computing, Inversion, Materials, Method, of_waveform, scored, sounds
from invertone.infer.methods.tiled import Tiled
from invertone.infer.schemas.encoder import EncoderConfig
from invertone.models.checkpoint import load_mapper
from invertone.models.generator import Generator
from invertone.models.networks.resnet import ResNet18


@dataclass(frozen=True)
class EncoderInverter:
    """One pass of the mapper, projected into the prior. sound: whether reconstructions are made; measured: and compared."""

    generator: Generator
    mapper: ResNet18
    sound: bool = True
    within: Callable[[], AbstractContextManager[object]] = nullcontext
    measured: bool = True

    @torch.no_grad()
    def __call__(self, target: Float[Tensor, "b n"], keys: Sequence[str]) -> Inversion:
        with self.within():
            latent = self.generator.prior.project(self.mapper(target).float())
            waveform = self.generator(latent).float() if self.sound else None
        return of_waveform(target, latent, waveform, passes=1, measured=self.measured)


def _build(config: EncoderConfig, given: Materials) -> Tiled:
    computing = Computing.of(config, given)
    mapper = computing.made(load_mapper(config.mapper, given.device)[0])
    generator = computing.made(given.generator)
    inverter = EncoderInverter(generator, mapper, sounds(config), computing.within, scored(config))
    return Tiled(inverter, computing.tile, computing.threads)


METHOD = Method(_build)
