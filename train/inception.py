"""What a classifier makes of generated clips in validations, as sums that add up over batches and ranks."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from invertone.models.frechet import frechet_distance


def inception_sums(classifier: nn.Module, waveform: Float[Tensor, "b *c n"]) -> dict[str, Tensor]:
    """What a classifier makes of generated clips: summed posteriors [k] and summed negative entropies []."""
    return posterior_sums(classifier(waveform))


def posterior_sums(logits: Float[Tensor, "b k"]) -> dict[str, Tensor]:
    """As `inception_sums`, of the classifier's logits of generated clips."""
    posterior = F.softmax(logits.double(), dim=1)
    return {"posterior": posterior.sum(0), "negative_entropy": torch.xlogy(posterior, posterior).sum()}


def inception_score(totals: Mapping[str, Tensor], count: int) -> dict[str, float]:
    """Salimans et al. 2016: exp of the mean KL divergence of posterior and marginal, one group. Empty without classifier."""
    if "posterior" not in totals:
        return {}
    marginal = totals["posterior"] / count
    divergence = totals["negative_entropy"] / count - torch.xlogy(marginal, marginal).sum()
    return {"inception_score": float(divergence.exp())}


def judged_sums(
    real: Float[Tensor, "b k"], generated: Float[Tensor, "b k"], asked: Int[Tensor, " b"] | None
) -> dict[str, Tensor]:
    """Of a classifier's logits of real and of generated clips, equally many: what `judged` needs. asked: the labels that the
    generated clips were made with; None where they have none."""
    sums = posterior_sums(generated)
    sums |= moment_sums(real, generated)
    if asked is not None:
        sums["heard_as_asked"] = (generated.argmax(1) == asked).sum()
    return sums


def moment_sums(real: Float[Tensor, "b k"], generated: Float[Tensor, "b k"]) -> dict[str, Tensor]:
    """Of a network's numbers, logits or activations, of real and of generated signals, equally many: what `frechet` needs."""
    sums = {}
    for name, values in (("real", real.double()), ("made", generated.double())):
        sums |= {f"{name}_sum": values.sum(0), f"{name}_products": values.T @ values}
    return sums


def frechet(totals: Mapping[str, Tensor], count: int) -> float:
    """The Fréchet distance of the two, by their means and covariances; a single signal has a mean alone."""
    moments = []
    for name in ("real", "made"):
        mean = totals[f"{name}_sum"].double().cpu() / count
        products = totals[f"{name}_products"].double().cpu()
        moments += [mean.numpy(), ((products - count * torch.outer(mean, mean)) / max(1, count - 1)).numpy()]
    return frechet_distance(*moments)


def judged(totals: Mapping[str, Tensor], count: int) -> dict[str, float]:
    """inception_score; frechet_distance of the logits of real and of generated clips, which a single clip does not have;
    asked_label, the share of generated clips in which the classifier hears the label that was asked for."""
    metrics = inception_score(totals, count)
    if "real_sum" in totals and count > 1:
        metrics["frechet_distance"] = frechet(totals, count)
    if "heard_as_asked" in totals:
        metrics["asked_label"] = float(totals["heard_as_asked"]) / count
    return metrics
