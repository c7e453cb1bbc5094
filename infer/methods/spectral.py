"""Generators of spectrograms under inversion by gradient: what the objective looks at, and the sound that comes of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from invertone.audio.front_end import FrontEnd, log_magnitude
from invertone.cluster.errors import UserError
from invertone.infer.schemas.gradient import GradientConfig
from invertone.infer.solvers.losses import TERMS
from invertone.models.autoencoder import family_manifest
from invertone.models.checkpoint import folder_of
from invertone.models.generator import Generator, SpectrogramGenerator, Traits
from invertone.models.networks.listening import makes_of
from invertone.models.networks.phase import phase_seeds

EXPLAINED = "spectrogram_explained_variance"
"""The column of how much of the clip's spectrogram, by the generator's own front end, the network's explains: 1 for all of it,
0 for no more than its mean does. Phases, which are recovered and not searched for, do not count in it."""


class BeforePhases(nn.Module):
    """The network of a generator of spectrograms: latents and labels → what it makes before phases are recovered."""

    def __init__(self, generator: SpectrogramGenerator) -> None:
        super().__init__()
        self.generator = generator
        self.latent_size, self.prior = generator.latent_size, generator.prior
        self.labels = len(generator.label_names)

    def forward(self, latent: Float[Tensor, "b z"], label: Int[Tensor, " b"] | None = None) -> Float[Tensor, "b f t"]:
        """A network that takes no labels is told none."""
        if label is None:
            assert not self.labels, "one that takes labels is told one"
            return self.generator.spectrogram(latent, latent.new_zeros(len(latent), 0))
        return self.generator.spectrogram(latent, F.one_hot(label, self.labels).to(latent.dtype))


@dataclass(frozen=True)
class PhaseRecovery:
    """The last step: from spectrograms to sound at the clips' levels. sound: whether rows say anything of it."""

    generator: SpectrogramGenerator
    sound: bool = True

    def __call__(
        self, spectrogram: Float[Tensor, "t f s"], target: Float[Tensor, "t n"], keys: Sequence[str]
    ) -> tuple[Float[Tensor, "t n"] | None, Mapping[str, Float[Tensor, " t"]]]:
        """Waveforms, if they are wanted, and what is known of the spectrograms by column."""
        wanted = log_magnitude(target, self.generator.front_end)
        columns = {EXPLAINED: explained_variance(wanted, spectrogram)}
        if not self.sound:
            return None, columns
        waveform = self.generator.sound(spectrogram, phase_seeds(keys), self.generator.level(target))
        return waveform.to(target.device), columns


def explained_variance(wanted: Float[Tensor, "b f t"], found: Float[Tensor, "b f t"]) -> Float[Tensor, " b"]:
    """1 - variance of the difference over that of what is wanted, per clip. Of what does not vary, silence, 1 where nothing is
    left of it and else 0, as is the custom."""
    left, whole = ((each.flatten(1)).var(1, correction=0) for each in (wanted - found, wanted))
    return torch.where(whole > 0, 1 - left / torch.where(whole > 0, whole, 1.0), (left == 0).to(left.dtype))


def spectral_columns(generator: Generator) -> dict[str, pa.DataType]:
    """What rows hold besides of a generator of spectrograms."""
    return {EXPLAINED: pa.float64()} if isinstance(generator, SpectrogramGenerator) else {}


def check_looks_at_spectrograms(config: GradientConfig, about: Traits) -> None:
    """Raises UserError for a loss that needs waveforms, of which a generator of spectrograms gives none with a gradient, and
    for a classifier that does not hear its spectrograms."""
    weights: dict[str, Any] = dataclasses.asdict(config.weights)
    others = [name for name, weight in weights.items() if weight > 0 and TERMS[name].of_spectrogram is None]
    if others:
        raise UserError(
            f"weights.{others[0]} looks at waveforms, and generator is a {about.kind} checkpoint, whose sound comes from phase "
            "recovery and has no gradient",
            where=config.generator,
            fix=f"use `invertone infer {config.method}` or {config.method}-spectrogram, or "
            f"{' '.join(f'weights.{name}=0' for name in others)} weights.log_magnitude=1",
        )
    if weights["features"] > 0 and config.classifier:
        _check_hears(config.classifier, FrontEnd(**family_manifest(config.generator, "generator")[1].front_end))


def _check_hears(classifier: str, made: FrontEnd) -> None:
    network = folder_of(classifier, "classifier", "classifier")[1].networks["classifier"]
    own = FrontEnd(**network["front_end"]) if "front_end" in network else None
    if not makes_of(own, made):
        hears = "another kind of spectrogram" if own is None else f"spectrograms {own.n_fft}/{own.hop_length}"
        raise UserError(
            f"weights.features: the classifier hears {hears}, and the generator makes {made.n_fft}/{made.hop_length}",
            where=classifier,
            fix=f"give one trained with front_end.n_fft={made.n_fft} and a hop_length of {made.hop_length} or a multiple, or "
            "weights.features=0",
        )
