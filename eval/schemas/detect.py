"""Keys of the table of what a detector takes for generated."""

from __future__ import annotations

from dataclasses import dataclass

from invertone.cluster.config.schema import REQUIRED, key
from invertone.eval.schemas.shared import SampleConfig


@dataclass(frozen=True)
class DetectConfig(SampleConfig):
    """Which clips a detector takes for generated, by their latents."""

    latents: str = key(
        REQUIRED, "run folder of the same infer as the detector's, over any clips", path=True, neutral=True
    )
    detector: str = key(REQUIRED, "run folder of an eval deepfake", path=True, neutral=True)
    shards: str | None = key(None, "the clips; none means those the latents were made from", path=True, neutral=True)
    clips: int = key(10_000, "at most so many clips, chosen by seed and key", minimum=1, maximum=10_000)
