"""The line search against SciPy's own port of Moré & Thuente's: the same steps, however many searches go together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.optimize._dcsrch import DCSRCH

from invertone.infer.solvers.line_search import CURVATURE, DECREASE, INTERVAL, LineSearch

Objective = Callable[[float], tuple[float, float]]


def objectives(count: int) -> list[Objective]:
    """Hard ones of Moré & Thuente (section 5) and random quartics, all falling at 0."""
    rng = np.random.default_rng(5)
    made: list[Objective] = [
        lambda t: (-t / (t * t + 2), (t * t - 2) / (t * t + 2) ** 2),
        lambda t: ((t + 0.004) ** 5 - 2 * (t + 0.004) ** 4, 5 * (t + 0.004) ** 4 - 8 * (t + 0.004) ** 3),
        lambda t: (t * t - 2 * t, 2 * t - 2),
    ]
    for _ in range(count - len(made)):
        a, b, c, d = rng.uniform(-2, 2, 4)
        made.append(
            lambda t, a=a, b=b, c=c, d=d: (
                0.05 * t**4 + a * t**3 + b * t**2 - (abs(c) + 0.1) * t + d * np.sin(t),
                0.2 * t**3 + 3 * a * t**2 + 2 * b * t - (abs(c) + 0.1) + d * np.cos(t),
            )
        )
    return [each for each in made if each(0.0)[1] < -1e-3]


def scipy_steps(objective: Objective, first: float, most: float) -> list[float]:
    search = DCSRCH(lambda t: objective(t)[0], lambda t: objective(t)[1], DECREASE, CURVATURE, INTERVAL, 0.0, most)
    value, slope = objective(0.0)
    steps, task, step = [], b"START", first
    for _ in range(20):
        step, _, _, task = search._iterate(step, value, slope, task)
        if not task.startswith(b"FG"):
            break
        steps.append(step)
        value, slope = objective(step)
    return steps


@pytest.mark.parametrize("first", [1.0, 0.01, 30.0])
def test_the_steps_are_scipy_s(first: float) -> None:
    chosen, most = objectives(40), 50.0
    start = torch.tensor([each(0.0) for each in chosen], dtype=torch.float64)
    full = torch.full((len(chosen),), first, dtype=torch.float64)
    search = LineSearch.begin(start[:, 0], start[:, 1], full, torch.full_like(full, most))
    steps: list[list[float]] = [[] for _ in chosen]
    over = torch.zeros(len(chosen), dtype=torch.bool)
    for _ in range(20):
        for number, step in enumerate(search.step.tolist()):
            if not over[number]:
                steps[number].append(step)
        told = torch.tensor(
            [each(step) for each, step in zip(chosen, search.step.tolist(), strict=True)], dtype=torch.float64
        )
        found, given_up = search.tell(told[:, 0], told[:, 1])
        over |= found | given_up
    for objective, ours in zip(chosen, steps, strict=True):
        assert ours == pytest.approx(scipy_steps(objective, first, most), rel=1e-9)


def test_a_cliff_is_stepped_back_from() -> None:
    zero, one = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    search = LineSearch.begin(zero, -one, 8 * one, 100 * one)
    for _ in range(20):
        step = float(search.step)
        value, slope = (step**2 / 2 - step, step - 1) if step < 2 else (float("nan"), float("inf"))
        found, given_up = search.tell(value * one, slope * one)
        if found or given_up:
            break
    assert found.item() and 0 < float(search.step) < 2
