"""The multi-level feature distance of the inverse-mapper papers: how far apart two clips are for a frozen classifier."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Float64
from torch import Tensor

FEATURE_LOSSES = ("mse", "mae")


def feature_distance(a: Sequence[Tensor], b: Sequence[Tensor], loss: str = "mse") -> Float[Tensor, " b"]:
    """Mean over blocks of the mean squared (or absolute) difference of activations, one number per clip.

    a, b: activations after every block of the classifier (`ClipClassifier.with_features`), of ResNet-18, which the papers
    take, after every residual block. The second paper (Keyes et al.) writes MSE, the first one's supplement MAE; the authors'
    code looks at the first layers only, which this does not follow. Whether blocks are added or averaged no paper says: a sum
    over the eight blocks is eight times this mean, so that the weight of the term has both.
    """
    per_block = []
    for one, other in zip(a, b, strict=True):
        difference = one - other
        error = difference.square() if loss == "mse" else difference.abs()
        per_block.append(error.flatten(1).mean(1))
    return torch.stack(per_block).mean(0)


def cosine_distance(a: Float[Tensor, "b d"], b: Float[Tensor, "b d"]) -> Float64[Tensor, " b"]:
    """1 minus the cosine of the angle between penultimate activations."""
    return 1 - torch.cosine_similarity(a.double(), b.double())
