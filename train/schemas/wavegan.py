"""Keys of WaveGAN."""

from __future__ import annotations

from dataclasses import dataclass, field

from invertone.cluster.config.schema import key
from invertone.train.schemas.shared import TrainConfig


@dataclass(frozen=True)
class WaveganWeights:
    gradient_penalty: float = key(10.0, "lambda of WGAN-GP", minimum=0.0)


@dataclass(frozen=True)
class WaveganConfig(TrainConfig):
    """WaveGAN with WGAN-GP."""

    width: int = key(64, "model size d; 64 is the paper's", minimum=1)
    latent_size: int = key(100, "size of the latent vector", minimum=1)
    phase_shuffle: int = key(2, "radius in samples", minimum=0)
    critic_updates: int = key(5, "updates of the critic per update of the generator", minimum=1)
    classifier: str | None = key(
        None, "checkpoint for the inception score that picks the best generator", checkpoint="classifier"
    )
    weights: WaveganWeights = field(default_factory=WaveganWeights)
