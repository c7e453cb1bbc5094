"""What the reconstruction table adds up, whether its numbers were computed from sound or read from inference's rows: the same
sums come of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int, UInt64

from invertone.cluster.formats.latents import HEARD
from invertone.eval.measures.estimates import Array, Sums, weighted
from invertone.eval.measures.labels import UNKNOWN
from invertone.eval.measures.listener import Sampling

RECOVERED = 0.99
"""The explained variance from which on a clip counts as recovered."""


@dataclass(frozen=True)
class Counted:
    """Clips by the digests of their keys [b], and how often each counts in every replicate [b, r]."""

    digests: UInt64[Array, " b"]
    counts: Float64[Array, "b r"]

    @staticmethod
    def by(sampling: Sampling, digests: UInt64[Array, " b"]) -> Counted:
        return Counted(digests, sampling.counts(digests))

    def of(self, chosen: Sequence[int]) -> Counted:
        """Those of them at the places `chosen`."""
        return Counted(self.digests[chosen], self.counts[chosen])


def of_copy(clip_variance: Float64[Array, " b"], heard: bool, distances: Sequence[str]) -> dict[str, Array]:
    """The scores of clips beside themselves. heard: whether there is a classifier. distances: numbers of a clip and its
    reconstruction that are 0 of a perfect copy, whatever the classifier. PSNR, infinite then, is none of the scores."""
    nothing = np.zeros(len(clip_variance))
    names = (*distances, *HEARD) if heard else distances
    scores = dict.fromkeys(names, nothing)
    return scores | {"ssim": nothing + 1, "residual_variance": nothing, "clip_variance": clip_variance}


def labelled(named: Bool[Array, " b"], wanted: Int[Array, " b"], predicted: Int[Array, " b"]) -> dict[str, Array]:
    """What accuracy is made of. named: whether a clip has a label; wanted, predicted: the classifier's numbers."""
    known = wanted != UNKNOWN
    return {"named": named, "labelled": known, "correct": known & (wanted == predicted)}


def score_sums(values: Mapping[str, Array], counted: Counted, more: Mapping[str, Array] | None = None) -> Sums:
    """Sums of scores [b] by name, and of what follows from them."""
    # so written that a silent clip is recovered by silence alone
    recovered = values["residual_variance"] <= (1 - RECOVERED) * values["clip_variance"]
    whole = {"clips": np.ones(len(recovered)), **values, "recovered": recovered, **(more or {})}
    return weighted(whole, counted.counts)


def latent_sums(known: Sequence[Sequence[float] | None], recovered: Float64[Array, "b z"], counted: Counted) -> Sums:
    """Over the clips with a known latent: the sum of their mean squared errors per coordinate, and how many they are. What
    was recovered where none is known does not matter."""
    there = np.array([latent is not None for latent in known], dtype=bool)
    errors = np.zeros(len(known))
    if there.any():
        wanted = np.array([latent for latent in known if latent is not None], dtype=np.float64)
        if wanted.shape != recovered[there].shape:
            raise ValueError(f"known latents are {wanted.shape[1:]}, recovered ones {recovered.shape[1:]}")
        errors[there] = np.square(wanted - recovered[there]).mean(1)
    return weighted({"latent_square": errors, "latents_known": there}, counted.counts)


def exact_latent_sums(known: Sequence[Sequence[float] | None], counted: Counted) -> Sums:
    """As `latent_sums`, of clips whose known latents were found exactly."""
    there = np.array([latent is not None for latent in known], dtype=bool)
    return weighted({"latent_square": np.zeros(len(known)), "latents_known": there}, counted.counts)


def evaluation_sums(evaluations: Sequence[int | float | None] | Array, counted: Counted) -> Sums:
    """Rows written before there was such a column say nothing: None or NaN."""
    found = np.array([np.nan if each is None else each for each in evaluations], dtype=np.float64)
    known = np.isfinite(found)
    return weighted({"evaluations": np.where(known, found, 0.0), "evaluations_known": known}, counted.counts)
