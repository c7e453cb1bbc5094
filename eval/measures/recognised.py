"""How often people are found among the first of a gallery, as sums that add up exactly.

Counts of whole probes alone are added: by how many identities are closer than their own, and where others tie with it by how
many. What share of such a tie is within a rank is worked out once, at the end.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from invertone.eval.measures.estimates import Array, Estimate, Sums, percentile
from invertone.images.recognition import Match

MOST = 100
"""Ranks that are counted, as the thesis's curve has them."""
RANKS = (1, 5, 10, 20, 50, 100)
"""Those that have a column."""
PROBES, CLOSER = "clips", "closer"
_TIED = re.compile(r"tied_(\d+)_(\d+)").fullmatch


def match_sums(found: Sequence[Match], counts: Float64[Array, "b r"]) -> Sums:
    """Of probes, and how often each counts in every replicate: `clips` [r], all of them; `closer` [r, MOST], by how many
    identities are closer than the own one; `tied_C_T` [r], those of them with T others as close. Misses are in `clips` alone.
    """
    sums: Sums = {PROBES: counts.sum(0), CLOSER: np.zeros((counts.shape[1], MOST))}
    for match, count in zip(found, counts, strict=True):
        if match.missed or match.closer >= MOST:
            continue
        if match.tied:
            name = f"tied_{match.closer}_{match.tied}"
            sums[name] = sums.get(name, np.zeros(counts.shape[1])) + count
        else:
            sums[CLOSER][:, match.closer] += count
    return sums


def cumulative(sums: Sums, ranks: Sequence[int]) -> Float64[Array, "r k"]:
    """The cumulative match characteristic in every replicate at each of `ranks` (up to MOST): the share of probes whose own
    identity is among the first k of the gallery, those that tie in any order. NaN where nothing counts."""
    within = np.stack([sums[CLOSER][:, :rank].sum(1) for rank in ranks], axis=1)
    for name, count in sums.items():
        if tie := _TIED(name):
            shares = [Match(int(tie[1]), int(tie[2])).within(rank) for rank in ranks]
            within = within + count[:, None] * np.array(shares)
    with np.errstate(invalid="ignore", divide="ignore"):
        return within / sums[PROBES][:, None]


def _rank(sums: Sums, rank: int) -> Estimate | None:
    return percentile(cumulative(sums, [rank])[:, 0]) if CLOSER in sums else None


def rank_1(sums: Sums, reference: Sums | None) -> Estimate | None:
    return _rank(sums, 1)


def rank_5(sums: Sums, reference: Sums | None) -> Estimate | None:
    return _rank(sums, 5)


def rank_10(sums: Sums, reference: Sums | None) -> Estimate | None:
    return _rank(sums, 10)


def rank_20(sums: Sums, reference: Sums | None) -> Estimate | None:
    return _rank(sums, 20)


def rank_50(sums: Sums, reference: Sums | None) -> Estimate | None:
    return _rank(sums, 50)


def rank_100(sums: Sums, reference: Sums | None) -> Estimate | None:
    return _rank(sums, 100)
