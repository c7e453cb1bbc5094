"""Keys of BigGAN on spectrograms."""

from __future__ import annotations

from dataclasses import dataclass, field

from invertone.cluster.config.schema import key
from invertone.train.schemas.spectrogram_gan import GuidanceConfig, SpectrogramGanConfig


@dataclass(frozen=True)
class BigganConfig(SpectrogramGanConfig):
    """BigGAN: with labels (of the guidance, usually all) or without any."""

    conditional: bool = key(True, "labels steer the generator; false is the unsupervised baseline")
    guidance: GuidanceConfig = field(default_factory=GuidanceConfig)
