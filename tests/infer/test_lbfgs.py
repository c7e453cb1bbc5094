"""Batched L-BFGS against SciPy's L-BFGS-B, and against itself in other company."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import optimize

from invertone.infer.solvers.lbfgs import BatchedLbfgs, Stopping

F64 = torch.float64
Objective = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def quadratics(count: int, size: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    root = torch.randn(count, size, size, generator=rng, dtype=F64)
    return root @ root.mT / size + 0.05 * torch.eye(size, dtype=F64), 2 * torch.randn(
        count, size, generator=rng, dtype=F64
    )


def quadratic(matrix: torch.Tensor, target: torch.Tensor) -> Objective:
    def objective(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        product = (matrix * x[:, None, :]).sum(2)  # elementwise: the same bits whatever the batch
        return 0.5 * (x * product).sum(1) - (target * x).sum(1), product - target

    return objective


def differentiated(function: Callable[[torch.Tensor], torch.Tensor]) -> Objective:
    def objective(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = x.detach().requires_grad_()
        value = function(x)
        return value.detach(), torch.autograd.grad(value.sum(), x)[0]

    return objective


def run(solver: BatchedLbfgs, objective: Objective) -> BatchedLbfgs:
    for _ in range(solver.stopping.evaluations):
        solver.tell(*objective(solver.trial))
        if solver.done.all():
            break
    return solver


def scipy_minimum(
    objective: Objective, start: torch.Tensor, low: float, high: float, most: int = 15_000
) -> tuple[float, int]:
    def one(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = objective(torch.from_numpy(x)[None])
        return float(value), gradient[0].numpy()

    bounds = [(low, high)] * len(start)
    options = {"gtol": 1e-9, "ftol": 1e-15, "maxfun": most}
    found = optimize.minimize(one, start.numpy(), jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return float(found.fun), int(found.nfev)


@pytest.mark.parametrize("bound", [0.3, 1.0, np.inf])
def test_quadratics_in_a_box_end_where_scipy_s_do(bound: float) -> None:
    matrix, target = quadratics(24, 30)
    start = torch.zeros(24, 30, dtype=F64)
    solver = run(BatchedLbfgs(start, -bound, bound, Stopping(1e-9, 1e-15, 2_000)), quadratic(matrix, target))
    wanted = [
        scipy_minimum(quadratic(matrix[i : i + 1], target[i : i + 1]), start[i], -bound, bound) for i in range(24)
    ]
    assert solver.value.tolist() == pytest.approx([value for value, _ in wanted], abs=1e-8)
    assert float(solver.projected_gradient().abs().max()) < 1e-5
    assert solver.evaluations.float().mean() < 1.5 * np.mean([count for _, count in wanted])


def test_logistic_regression_in_a_box_ends_where_scipy_s_does() -> None:
    rng = torch.Generator().manual_seed(3)
    inputs = torch.randn(16, 80, 12, generator=rng, dtype=F64)
    signs = torch.randn(16, 80, generator=rng, dtype=F64).sign()

    def loss(which: slice) -> Objective:
        def function(x: torch.Tensor) -> torch.Tensor:
            margins = signs[which] * (inputs[which] @ x[:, :, None])[:, :, 0]
            return torch.nn.functional.softplus(-margins).mean(1) + 1e-3 * (x * x).sum(1)

        return differentiated(function)

    start = torch.zeros(16, 12, dtype=F64)
    solver = run(BatchedLbfgs(start, -0.2, 0.2, Stopping(1e-9, 1e-15, 2_000)), loss(slice(None)))
    wanted = [scipy_minimum(loss(slice(i, i + 1)), start[i], -0.2, 0.2)[0] for i in range(16)]
    assert solver.value.tolist() == pytest.approx(wanted, abs=1e-8)


def rosenbrock(x: torch.Tensor) -> torch.Tensor:
    return (100 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1 - x[:, :-1]) ** 2).sum(1)


def test_a_curved_valley_with_its_end_outside_the_box() -> None:
    start = torch.randn(32, 10, generator=torch.Generator().manual_seed(0), dtype=F64)
    solver = run(BatchedLbfgs(start, -3.0, 0.8, Stopping(1e-8, 1e-14, 1_000)), differentiated(rosenbrock))
    wanted = [scipy_minimum(differentiated(rosenbrock), start[i].clamp(-3, 0.8), -3.0, 0.8)[0] for i in range(32)]
    reached = (solver.value - torch.tensor(wanted, dtype=F64)).abs() < 1e-6
    assert int(reached.sum()) >= 30  # the valley has other minima: which one is reached is no one's merit
    assert bool(((solver.point >= -3) & (solver.point <= 0.8)).all())


@pytest.mark.parametrize("company", [1, 7, 63])
def test_a_path_does_not_depend_on_its_neighbours(company: int) -> None:
    matrix, target = quadratics(64, 20, seed=9)
    start = torch.zeros(64, 20, dtype=F64)

    def path(count: int) -> list[torch.Tensor]:
        solver = BatchedLbfgs(start[:count], -0.5, 0.5, Stopping(1e-12, 0.0, 60))
        trials = []
        for _ in range(60):
            solver.tell(*quadratic(matrix[:count], target[:count])(solver.trial))
            trials.append(solver.trial[0].clone())
        return trials

    for alone, together in zip(path(1), path(company + 1), strict=True):
        assert float((alone - together).abs().max()) < 1e-10


def test_converged_slots_take_new_problems_while_the_others_go_on() -> None:
    matrix, target = quadratics(9, 15, seed=4)
    stopping = Stopping(1e-8, 1e-14, 400)
    alone = run(BatchedLbfgs(torch.zeros(9, 15, dtype=F64), -1.0, 1.0, stopping), quadratic(matrix, target))
    solver, held, waiting = (
        BatchedLbfgs(torch.zeros(3, 15, dtype=F64), -1.0, 1.0, stopping),
        [0, 1, 2],
        list(range(3, 9)),
    )
    values: dict[int, float] = {}
    while len(values) < 9:
        solver.tell(*quadratic(matrix[held], target[held])(solver.trial))
        for slot in torch.nonzero(solver.done).flatten().tolist():
            values.setdefault(held[slot], float(solver.value[slot]))
            if waiting:
                held[slot] = waiting.pop(0)
                where = torch.arange(3) == slot
                solver.refill(where, torch.zeros(3, 15, dtype=F64))
    assert [values[number] for number in range(9)] == pytest.approx(alone.value.tolist(), abs=1e-10)


def test_budgets_and_ends() -> None:
    matrix, target = quadratics(4, 15)
    spent = run(BatchedLbfgs(torch.zeros(4, 15, dtype=F64), stopping=Stopping(0.0, 0.0, 7)), quadratic(matrix, target))
    assert spent.evaluations.tolist() == [7] * 4 and bool(spent.done.all())
    flat = BatchedLbfgs(torch.ones(2, 3, dtype=F64))
    flat.tell(torch.zeros(2, dtype=F64), torch.zeros(2, 3, dtype=F64))
    assert bool(flat.done.all()) and flat.evaluations.tolist() == [1, 1]
    nowhere = BatchedLbfgs(torch.ones(1, 3, dtype=F64))
    nowhere.tell(torch.full((1,), torch.nan, dtype=F64), torch.ones(1, 3, dtype=F64))
    assert bool(nowhere.done.all())


def test_no_step_waits_for_the_device() -> None:
    """Tensors without data cannot be looked at: what runs on them never asks what they hold."""
    start = torch.empty(4, 6, dtype=torch.float64, device="meta")
    search = BatchedLbfgs(start, -1.0, 1.0)
    for _ in range(3):
        search.tell(torch.empty(4, device="meta"), torch.empty(4, 6, device="meta"))
    search.refill(torch.empty(4, dtype=torch.bool, device="meta"), start)
    search.stop(torch.empty(4, dtype=torch.bool, device="meta"))
    assert search.trial.shape == (4, 6) and search.trial.device.type == "meta"
