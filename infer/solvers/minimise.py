"""The batched minimiser by itself: any function of many points at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from invertone.cluster.errors import UserError
from invertone.infer.solvers.lbfgs import BatchedLbfgs, Stopping


@dataclass(frozen=True)
class Minimum:
    """Where b searches ended. x, gradient: [b, n]; value: [b]; evaluations, iterations: [b]. converged: [b], which ended
    at a minimum by the tolerances; the others used up their budget or began where the function is not finite."""

    x: Float[Tensor, "b n"]
    value: Float[Tensor, " b"]
    gradient: Float[Tensor, "b n"]
    evaluations: Int[Tensor, " b"]
    iterations: Int[Tensor, " b"]
    converged: Bool[Tensor, " b"]


def minimise(
    function: Callable[[Tensor], Any],
    start: Any,
    lower: Any = -torch.inf,
    upper: Any = torch.inf,
    *,
    returns_gradient: bool = False,
    gradient_tolerance: float = Stopping.gradient,
    decrease_tolerance: float = Stopping.decrease,
    evaluations: int = Stopping.evaluations,
    iterations: int = Stopping.iterations,
) -> Minimum:
    """b minima of one function in n unknowns, lower ≤ x ≤ upper, each searched on its own path by limited-memory BFGS.

    function: x [b, n] → value [b], whose sum torch can differentiate; row i may depend on row i of x alone. With
    `returns_gradient` it gives (value [b], gradient [b, n]) itself. It is called with all b points every time; a search
    that has ended is asked for its end again. start: [b, n], tensor or array; put into the box. lower, upper: numbers, or
    whatever broadcasts to [b, n]; infinite where there is no bound. gradient_tolerance: a search ends when no coordinate of the
    projected gradient is larger; decrease_tolerance: or an iteration lowers the value by no more, relatively. evaluations,
    iterations: at most so many for each search.

    Arithmetic is float64 on the device of `start`; `function` may compute in any precision. Searches are those of L-BFGS-B
    (Byrd, Lu, Nocedal & Zhu 1995; More & Thuente 1994) and end where SciPy's do, which does one at a time. Raises UserError for
    shapes that do not fit.

    >>> def bowl(x):
    ...     return ((x - torch.tensor([1.0, 3.0])) ** 2).sum(1)
    >>> found = minimise(bowl, torch.zeros(2, 2), upper=2.0)
    >>> found.x.tolist(), found.value.tolist(), found.converged.all().item()
    ([[1.0, 2.0], [1.0, 2.0]], [1.0, 1.0], True)
    """
    first = torch.as_tensor(start).to(torch.float64)
    if first.ndim != 2 or not first.numel():
        raise UserError(
            f"start has the shape {tuple(first.shape)}", where="minimise", fix="give [b, n]: b points of n numbers"
        )
    low, high = _bounds(lower, upper, first)
    solver = BatchedLbfgs(first, low, high, Stopping(gradient_tolerance, decrease_tolerance, evaluations, iterations))
    while not bool(solver.done.all()):
        solver.tell(*_evaluated(function, solver.trial, returns_gradient))
    gradient = torch.where(torch.isfinite(solver.value)[:, None], solver.gradient, torch.nan)
    return Minimum(solver.point, solver.value, gradient, solver.evaluations, solver.iterations, solver.converged)


def _bounds(lower: Any, upper: Any, start: Tensor) -> tuple[Any, Any]:
    """Both as numbers, or both as [b, n]."""
    if np.ndim(lower) == np.ndim(upper) == 0 and not isinstance(lower, Tensor) and not isinstance(upper, Tensor):
        low, high = float(lower), float(upper)
        crossed = not low <= high
    else:
        try:
            low, high = (torch.as_tensor(each).to(start).expand_as(start) for each in (lower, upper))  # type: ignore[assignment]
        except RuntimeError:
            raise UserError(
                f"bounds do not broadcast to {tuple(start.shape)}", where="minimise", fix="give a number, [n] or [b, n]"
            ) from None
        crossed = not bool((low <= high).all())  # type: ignore[attr-defined]
    if crossed:
        raise UserError("a lower bound lies above the upper one, or is NaN", where="minimise", fix="swap them")
    return low, high


def _evaluated(function: Callable[[Tensor], Any], x: Tensor, returns_gradient: bool) -> tuple[Tensor, Tensor]:
    if returns_gradient:
        value, gradient = function(x)
        value, gradient = torch.as_tensor(value), torch.as_tensor(gradient)
    else:
        with torch.enable_grad():
            point = x.detach().requires_grad_()
            value = function(point)
            if not isinstance(value, Tensor) or not value.requires_grad:
                raise UserError(
                    "function gives nothing that torch can differentiate",
                    where="minimise",
                    fix="compute with torch, or use returns_gradient=True",
                )
            (gradient,) = torch.autograd.grad(value.sum(), point)
    if value.shape != x.shape[:1] or gradient.shape != x.shape:
        raise UserError(
            f"function gives shapes {tuple(value.shape)} and {tuple(gradient.shape)} for points {tuple(x.shape)}",
            where="minimise",
            fix="give one value per point, [b]",
        )
    return value.detach(), gradient.detach()
