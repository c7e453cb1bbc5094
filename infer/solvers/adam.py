"""Many problems at once by Adam (Kingma & Ba 2015), each on its own, with the clippings of the inversion literature.

Ask and tell, as `invertone.infer.solvers.lbfgs`: `trial` holds one point per slot, `tell` takes objective and gradient there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from invertone.infer.solvers.shapes import Mask, Numbers, Points

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
_MIX1, _MIX2 = 0x2545F491, 0x5851F42D


@dataclass(frozen=True)
class AdamSettings:
    """clipping: a coordinate outside the box, also of a start, is put on its bound (`standard`), drawn anew uniformly from it
    (`stochastic`, Lipton & Tripathi 2017), or left outside (`none`)."""

    learning_rate: float = 0.03
    clipping: str = "standard"
    evaluations: int = 200


class BatchedAdam:
    """b slots of problems in n unknowns. point, value: the best seen per slot, so that more steps are never worse.

    `seeds` [b] decide what stochastic clipping draws, together with step and coordinate alone.
    """

    def __init__(
        self, start: Points, seeds: Int[Tensor, " b"], lower: float, upper: float, settings: AdamSettings
    ) -> None:
        self.lower, self.upper, self.settings, self.seeds = lower, upper, settings, seeds
        count = len(start)
        self.evaluations = torch.zeros(count, dtype=torch.int64, device=start.device)
        self.trial = self._clipped(start.clone())
        self.point = self.trial.clone()
        self.value = start.new_full((count,), torch.inf)
        self.done = torch.zeros(count, dtype=torch.bool, device=start.device)
        self._mean, self._square = torch.zeros_like(start), torch.zeros_like(start)

    @property
    def iterations(self) -> Int[Tensor, " b"]:
        """Steps taken: the first evaluation is of the start."""
        return (self.evaluations - 1).clamp_min(0)

    @property
    def converged(self) -> Mask:
        """Adam has no test of convergence."""
        return torch.zeros_like(self.done)

    def refill(self, where: Mask, start: Points, seeds: Int[Tensor, " b"]) -> None:
        """Gives the slots in `where` new problems; the others notice nothing."""
        self.evaluations = torch.where(where, 0, self.evaluations)
        self.seeds = torch.where(where, seeds, self.seeds)
        begun = self._clipped(start)
        self.trial = torch.where(where[:, None], begun, self.trial)
        self.point = torch.where(where[:, None], begun, self.point)
        self.value = torch.where(where, torch.inf, self.value)
        self._mean = torch.where(where[:, None], 0.0, self._mean)
        self._square = torch.where(where[:, None], 0.0, self._square)
        self.done = self.done & ~where

    def stop(self, where: Mask) -> None:
        self.done = self.done | where

    def tell(self, value: Numbers, gradient: Points) -> None:
        """Takes objective [b] and gradient [b, n] at `trial`, and sets the next `trial`."""
        going = ~self.done
        value, gradient = value.to(self.trial.dtype), gradient.to(self.trial.dtype)
        self.evaluations = self.evaluations + going
        better = going & (value < self.value)
        self.point = torch.where(better[:, None], self.trial, self.point)
        self.value = torch.where(better, value, self.value)
        count = self.evaluations.to(self.trial.dtype)[:, None]
        moving = going[:, None]
        self._mean = torch.where(moving, BETA1 * self._mean + (1 - BETA1) * gradient, self._mean)
        self._square = torch.where(moving, BETA2 * self._square + (1 - BETA2) * gradient.square(), self._square)
        mean, square = self._mean / (1 - BETA1**count), self._square / (1 - BETA2**count)
        moved = self.trial - self.settings.learning_rate * mean / (square.sqrt() + EPSILON)
        self.trial = torch.where(moving, self._clipped(moved), self.trial)
        lost = going & ~torch.isfinite(value)
        self.done = self.done | (self.evaluations >= self.settings.evaluations) | lost

    def _clipped(self, point: Points) -> Points:
        if self.settings.clipping == "standard":
            return point.clamp(self.lower, self.upper)
        if self.settings.clipping == "stochastic":
            if math.isinf(self.lower) or math.isinf(self.upper):
                return point  # nothing is outside
            share = counted_uniform(self.seeds, self.evaluations, point.shape[1]).to(point.dtype)
            drawn = self.lower + (self.upper - self.lower) * share
            return torch.where((point < self.lower) | (point > self.upper), drawn, point)
        return point


def counted_uniform(seeds: Int[Tensor, " b"], counts: Int[Tensor, " b"], size: int) -> Float[Tensor, "b n"]:
    """Numbers in [0, 1) that depend on seed, count and coordinate alone: no state, hence the same in any company.

    A hash of the three: multiplications by odd constants and shifts, 31 bits wide, so that int64 never overflows.
    """
    coordinate = torch.arange(size, device=seeds.device)
    mixed = (seeds[:, None] * 0x9E3779B1 + counts[:, None] * 0x85EBCA77 + coordinate * 0x3C6EF372) & 0x7FFFFFFF
    for constant in (_MIX1, _MIX2, _MIX1):
        mixed = ((mixed ^ (mixed >> 15)) * constant) & 0x7FFFFFFF
    return (mixed ^ (mixed >> 13)).double() / 0x80000000
