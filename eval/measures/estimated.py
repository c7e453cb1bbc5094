"""Measures that are more than a mean over clips: from the sums of a row (and of the reference) to an estimate, or None where
nothing was counted for it."""

from __future__ import annotations

import numpy as np

from invertone.eval.measures.estimates import (
    Estimate,
    Sums,
    frechet_distances,
    inception_score,
    mean,
    normal,
    percentile,
)

PEAK_TO_PEAK = 2.0


def accuracy(sums: Sums, reference: Sums | None) -> Estimate | None:
    return percentile(mean(sums, "correct", "labelled")) if "correct" in sums else None


def psnr(sums: Sums, reference: Sums | None) -> Estimate | None:
    if "waveform_mse" not in sums:
        return None
    return percentile(10 * np.log10(PEAK_TO_PEAK**2 / mean(sums, "waveform_mse")))


def picture_psnr(sums: Sums, reference: Sums | None) -> Estimate | None:
    """The mean of what each picture has, a sum of which has the name of the rows' column."""
    return percentile(mean(sums, "psnr")) if "psnr" in sums else None


def one_plus_cosine(sums: Sums, reference: Sums | None) -> Estimate | None:
    """Of pictures, whose rows have no waveforms."""
    if "pixel_mae" not in sums or "cosine_distance" not in sums:
        return None
    return percentile(2 - mean(sums, "cosine_distance"))


def explained_variance(sums: Sums, reference: Sums | None) -> Estimate | None:
    if "clip_variance" not in sums:
        return None
    return percentile(1 - mean(sums, "residual_variance", "clip_variance"))


def latent_error(sums: Sums, reference: Sums | None) -> Estimate | None:
    return percentile(np.sqrt(mean(sums, "latent_square", "latents_known"))) if "latent_square" in sums else None


def evaluations(sums: Sums, reference: Sums | None) -> Estimate | None:
    return percentile(mean(sums, "evaluations", "evaluations_known")) if "evaluations" in sums else None


def inception(sums: Sums, reference: Sums | None) -> Estimate | None:
    return normal(inception_score(sums)[0], 1.0) if "inception_clips" in sums else None


def inception_spread(sums: Sums, reference: Sums | None) -> Estimate | None:
    return Estimate(float(inception_score(sums)[1][0])) if "inception_clips" in sums else None


def frechet_logits(sums: Sums, reference: Sums | None) -> Estimate | None:
    return _frechet("logits", sums, reference)


def frechet_penultimate(sums: Sums, reference: Sums | None) -> Estimate | None:
    return _frechet("penultimate", sums, reference)


def _frechet(layer: str, sums: Sums, reference: Sums | None) -> Estimate | None:
    """On the activations of a layer of the classifier."""
    if reference is None or f"{layer}_clips" not in sums or f"{layer}_clips" not in reference:
        return None
    return normal(frechet_distances(sums, reference, layer), 0.0)
