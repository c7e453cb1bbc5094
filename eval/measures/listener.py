"""What a frozen classifier makes of clips, as sums for inception score and Fréchet distance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, UInt64

from invertone.eval.measures.draws import clip_counts, clip_groups, sampled
from invertone.eval.measures.estimates import Array, Sums, inception_sums, moment_sums
from invertone.models.scores import Heard


@dataclass(frozen=True)
class Sampling:
    """How clips count in bootstrap replicates, the groups of the inception score, and which clips baselines are judged on (a
    `share` of all): by seed and key alone. digests: of the clips' keys (`key_digests`)."""

    seed: int
    replicates: int
    groups: int
    share: float = 1.0

    def counts(self, digests: UInt64[Array, " b"]) -> Float64[Array, "b r"]:
        return clip_counts(digests, self.seed, self.replicates)

    def chosen(self, digests: UInt64[Array, " b"]) -> Bool[Array, " b"]:
        return sampled(digests, self.seed, self.share)

    def logit_sums(
        self, logits: Float64[Array, "b k"], digests: UInt64[Array, " b"], counts: Float64[Array, "b r"]
    ) -> Sums:
        """For inception score and Fréchet distance."""
        posterior = np.exp(logits - logits.max(1, keepdims=True))
        posterior /= posterior.sum(1, keepdims=True)
        groups = clip_groups(digests, self.seed, self.groups)
        return inception_sums(posterior, groups, self.groups, counts) | moment_sums("logits", logits, counts)

    def sums(self, heard: Heard, digests: UInt64[Array, " b"], counts: Float64[Array, "b r"]) -> Sums:
        """For inception score and Fréchet distances."""
        return {
            **self.logit_sums(heard.logits.double().cpu().numpy(), digests, counts),
            **self.embedding_sums(heard, digests, counts),
        }

    def embedding_sums(self, heard: Heard, digests: UInt64[Array, " b"], counts: Float64[Array, "b r"]) -> Sums:
        """For the Fréchet distance of penultimate activations. They are many: they have no replicates, and so no interval."""
        return moment_sums("penultimate", heard.penultimate.double().cpu().numpy(), counts[:, :1])
