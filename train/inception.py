"""The inception score in validations, as sums that add up over batches and ranks."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


def inception_sums(classifier: nn.Module, waveform: Float[Tensor, "b n"]) -> dict[str, Tensor]:
    """What a classifier makes of generated clips: summed posteriors [k] and summed negative entropies []."""
    posterior = F.softmax(classifier(waveform).double(), dim=1)
    return {"posterior": posterior.sum(0), "negative_entropy": torch.xlogy(posterior, posterior).sum()}


def inception_score(totals: Mapping[str, Tensor], count: int) -> dict[str, float]:
    """Salimans et al. 2016: exp of the mean KL divergence of posterior and marginal, one group. Empty without classifier."""
    if "posterior" not in totals:
        return {}
    marginal = totals["posterior"] / count
    divergence = totals["negative_entropy"] / count - torch.xlogy(marginal, marginal).sum()
    return {"inception_score": float(divergence.exp())}
