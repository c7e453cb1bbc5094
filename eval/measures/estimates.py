"""Measures as sums that add up, so that any number of units and nodes give the same numbers; and their confidence intervals.

The bootstrap adds up as well: in replicate r a clip counts as often as a Poisson(1) draw says which its key, the seed and r
decide (Chamandy, Muralidharan, Najmi & Naidu 2012, "Estimating uncertainty for massive data streams"; `draws.py`); in
replicate 0 it counts once, which is the estimate itself. A clip counts alike in every row of a table: rows are compared on
the same draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int
from numpy.typing import NDArray

from invertone.models.frechet import frechet_distance

Sums = dict[str, NDArray[np.float64]]
Array = np.ndarray
LEVEL = 0.95
"""Of confidence intervals."""


@dataclass(frozen=True)
class Estimate:
    """A number, its confidence interval, and its standard deviation over trainings; None where there is none."""

    value: float
    interval: tuple[float, float] | None = None
    spread: float | None = None


def add(total: Sums, part: Mapping[str, Array]) -> None:
    """Adds `part` into `total`."""
    for name, value in part.items():
        total[name] = total[name] + value if name in total else np.asarray(value, dtype=np.float64)


def weighted(values: Mapping[str, Array], counts: Float64[Array, "b r"]) -> Sums:
    """The sum over clips of each value [b] in every replicate: [r]."""
    together = counts.T @ np.stack([np.asarray(value, dtype=np.float64) for value in values.values()], axis=1)
    return {name: np.ascontiguousarray(together[:, at]) for at, name in enumerate(values)}


def mean(sums: Sums, name: str, over: str = "clips") -> Float64[Array, " r"]:
    """The mean in every replicate; NaN where nothing counts."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sums[name] / sums[over])


def percentile(replicates: Float64[Array, " r"]) -> Estimate:
    """The estimate with the percentile interval of its replicates: for means, and what grows with a mean."""
    value, drawn = float(replicates[0]), replicates[1:][np.isfinite(replicates[1:])]
    if len(drawn) < 2:
        return Estimate(value)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Estimate(value, (float(low), float(high)))


def normal(replicates: Float64[Array, " r"], lowest: float) -> Estimate:
    """The estimate plus and minus 1.96 standard deviations of its replicates, not below `lowest`, which is the measure's least:
    for measures which a bootstrap shifts as it shifts them from the truth (inception score, Fréchet distance), and whose
    percentiles would lie beside them."""
    value, drawn = float(replicates[0]), replicates[1:][np.isfinite(replicates[1:])]
    if len(drawn) < 2:
        return Estimate(value)
    spread = 1.959964 * float(np.std(drawn, ddof=1))
    return Estimate(value, (max(lowest, value - spread), value + spread))


def over_trainings(each: Sequence[Mapping[str, Estimate]]) -> dict[str, Estimate]:
    """Of several trainings of one recipe: the mean of every measure that all of them have, and its standard deviation over them
    (ddof 1), without an interval, which would be of the clips of one training. A single training is left as it is."""
    if len(each) == 1:
        return dict(each[0])
    shared = [name for name in each[0] if all(name in other for other in each)]
    values = {name: np.array([other[name].value for other in each]) for name in shared}
    return {
        name: Estimate(float(found.mean()), None, float(found.std(ddof=1)) if np.isfinite(found).all() else None)
        for name, found in values.items()
    }


def inception_sums(
    posterior: Float64[Array, "b k"], groups: Int[Array, " b"], number: int, counts: Float64[Array, "b r"]
) -> Sums:
    """What `inception_score` needs, per replicate and group: clips, summed posteriors, summed negative entropies."""
    with np.errstate(divide="ignore", invalid="ignore"):
        negative_entropy = np.where(posterior > 0, posterior * np.log(posterior), 0.0).sum(1)
    order = np.argsort(groups, kind="stable")
    said = np.column_stack([np.ones(len(posterior)), negative_entropy, posterior])[order]
    ordered, ends = counts[order], np.searchsorted(groups[order], np.arange(number + 1))
    total = np.zeros((number, counts.shape[1], said.shape[1]))
    for group in np.unique(groups):  # each clip is in one of them: products with all others would add zeros
        there = slice(ends[group], ends[group + 1])
        total[group] = ordered[there].T @ said[there]
    by_replicate = total.transpose(1, 0, 2)
    return {
        "inception_clips": np.ascontiguousarray(by_replicate[:, :, 0]),
        "inception_posterior": np.ascontiguousarray(by_replicate[:, :, 2:]),
        "inception_negative_entropy": np.ascontiguousarray(by_replicate[:, :, 1]),
    }


def inception_score(sums: Sums) -> tuple[Float64[Array, " r"], Float64[Array, " r"]]:
    """Inception score in every replicate: exp of the mean Kullback-Leibler divergence of posterior and marginal (Salimans et
    al. 2016), mean over groups and standard deviation over them with ddof 0, as WaveGAN (Donahue et al. 2018) takes it. It
    grows with the number of clips in a group: compare equal numbers. Groups without a clip are left out.
    """
    clips = sums["inception_clips"]
    with np.errstate(invalid="ignore", divide="ignore"):
        marginal = sums["inception_posterior"] / clips[:, :, None]
        plogp = np.where(marginal > 0, marginal * np.log(marginal), 0.0).sum(2)
        scores = np.exp(sums["inception_negative_entropy"] / clips - plogp)
        scores = np.where(clips > 0, scores, np.nan)
        there = np.maximum((clips > 0).sum(1), 1)
        middle = np.nansum(scores, axis=1) / there
        spread = np.sqrt(np.nansum(np.square(scores - middle[:, None]), axis=1) / there)
    return np.where((clips > 0).any(1), middle, np.nan), spread


def moment_sums(name: str, features: Float64[Array, "b d"], counts: Float64[Array, "b r"]) -> Sums:
    """What `moments` needs of a feature layer: clips [r], sums [r, d] and sums of products [r, d, d]."""
    size = features.shape[1]
    if counts.shape[1] == 1:  # wide layers have no replicates
        products = ((features * counts).T @ features)[None]
    else:
        down, across = np.triu_indices(size)
        upper = counts.T @ (features[:, down] * features[:, across])
        products = np.empty((counts.shape[1], size, size))
        products[:, down, across] = products[:, across, down] = upper
    return {f"{name}_clips": counts.sum(0), f"{name}_sum": counts.T @ features, f"{name}_products": products}


def moments(sums: Sums, name: str, replicate: int) -> tuple[Float64[Array, " d"], Float64[Array, "d d"]]:
    """Mean and covariance (ddof 1) of a feature layer in one replicate. NaN with fewer than two clips."""
    clips, total = sums[f"{name}_clips"][replicate], sums[f"{name}_sum"][replicate]
    if clips < 2:
        return np.full_like(total, np.nan), np.full((len(total), len(total)), np.nan)
    centre = total / clips
    return centre, (sums[f"{name}_products"][replicate] - clips * np.outer(centre, centre)) / (clips - 1)


def frechet_distances(sums: Sums, reference: Sums, name: str) -> Float64[Array, " r"]:
    """Fréchet distance of two rows on one feature layer, in every replicate of both."""
    replicates = len(sums[f"{name}_clips"])
    return np.array(
        [frechet_distance(*moments(sums, name, r), *moments(reference, name, r)) for r in range(replicates)]
    )
