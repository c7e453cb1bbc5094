"""Keys of the Wasserstein autoencoder."""

from __future__ import annotations

from dataclasses import dataclass, field

from invertone.cluster.config.schema import key
from invertone.train.schemas.shared import SCHEDULES, FrontEndConfig, TrainConfig


@dataclass(frozen=True)
class WaeWeights:
    reconstruction: float = key(1.0, "multi-resolution STFT distance", minimum=0.0)
    features: float = key(1.0, "feature distance; counts if there is a classifier", minimum=0.0)
    prior: float = key(5.0, "sliced Wasserstein distance of latents and prior", minimum=0.0)


@dataclass(frozen=True)
class WaeConfig(TrainConfig):
    """WaveGAN's generator as the decoder of a Wasserstein autoencoder: speaks after an hour on one CPU core."""

    width: int = key(64, "model size d; 64 is WaveGAN's", minimum=1)
    latent_size: int = key(100, "size of the latent vector", minimum=1)
    encoder_width: int = key(64, "channels of the encoder's first stage; 64 is ResNet-18", minimum=1)
    front_end: FrontEndConfig = field(default_factory=FrontEndConfig)
    schedule: str = key("cosine", "learning rate over the steps", choices=SCHEDULES)
    noise: float = key(0.1, "latents move by up to so much in training", minimum=0.0)
    classifier: str | None = key(
        None, "checkpoint for feature distance and for accuracy in validation", checkpoint="classifier"
    )
    weights: WaeWeights = field(default_factory=WaeWeights)
