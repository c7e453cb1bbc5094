"""The encoder: one pass of an inverse mapper (Keyes, Bayat, Khazaie & Mohsenzadeh)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

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
from invertone.infer.schemas.encoder import EncoderConfig
from invertone.models.checkpoint import load_mapper
from invertone.models.generator import Generator
from invertone.models.networks.listening import SignalClassifier

UNPROJECTED = "unprojected_latent"
"""The column of the mapper's own latents: what the second inverse-mapper paper (Keyes et al.) tells real clips from generated
ones by (Table 3). Its projection into the prior is `latent`, of which reconstructions are made."""


@dataclass(frozen=True)
class EncoderInverter:
    """One pass of the mapper, projected into the prior. reconstructs: whether reconstructions are made; measure: and what they
    are compared by, if they are; unprojected: whether the latent as the mapper said it is kept beside."""

    generator: Generator
    mapper: SignalClassifier
    reconstructs: bool = True
    within: Callable[[], AbstractContextManager[object]] = nullcontext
    measure: Measure | None = MEASURES["clip"]
    unprojected: bool = False

    @torch.no_grad()
    def __call__(self, target: Float[Tensor, "b ..."], keys: Sequence[str]) -> Inversion:
        with self.within():
            said = self.mapper(target).float()
            latent = self.generator.prior.project(said)
            made = self.generator(latent).float() if self.reconstructs else None
        found = of_signal(target, latent, made, passes=1, measure=self.measure)
        return replace(found, vectors={UNPROJECTED: said}) if self.unprojected else found


def _build(config: EncoderConfig, given: Materials) -> Tiled:
    computing = Computing.of(config, given)
    mapper = computing.made(load_mapper(config.mapper, given.device)[0])
    generator = computing.made(given.generator)
    keeps = bool(_vectors(config, given.generator))
    measure = measure_of(config, given.format)
    inverter = EncoderInverter(generator, mapper, reconstructs(config), computing.within, measure, keeps)
    return Tiled(inverter, computing.tile, computing.threads)


def _vectors(config: EncoderConfig, generator: Generator) -> dict[str, int]:
    """A prior without a box leaves latents as they are: nothing to keep beside them."""
    return {UNPROJECTED: generator.latent_size} if config.unprojected and generator.prior.kind == "uniform" else {}


METHOD = Method(_build, vectors=_vectors)
