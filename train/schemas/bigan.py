"""Keys of BiGAN and of GGAN, its heir."""

from __future__ import annotations

from dataclasses import dataclass, field

from invertone.train.schemas.spectrogram_gan import GuidanceConfig, SpectrogramGanConfig


@dataclass(frozen=True)
class GganConfig(SpectrogramGanConfig):
    """Guided GAN, the predecessor of GAAE: clip, latent and label judged together."""

    guidance: GuidanceConfig = field(default_factory=GuidanceConfig)


@dataclass(frozen=True)
class BiganConfig(SpectrogramGanConfig):
    """BiGAN, and a classifier on its encoder's latents that knows the guided labels."""

    guidance: GuidanceConfig = field(default_factory=GuidanceConfig)
