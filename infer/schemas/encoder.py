"""Keys of the encoder: one pass of an inverse mapper."""

from __future__ import annotations

from dataclasses import dataclass

from invertone.cluster.config.schema import REQUIRED, key
from invertone.infer.schemas.shared import InferConfig


@dataclass(frozen=True)
class EncoderConfig(InferConfig):
    """One pass of a trained inverse mapper."""

    mapper: str = key(REQUIRED, "checkpoint of a mapper trained for this generator", checkpoint="mapper", neutral=True)
    unprojected: bool = key(
        False,
        "write what the mapper itself said too, in the column unprojected_latent, where the prior is a box that latents are "
        "put into",
    )
