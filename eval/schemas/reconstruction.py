"""Keys of the reconstruction table."""

from __future__ import annotations

from dataclasses import dataclass

from invertone.cluster.config.schema import REQUIRED, key
from invertone.eval.schemas.shared import JudgedConfig


@dataclass(frozen=True)
class ReconstructionConfig(JudgedConfig):
    """Reconstructions against their clips, with the rows real, silence and random latent."""

    latents: list[str] = key(REQUIRED, "run folder of an infer, or several: [runs/a, runs/b]", path=True, neutral=True)
    shards: str | None = key(None, "the clips; none means those the latents were made from", path=True, neutral=True)
    classifier: str | None = key(
        None,
        "checkpoint that recognises; none means the one the latents were scored with, if any",
        checkpoint="classifier",
        neutral=True,
    )
    generator: str | None = key(
        None,
        "for random latents, given as to infer; none means the one that was inverted",
        checkpoint="generator",
        neutral=True,
    )
    sample: int = key(
        1_000,
        "clips, roughly, that silence and random latent are judged on, chosen by seed and key; all where there are no more",
        minimum=1,
    )
