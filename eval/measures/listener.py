"""What a frozen classifier makes of clips, as sums for inception score and Fréchet distance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from invertone.eval.measures.estimates import Array, Sums, clip_counts, clip_groups, inception_sums, moment_sums
from invertone.models.networks.resnet import ResNet18


@dataclass(frozen=True)
class Heard:
    """logits [b, k], penultimate activations [b, d], and the activations after each residual block."""

    logits: Float[Tensor, "b k"]
    penultimate: Float[Tensor, "b d"]
    blocks: Sequence[Tensor]


@torch.no_grad()
def hear(classifier: ResNet18, waveform: Float[Tensor, "b n"]) -> Heard:
    """One pass of the classifier."""
    logits, blocks = classifier.with_features(waveform)
    return Heard(logits, blocks[-1].mean((2, 3)), blocks)


@dataclass(frozen=True)
class Sampling:
    """How clips count in bootstrap replicates, and the groups of the inception score: by seed and key alone."""

    seed: int
    replicates: int
    groups: int

    def counts(self, keys: Sequence[str]) -> Float64[Array, "b r"]:
        return clip_counts(keys, self.seed, self.replicates)

    def sums(self, heard: Heard, keys: Sequence[str], counts: Float64[Array, "b r"]) -> Sums:
        """For inception score and Fréchet distances. Penultimate activations are many: they have no replicates, and so no
        interval."""
        logits = heard.logits.double()
        posterior = logits.softmax(1).cpu().numpy()
        return {
            **inception_sums(posterior, clip_groups(keys, self.seed, self.groups), self.groups, counts),
            **moment_sums("logits", logits.cpu().numpy(), counts),
            **moment_sums("penultimate", np.asarray(heard.penultimate.double().cpu()), counts[:, :1]),
        }
