"""The distribution a generator's latents come from, and the region an inverted latent must stay in."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

KINDS = ("uniform", "normal")


def seeded(*parts: object) -> torch.Generator:
    """A generator that depends on `parts` (numbers, strings) alone: the same in every batch, process and run."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


@dataclass(frozen=True)
class Prior:
    """uniform: each coordinate uniform in [-1, 1]. normal: each coordinate standard normal."""

    kind: str = "uniform"

    def sample(self, count: int, size: int, generator: torch.Generator) -> Float[Tensor, "count size"]:
        """`count` latents, drawn on the CPU so that a seed means the same on every device."""
        if self.kind == "uniform":
            return torch.rand(count, size, generator=generator) * 2 - 1
        return torch.randn(count, size, generator=generator)

    def label(self, latent: Float[Tensor, "b z"], labels: int) -> Int[Tensor, " b"]:
        """Which of `labels` a latent's first coordinate stands for, each alike likely: what a generator takes that needs a
        label and is given none."""
        first = latent[:, 0]
        share = (1 + (first.clamp(-1, 1) if self.kind == "uniform" else torch.erf(first / 2**0.5))) / 2
        return (share * labels).long().clamp_max(labels - 1)

    def project(self, latent: Float[Tensor, "b z"]) -> Float[Tensor, "b z"]:
        """The nearest latent that the prior allows: clamped into the box; a normal prior allows all."""
        return latent.clamp(-1.0, 1.0) if self.kind == "uniform" else latent

    def pass_through(self, latent: Float[Tensor, "b z"]) -> Float[Tensor, "b z"]:
        """As `project`, but outside the box the gradient goes on as if the latent had not been moved to its edge."""
        return latent + (self.project(latent) - latent).detach()
