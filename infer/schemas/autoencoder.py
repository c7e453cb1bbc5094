"""Keys of the encoder that GAAE, GGAN and BiGAN have of their own."""

from __future__ import annotations

from dataclasses import dataclass

from invertone.infer.schemas.shared import InferConfig


@dataclass(frozen=True)
class GaaeInferConfig(InferConfig):
    """One pass of a guided autoencoder's own encoder: guided latent, style latent, class probabilities, reconstruction by
    PGHI. `generator` is the checkpoint of the GAAE (or GGAN, BiGAN)."""
