"""Many box-constrained problems at once by limited-memory BFGS, each on its own path.

Directions: the minimum of the limited-memory quadratic model in the box, over the coordinates that are free (one that
lies at its bound and whose gradient points out of the box stays there), with each problem's own memory of moves.
Steps: Moré & Thuente's search (line_search.py), as in L-BFGS-B (Byrd, Lu, Nocedal & Zhu 1995), which is the oracle.

Ask and tell: `trial` holds one point per slot, `tell` takes objective and gradient there. A slot whose problem has
converged can be given another one while its neighbours go on. All arithmetic is per slot, and nothing waits for the host.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from invertone.infer.solvers.line_search import LineSearch
from invertone.infer.solvers.shapes import Mask, Numbers, Points

MEMORY, ROUNDS = 10, 4


@dataclass(frozen=True)
class Stopping:
    """When a problem is done: projected gradient at most `gradient` in every coordinate; relative decrease of the
    objective in an iteration at most `decrease`; so many `evaluations` or `iterations` used. Defaults: SciPy's L-BFGS-B."""

    gradient: float = 1e-5
    decrease: float = 1e7 * 2.220446049250313e-16
    evaluations: int = 15_000
    iterations: int = 15_000


class BatchedLbfgs:
    """b slots of problems in n unknowns, lower ≤ x ≤ upper (both numbers or both [b, n]; infinite where there is no bound).

    point, value, gradient: the best found per slot. evaluations, iterations: used per slot. done: which have ended;
    converged: which of them by reaching a minimum.
    """

    def __init__(
        self,
        start: Points,
        lower: Any = -torch.inf,
        upper: Any = torch.inf,
        stopping: Stopping | None = None,
        memory: int = MEMORY,
    ) -> None:
        self.lower, self.upper, self.stopping = lower, upper, stopping or Stopping()
        count, size = start.shape
        self.trial = start.clamp(lower, upper)
        self.point, self.gradient = self.trial.clone(), torch.zeros_like(self.trial)
        self.value = start.new_full((count,), torch.inf)
        self.evaluations = torch.zeros(count, dtype=torch.int64, device=start.device)
        self.iterations = torch.zeros_like(self.evaluations)
        self.done = torch.zeros(count, dtype=torch.bool, device=start.device)
        self.converged = torch.zeros_like(self.done)
        self._direction = torch.zeros_like(self.trial)
        self._moves = start.new_zeros(memory, count, size)
        self._changes = start.new_zeros(memory, count, size)
        self._curvatures = start.new_zeros(memory, count)  # 1 / (move · change); 0 where the place is empty
        self._scale = start.new_ones(count)
        self._fresh = ~self.done.clone()
        self._gradient_only = torch.zeros_like(self.done)
        zero = start.new_zeros(count)
        self._search = LineSearch.begin(zero, zero - 1, zero + 1, zero + 1)

    def refill(self, where: Mask, start: Points, seeds: Int[Tensor, " b"] | None = None) -> None:
        """Gives the slots in `where` new problems that begin at `start`; the others notice nothing. Nothing is drawn here,
        so `seeds` do not matter."""
        self.trial = torch.where(where[:, None], start.clamp(self.lower, self.upper), self.trial)
        self.point = torch.where(where[:, None], self.trial, self.point)
        self.value = torch.where(where, torch.inf, self.value)
        self.evaluations = torch.where(where, 0, self.evaluations)
        self.iterations = torch.where(where, 0, self.iterations)
        self.converged = self.converged & ~where
        self._curvatures = torch.where(where, 0.0, self._curvatures)
        self._fresh, self.done = self._fresh | where, self.done & ~where
        self._gradient_only = self._gradient_only & ~where

    def stop(self, where: Mask) -> None:
        """Ends the problems in `where` as they are."""
        self.done = self.done | where

    def tell(self, value: Numbers, gradient: Points) -> None:
        """Takes objective [b] and gradient [b, n] at `trial`, and sets the next `trial`. Slots that are done stay."""
        value, gradient = value.to(self.trial.dtype), gradient.to(self.trial.dtype)
        going = ~self.done
        self.evaluations = self.evaluations + going
        slope = (gradient * self._direction).sum(1)
        found, given_up = self._search.tell(value, slope)
        better = torch.isfinite(value) & (value < self.value)
        accepted = going & ~self._fresh & (found | (given_up & better))
        failed = going & ~self._fresh & given_up & ~better
        first = going & self._fresh
        self.iterations = self.iterations + accepted
        before = self.value
        self._remember(accepted, gradient)
        self._move(first | accepted, value, gradient)
        self._finish(first, accepted, failed, before)
        self._keep_last(going & self.done & better, value, gradient)
        begin = ~self.done & (first | accepted | failed)
        if begin.device.type != "cpu" or begin.any():  # a GPU is not asked: looking would make the host wait
            self._begin(begin, failed)
        advanced = self.point + self._search.step[:, None] * self._direction
        self.trial = torch.where(self.done[:, None], self.point, advanced.clamp(self.lower, self.upper))

    def projected_gradient(self) -> Points:
        """Where a step against the gradient would end, seen from the point: zero at a minimum."""
        return (self.point - self.gradient).clamp(self.lower, self.upper) - self.point

    def _keep_last(self, where: Mask, value: Numbers, gradient: Points) -> None:
        """A search that the budget cut short may have been lower already than where it began."""
        self._move(where & (value < self.value), value, gradient)

    def _remember(self, accepted: Mask, gradient: Points) -> None:
        """The newest pair goes to the end of each slot's memory, if its curvature is positive enough (as L-BFGS-B)."""
        move, change = self.trial - self.point, gradient - self.gradient
        along = (move * change).sum(1)
        enough = accepted & (along > 2.2e-16 * (change * change).sum(1))
        pushed = enough[None, :, None]
        self._moves = torch.where(pushed, torch.cat([self._moves[1:], move[None]]), self._moves)
        self._changes = torch.where(pushed, torch.cat([self._changes[1:], change[None]]), self._changes)
        newest = torch.where(enough, 1 / along, 0.0)
        self._curvatures = torch.where(enough, torch.cat([self._curvatures[1:], newest[None]]), self._curvatures)
        self._scale = torch.where(enough, along / (change * change).sum(1), self._scale)

    def _move(self, where: Mask, value: Numbers, gradient: Points) -> None:
        self.point = torch.where(where[:, None], self.trial, self.point)
        self.gradient = torch.where(where[:, None], gradient, self.gradient)
        self.value = torch.where(where, value, self.value)
        self._gradient_only = self._gradient_only & ~where
        self._fresh = self._fresh & ~where

    def _finish(self, first: Mask, accepted: Mask, failed: Mask, before: Numbers) -> None:
        flat = self.projected_gradient().abs().amax(1) <= self.stopping.gradient
        size = torch.maximum(torch.maximum(before.abs(), self.value.abs()), torch.ones_like(before))
        little = accepted & (before - self.value <= self.stopping.decrease * size)
        spent = self.evaluations >= self.stopping.evaluations
        spent = spent | (self.iterations >= self.stopping.iterations)
        lost = failed & self._gradient_only  # not even along the gradient is there anything lower
        lost = lost | (first & ~torch.isfinite(self.value))
        self.converged = self.converged | ((first | accepted) & flat) | little | lost
        self.converged = self.converged & torch.isfinite(self.value)
        self.done = self.done | self.converged | spent | lost

    def _begin(self, where: Mask, failed: Mask) -> None:
        """A new direction and a new search along it."""
        self._curvatures = torch.where(failed & where, 0.0, self._curvatures)
        self._gradient_only = self._gradient_only | (failed & where)
        empty = (self._curvatures != 0).sum(0) == 0
        self._model()
        direction = self._quasi_newton(self._free())
        slope = (direction * self.gradient).sum(1)
        steepest = self.projected_gradient()
        useless = empty | (slope >= 0) | ~torch.isfinite(slope)
        direction = torch.where(useless[:, None], steepest, direction)
        self._direction = torch.where(where[:, None], direction, self._direction)
        slope = (self._direction * self.gradient).sum(1)
        length = self._direction.norm(dim=1)
        most = self._room()
        step = torch.where(useless, (1 / length).clamp(max=1.0), torch.ones_like(length))
        fresh = LineSearch.begin(self.value, slope, torch.minimum(step, most), most)
        self._search.restart(where, fresh)

    def _free(self) -> Bool[Tensor, "b n"]:
        """Coordinates that may move: all but those at a bound whose gradient points out of the box."""
        held_low = (self.point <= self.lower) & (self.gradient > 0)
        held_high = (self.point >= self.upper) & (self.gradient < 0)
        return ~(held_low | held_high)

    def _quasi_newton(self, free: Bool[Tensor, "b n"]) -> Points:
        """The step to the minimum of the quadratic model in the box, by rounds: a coordinate that leaves the box is put
        on its bound, and the others are solved for anew, knowing that.

        Without the rounds a coordinate that is cut off at its bound spoils the step of all that were to go with it.
        """
        low, high = self.lower - self.point, self.upper - self.point
        fixed = torch.zeros_like(self.point)
        step = fixed
        for _ in range(ROUNDS):
            step = torch.where(free, self._solved(free, fixed), fixed)
            outside = free & ((step < low) | (step > high))
            if outside.device.type == "cpu" and not outside.any():  # more rounds would say the same
                break
            fixed = torch.where(outside, torch.minimum(torch.maximum(step, low), high), fixed)
            free = free & ~outside
        return torch.minimum(torch.maximum(step, low), high)

    def _solved(self, free: Bool[Tensor, "b n"], fixed: Points) -> Points:
        """Free coordinates of the model's minimum with the others moved by `fixed`, by the compact form of the matrix,
        B = θ - W M Wᵀ, and the inversion formula on the free subspace (Byrd, Nocedal & Schnabel 1994; Byrd et al. 1995,
        equation 5.11)."""
        theta, basis, middle = self._theta, self._basis, self._middle
        push = self.gradient + theta[:, None] * fixed - _times(basis, _times(middle, _times(basis.mT, fixed)))
        push = torch.where(free, push, 0.0)
        part = torch.where(free[:, :, None], basis, 0.0)
        inner = torch.eye(basis.shape[2], dtype=basis.dtype, device=basis.device)
        inner = inner - middle @ (part.mT @ part) / theta[:, None, None]
        weights = torch.linalg.solve_ex(inner, _times(middle, _times(part.mT, push))[:, :, None])[0][:, :, 0]
        return -push / theta[:, None] - _times(part, weights) / theta[:, None] ** 2

    def _model(self) -> None:
        """The compact form for the present memory: W = [Y, θS], M⁻¹ = [[-D, Lᵀ], [L, θSᵀS]]; empty places count for
        nothing."""
        filled = (self._curvatures != 0).T
        moves = torch.where(filled[:, None, :], self._moves.permute(1, 2, 0), 0.0)
        changes = torch.where(filled[:, None, :], self._changes.permute(1, 2, 0), 0.0)
        self._theta = 1 / self._scale
        along = moves.mT @ changes
        padding = torch.diag_embed((~filled).to(moves.dtype))
        below = torch.tril(along, -1)
        diagonal = torch.diag_embed(torch.diagonal(along, dim1=1, dim2=2)) + padding
        squares = self._theta[:, None, None] * (moves.mT @ moves) + padding
        inverse = torch.cat([torch.cat([-diagonal, below.mT], 2), torch.cat([below, squares], 2)], 1)
        self._basis = torch.cat([changes, self._theta[:, None, None] * moves], 2)
        self._middle = torch.linalg.inv_ex(inverse)[0]

    def _room(self) -> Numbers:
        """How far the box lets each slot go along its direction."""
        direction = self._direction
        up = torch.where(
            direction > 0, (self.upper - self.point) / torch.where(direction > 0, direction, 1.0), torch.inf
        )
        down = torch.where(
            direction < 0, (self.lower - self.point) / torch.where(direction < 0, direction, 1.0), torch.inf
        )
        room = torch.minimum(up, down).amin(1)
        return room.clamp(min=0.0, max=1e10)


def _times(matrix: Float[Tensor, "b r c"], vector: Float[Tensor, "b c"]) -> Float[Tensor, "b r"]:
    return (matrix @ vector[:, :, None])[:, :, 0]
