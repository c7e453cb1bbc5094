"""The encoder that a GAAE, GGAN or BiGAN has of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from invertone.cluster.errors import UserError
from invertone.cluster.formats.latents import CLASS_PROBABILITIES, GENERATOR_LABEL
from invertone.infer.methods.labelling import label_columns
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
from invertone.infer.schemas.autoencoder import GaaeInferConfig
from invertone.infer.tiles import phase_tile_size
from invertone.models.autoencoder import ENCODED, SpectrogramAutoencoder, family_manifest, hears
from invertone.models.generator import Generator, generator_kind
from invertone.models.networks.phase import phase_seeds

GUIDED_LATENT = "guided_latent"


@dataclass(frozen=True)
class AutoencoderInverter:
    """The encoder that was trained with the decoder: the style latent, beside it the guided latent, the probabilities of the
    labels and the most probable one; the reconstruction, if `sound`, is the decoder's of style and probabilities, its phase by
    PGHI, at the clip's level."""

    autoencoder: SpectrogramAutoencoder
    sound: bool = True
    within: Callable[[], AbstractContextManager[object]] = nullcontext
    measure: Measure | None = MEASURES["clip"]

    @torch.no_grad()
    def __call__(self, target: Float[Tensor, "b n"], keys: Sequence[str]) -> Inversion:
        waveform = None
        with self.within():
            encoded = self.autoencoder.encode(target)
            style, guided, probabilities = (
                each.float() for each in (encoded.style, encoded.guided, encoded.probabilities)
            )
            if self.sound:
                spectrogram = self.autoencoder.spectrogram(style, probabilities).float()
        if self.sound:
            level = self.autoencoder.level(target)
            waveform = self.autoencoder.sound(spectrogram, phase_seeds(keys), level).to(target.device)
        found = of_signal(target, style, waveform, passes=1, measure=self.measure)
        most = {GENERATOR_LABEL: probabilities.argmax(1)} if self.autoencoder.label_names else {}
        return replace(found, vectors={GUIDED_LATENT: guided, CLASS_PROBABILITIES: probabilities}, numbers=most)


def _build(config: GaaeInferConfig, given: Materials) -> Tiled:
    assert isinstance(given.generator, SpectrogramAutoencoder), "checked when the job was planned"
    computing = Computing.of(config, given)
    if computing.compiled:  # not what recovers phases, which is compiled already
        for network in (given.generator.encoder, given.generator.classifier, given.generator.decoder):
            if network is not None:
                network.compile()
    inverter = AutoencoderInverter(
        given.generator, reconstructs(config), computing.within, measure_of(config, given.format)
    )
    return Tiled(inverter, phase_tile_size(given.device, config.tile), computing.threads)


def _check(config: GaaeInferConfig) -> None:
    if generator_kind(config.generator) not in ENCODED:
        raise UserError(
            "generator has no encoder of its own", where=config.generator, fix="give a GAAE, GGAN or BiGAN checkpoint"
        )
    if not hears(family_manifest(config.generator, "generator")[1]):
        raise UserError(
            "generator is a BiGAN whose classifier is still to be trained",
            where=config.generator,
            fix="train one: invertone train bigan-classifier encoder=…",
        )


def _vectors(config: GaaeInferConfig, generator: Generator) -> dict[str, int]:
    assert isinstance(generator, SpectrogramAutoencoder) and generator.encoder, "checked when the job was planned"
    return {GUIDED_LATENT: generator.encoder.latent_size, CLASS_PROBABILITIES: generator.labels}


def _columns(config: GaaeInferConfig, generator: Generator) -> dict[str, pa.DataType]:
    return label_columns(generator)


METHOD = Method(_build, _check, vectors=_vectors, columns=_columns)
