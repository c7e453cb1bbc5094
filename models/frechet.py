"""How far apart two Gaussians are: the distance of generated clips from real ones, by what a network makes of them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

Array = np.ndarray


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
