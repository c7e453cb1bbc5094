"""How well faces are recognised: probes among a gallery, by the embeddings of a recogniser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64

Array = np.ndarray
TIE = 1e-9
"""Distances that differ by less are equal: sums of many products are rounded otherwise at another place of a matrix."""
AT_ONCE = 512
"""Probes whose distances to the whole gallery are in memory."""


def cosine_distances(probes: Float[Array, "p d"], gallery: Float[Array, "g d"]) -> Float64[Array, "p g"]:
    """1 minus the cosine of the angle between embeddings, of every probe to all of the gallery: between 0 and 2.

    An embedding of zeros has no direction: its distances are 1. One that is not finite has distances that are NaN.
    """
    return 1 - _directions(probes) @ _directions(gallery).T


def _directions(embeddings: Float[Array, "n d"]) -> Float64[Array, "n d"]:
    exact = embeddings.astype(np.float64)
    largest = np.abs(exact).max(axis=1, keepdims=True, initial=0)
    with np.errstate(invalid="ignore"):
        scaled = exact / np.where(largest == 0, 1, largest)  # squares of very large ones would be infinite
        length = np.sqrt(np.square(scaled).sum(axis=1, keepdims=True))
        return scaled / np.where(length == 0, 1, length)


@dataclass(frozen=True)
class Match:
    """Where one probe's own identity stands among those of the gallery. closer: how many identities are closer to the probe;
    tied: how many others are as close. missed: whether the probe has no embedding (no face was found in it), so that it
    is found at no rank."""

    closer: int
    tied: int
    missed: bool = False

    def within(self, rank: int) -> float:
        """The probability that its own identity is among the first `rank`, if those that tie come in any order."""
        return 0.0 if self.missed else min(1.0, max(0.0, (rank - self.closer) / (self.tied + 1)))


def matches(
    probes: Float[Array, "p d"],
    probe_identities: Sequence[str],
    gallery: Float[Array, "g d"],
    gallery_identities: Sequence[str],
) -> list[Match]:
    """Where every probe's own identity stands, by cosine distance. Any is as close as the closest of its pictures.

    A probe whose embedding is not finite is a miss. Raises ValueError for a probe whose identity is not in the gallery, and
    for a gallery that is not finite or is empty.
    """
    names = list(dict.fromkeys(gallery_identities))
    numbers = {name: number for number, name in enumerate(names)}
    strange = sorted(set(probe_identities) - numbers.keys())
    if strange:
        raise ValueError(f"{strange[0]!r} is not in the gallery")
    if not names or not np.isfinite(gallery).all():
        raise ValueError("the gallery has an embedding that is not finite" if names else "the gallery is empty")
    places = np.array([numbers[name] for name in gallery_identities])
    order = np.argsort(places, kind="stable")  # the pictures of an identity one after the other
    begins = np.searchsorted(places[order], np.arange(len(names)))
    found = []
    for first in range(0, len(probes), AT_ONCE):
        some = probes[first : first + AT_ONCE]
        distances = cosine_distances(some, gallery)[:, order]
        nearest = np.minimum.reduceat(distances, begins, axis=1)
        for row, name, embedding in zip(nearest, probe_identities[first : first + AT_ONCE], some, strict=True):
            if not np.isfinite(embedding).all():
                found.append(Match(len(names), 0, missed=True))
                continue
            own = row[numbers[name]]
            closer = int(np.count_nonzero(row < own - TIE))
            found.append(Match(closer, int(np.count_nonzero(row <= own + TIE)) - closer - 1))
    return found


def cumulative_match(found: Sequence[Match], ranks: Sequence[int]) -> Float64[Array, " r"]:
    """The cumulative match characteristic (Phillips, Grother & Micheals 2003; thesis, section 2.3.4): the share of probes whose
    own identity is among the first k of the gallery, for each k of `ranks`.

    Misses count among the probes. Identities that tie come in any order: a recogniser that sees no difference scores k in
    the gallery's number, not 100 %. NaN without probes.
    """
    if not found:
        return np.full(len(ranks), np.nan)
    return np.array([sum(each.within(rank) for each in found) / len(found) for rank in ranks])
