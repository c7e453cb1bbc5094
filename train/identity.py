"""Losses by which a recogniser learns identities: triplets with semi-hard negatives."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

MARGIN = 0.2
"""FaceNet's, of squared distances between embeddings of length 1."""


def squared_distances(embedding: Float[Tensor, "b d"]) -> Float[Tensor, "b b"]:
    """Between all rows."""
    return (embedding[:, None] - embedding[None]).square().sum(2)


def semi_hard_triplets(
    embedding: Float[Tensor, "b d"], label: Int[Tensor, " b"], margin: float = MARGIN
) -> Float[Tensor, ""]:
    """Mean over all pairs (anchor, positive) of one identity of max(0, d(a, p) - d(a, n) + margin), squared distances; n is
    the nearest of another identity that is farther from the anchor than the positive, where there is none the farthest
    (Schroff et al. 2015, section 3.2). 0 where no pair has a negative. Rows whose label is -1 take no part.
    """
    distance = squared_distances(embedding)
    known = label >= 0
    both = known[:, None] & known[None]
    same = (label[:, None] == label[None]) & both
    other = (label[:, None] != label[None]) & both
    with torch.no_grad():
        # [anchor, positive, negative]: what to choose is no matter of gradients.
        beyond = other[:, None, :] & (distance[:, None, :] > distance[:, :, None])
        nearest = distance[:, None, :].masked_fill(~beyond, torch.inf).argmin(2)
        farthest = distance.masked_fill(~other, -torch.inf).argmax(1)
        chosen = torch.where(beyond.any(2), nearest, farthest[:, None])
    loss = F.relu(distance - distance.gather(1, chosen) + margin)
    counted = same & ~torch.eye(len(label), dtype=torch.bool, device=label.device) & other.any(1)[:, None]
    return (loss * counted).sum() / counted.sum().clamp_min(1)
