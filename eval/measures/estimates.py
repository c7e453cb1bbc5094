"""Measures as sums that add up, so that any number of units and nodes give the same numbers; and their confidence intervals.

The bootstrap adds up as well: in replicate r a clip counts as often as a Poisson(1) draw says which its key, the seed and r
decide (Chamandy, Muralidharan, Najmi & Naidu 2012, "Estimating uncertainty for massive data streams"); in replicate 0 it
counts once, which is the estimate itself. A clip counts alike in every row of a table: rows are compared on the same draws.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int
from numpy.typing import NDArray

Sums = dict[str, NDArray[np.float64]]
Array = np.ndarray
LEVEL = 0.95
"""Of confidence intervals."""


@dataclass(frozen=True)
class Estimate:
    """A number and its confidence interval, None where there is none."""

    value: float
    interval: tuple[float, float] | None = None


def clip_counts(keys: Sequence[str], seed: int, replicates: int) -> Float64[Array, "b r"]:
    """How often each clip counts in each replicate; replicate 0 counts every clip once."""
    counts = np.ones((len(keys), replicates + 1))
    for row, key in zip(counts, keys, strict=True):
        row[1:] = _rng(seed, "bootstrap", key).poisson(1.0, replicates)
    return counts


def clip_groups(keys: Sequence[str], seed: int, groups: int) -> Int[Array, " b"]:
    """The group of each clip, decided by its key and the seed, so that neither order nor units matter. Groups are of equal
    size only in the mean."""
    return np.array([int(_rng(seed, "group", key).integers(groups)) for key in keys], dtype=np.int64)


def add(total: Sums, part: Mapping[str, Array]) -> None:
    """Adds `part` into `total`."""
    for name, value in part.items():
        total[name] = total[name] + value if name in total else np.asarray(value, dtype=np.float64)


def weighted(values: Mapping[str, Array], counts: Float64[Array, "b r"]) -> Sums:
    """The sum over clips of each value [b] in every replicate: [r]."""
    return {name: counts.T @ np.asarray(value, dtype=np.float64) for name, value in values.items()}


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


def inception_sums(
    posterior: Float64[Array, "b k"], groups: Int[Array, " b"], number: int, counts: Float64[Array, "b r"]
) -> Sums:
    """What `inception_score` needs, per replicate and group: clips, summed posteriors, summed negative entropies."""
    member = np.eye(number)[groups]
    with np.errstate(divide="ignore", invalid="ignore"):
        negative_entropy = np.where(posterior > 0, posterior * np.log(posterior), 0.0).sum(1)
    replicates, labels = counts.shape[1], posterior.shape[1]
    placed = (member[:, :, None] * posterior[:, None, :]).reshape(len(posterior), -1)
    return {
        "inception_clips": counts.T @ member,
        "inception_posterior": (counts.T @ placed).reshape(replicates, number, labels),
        "inception_negative_entropy": counts.T @ (member * negative_entropy[:, None]),
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
    products = (features[:, :, None] * features[:, None, :]).reshape(len(features), -1)
    size = features.shape[1]
    return {
        f"{name}_clips": counts.sum(0),
        f"{name}_sum": counts.T @ features,
        f"{name}_products": (counts.T @ products).reshape(-1, size, size),
    }


def moments(sums: Sums, name: str, replicate: int) -> tuple[Float64[Array, " d"], Float64[Array, "d d"]]:
    """Mean and covariance (ddof 1) of a feature layer in one replicate. NaN with fewer than two clips."""
    clips, total = sums[f"{name}_clips"][replicate], sums[f"{name}_sum"][replicate]
    if clips < 2:
        return np.full_like(total, np.nan), np.full((len(total), len(total)), np.nan)
    centre = total / clips
    return centre, (sums[f"{name}_products"][replicate] - clips * np.outer(centre, centre)) / (clips - 1)


def frechet_distance(
    mean_a: Float64[Array, " d"],
    covariance_a: Float64[Array, "d d"],
    mean_b: Float64[Array, " d"],
    covariance_b: Float64[Array, "d d"],
) -> float:
    """Fréchet distance of two Gaussians (Dowson & Landau 1982; Heusel et al. 2017 take it of inception features):
    |μa - μb|² + tr(A + B - 2 (A B)^½). NaN if one is unknown.

    tr (A B)^½ is the sum of the square roots of the eigenvalues of A^½ B A^½, which are real and, rounding apart, not negative
    however singular A and B are.
    """
    if not (np.isfinite(covariance_a).all() and np.isfinite(covariance_b).all()):
        return float("nan")
    values, vectors = np.linalg.eigh(covariance_a)
    root = (vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ covariance_b @ root), 0.0, None)).sum()
    apart = float(np.square(mean_a - mean_b).sum())
    return max(0.0, apart + float(np.trace(covariance_a) + np.trace(covariance_b) - 2 * cross))


def frechet_distances(sums: Sums, reference: Sums, name: str) -> Float64[Array, " r"]:
    """Fréchet distance of two rows on one feature layer, in every replicate of both."""
    replicates = len(sums[f"{name}_clips"])
    return np.array(
        [frechet_distance(*moments(sums, name, r), *moments(reference, name, r)) for r in range(replicates)]
    )


def _rng(*parts: object) -> np.random.Generator:
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "big")))
