"""Keys of the iterative mapper."""

from __future__ import annotations

from dataclasses import dataclass

from invertone.cluster.config.schema import REQUIRED, key
from invertone.infer.schemas.shared import InferConfig


@dataclass(frozen=True)
class RestyleConfig(InferConfig):
    """A few passes of a mapper that sees the clip and its present reconstruction, and corrects the latent."""

    mapper: str = key(
        REQUIRED, "checkpoint of a restyle mapper trained for this generator", checkpoint="restyle", neutral=True
    )
    passes: int = key(5, "corrections; 3 to 5 are usual", minimum=1)
