"""The public minimiser against SciPy's, one problem at a time."""

from __future__ import annotations

import doctest
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from invertone.cluster.errors import UserError
from invertone.infer.solvers import minimise as module
from invertone.infer.solvers.minimise import minimise


def rosenbrock(x: torch.Tensor) -> torch.Tensor:
    return (100 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1 - x[:, :-1]) ** 2).sum(1)


BOXES = [(-np.inf, np.inf), (-0.5, 0.7), (np.zeros(3), np.array([0.5, 2, 2]))]


@pytest.mark.parametrize(("lower", "upper"), BOXES)
def test_rosenbrock_ends_where_scipy_s_does(lower: Any, upper: Any) -> None:
    start = np.random.default_rng(0).uniform(-1.5, 1.5, (7, 3))
    found = minimise(rosenbrock, start, lower, upper)
    assert found.converged.all()
    bounds = list(zip(np.broadcast_to(lower, 3), np.broadcast_to(upper, 3), strict=True))
    for at, row in enumerate(start):

        def one(x: np.ndarray) -> tuple[float, np.ndarray]:
            point = torch.from_numpy(x[None]).requires_grad_()
            value = rosenbrock(point)
            value.sum().backward()
            assert point.grad is not None
            return float(value), point.grad[0].numpy()

        wanted = minimize(one, row, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-14, "gtol": 1e-8})
        assert float(found.value[at]) == pytest.approx(wanted.fun, abs=1e-6)
        assert np.abs(found.x[at].numpy() - wanted.x).max() < 2e-3


@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 6))
def test_a_random_quadratic_in_a_box_meets_its_conditions(seed: int, b: int, n: int) -> None:
    """At a minimum the gradient vanishes inside, and points out of the box at a bound (Karush, Kuhn & Tucker)."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(b, n, n))
    matrix = torch.from_numpy(root @ root.transpose(0, 2, 1) + np.eye(n))
    centre = torch.from_numpy(rng.normal(size=(b, n)) * 2)
    lower = torch.from_numpy(rng.uniform(-1, 0, (b, n)))
    upper = torch.from_numpy(rng.uniform(0, 1, (b, n)))

    def function(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        slope = (matrix @ (x - centre)[:, :, None])[:, :, 0]
        return ((x - centre) * slope).sum(1) / 2, slope

    found = minimise(function, rng.normal(size=(b, n)), lower, upper, returns_gradient=True, decrease_tolerance=0.0)
    assert ((found.x >= lower) & (found.x <= upper)).all()
    step = (found.x - found.gradient).clamp(lower, upper) - found.x
    assert step.abs().max() < 1e-4


def test_a_search_is_its_own() -> None:
    start = np.random.default_rng(1).normal(size=(5, 4))
    together = minimise(rosenbrock, start)
    for at in range(5):
        alone = minimise(rosenbrock, start[at : at + 1])
        assert torch.equal(alone.x[0], together.x[at]) and alone.evaluations[0] == together.evaluations[at]


def test_a_start_at_the_minimum_is_one_evaluation_and_a_budget_ends_a_search() -> None:
    found = minimise(rosenbrock, np.ones((1, 3)))
    assert (found.evaluations.tolist(), found.converged.tolist(), found.value.tolist()) == ([1], [True], [0.0])
    spent = minimise(rosenbrock, -np.ones((2, 3)), evaluations=5)
    assert spent.evaluations.tolist() == [5, 5] and not spent.converged.any()


def test_where_the_function_is_not_finite_nothing_converges_and_others_go_on() -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        return torch.where(x[:, 0] > 5, torch.nan, 1.0) * (x**2).sum(1)

    found = minimise(function, torch.tensor([[9.0, 1.0], [3.0, 1.0]]))
    assert found.converged.tolist() == [False, True] and found.gradient[0].isnan().all()
    assert found.x[1].abs().max() < 1e-5


@pytest.mark.parametrize(
    ("function", "start", "bounds", "said"),
    [
        (rosenbrock, np.ones(3), {}, "start has the shape (3,)"),
        (rosenbrock, np.ones((2, 3)), {"lower": np.zeros(4), "upper": 1.0}, "bounds do not broadcast to (2, 3)"),
        (rosenbrock, np.ones((2, 3)), {"lower": 1.0, "upper": 0.0}, "a lower bound lies above the upper one"),
        (lambda x: (x**2).sum(), np.ones((2, 3)), {}, "function gives shapes () and (2, 3) for points (2, 3)"),
        (lambda x: torch.zeros(2), np.ones((2, 3)), {}, "function gives nothing that torch can differentiate"),
    ],
)
def test_what_does_not_fit_is_said(function: Any, start: Any, bounds: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as refused:
        minimise(function, start, **bounds)
    assert said in str(refused.value)


def test_the_example_of_the_docstring() -> None:
    assert doctest.testmod(module).failed == 0
