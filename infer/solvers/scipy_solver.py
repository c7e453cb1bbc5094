"""SciPy's L-BFGS-B, one clip after the other: what the inverse-mapper papers used, and the oracle of `infer.solvers.lbfgs`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from invertone.infer.solvers.lbfgs import MEMORY, Stopping
from invertone.infer.solvers.losses import LatentObjective, Wanted
from invertone.infer.solvers.solve import CONVERGED, EVALUATIONS, PATIENCE, SECONDS, TARGET, EarlyStop, Solution
from invertone.infer.threads import CALLER, Threads


class _StoppedError(Exception):
    pass


@dataclass(frozen=True)
class ScipySolver:
    """The same problems as `solve.Solver`, with the same budgets, by `scipy.optimize.minimize`; `threads` share them."""

    objective: LatentObjective
    lower: float
    upper: float
    stopping: Stopping
    early: EarlyStop = field(default_factory=EarlyStop)
    trajectories: bool = False
    beat: Callable[[], None] = lambda: None
    threads: Threads = CALLER

    def __call__(
        self,
        wanted: Mapping[str, Wanted],
        clips: Sequence[int],
        starts: Float[Tensor, "j z"],
        seeds: Sequence[int],
        labels: Int[Tensor, " j"] | None = None,
    ) -> Solution:
        """Inversion j is of the clip `clips[j]` (a row of `wanted`), from `starts[j]`, with the label that the generator is
        told, if there is one. Nothing is drawn: `seeds` do not matter."""
        from threadpoolctl import threadpool_limits

        def searched(clip: int, begun: Float[Tensor, " z"], label: Int[Tensor, 1] | None) -> _Search:
            own = {name: tuple(each[clip : clip + 1] for each in tensors) for name, tensors in wanted.items()}
            return _Search(self, own, begun, label).run()

        # Its BLAS threads and torch's wait for each other's cores: 55 ms for an evaluation of 18 ms, measured on two cores.
        with threadpool_limits(1, user_api="blas"):  # of the whole process, hence not for each search
            told = [None] * len(clips) if labels is None else labels.split(1)
            found = self.threads.map(searched, clips, starts, told)
        device = starts.device
        return Solution(
            torch.stack([each.point for each in found]).to(device),
            torch.tensor([each.value for each in found], dtype=torch.float64, device=device),
            torch.tensor([each.evaluations for each in found]),
            torch.tensor([each.iterations for each in found]),
            [each.stopped for each in found],
            [each.losses if self.trajectories else [] for each in found],
        )


class _Search:
    """One clip from one start; keeps the best point seen, also where SciPy would return another."""

    def __init__(
        self,
        solver: ScipySolver,
        wanted: Mapping[str, Wanted],
        begun: Float[Tensor, " z"],
        label: Int[Tensor, 1] | None,
    ) -> None:
        self.solver, self.wanted, self.begun, self.label = solver, wanted, begun, label
        self.point, self.value = begun.double().cpu(), float("inf")
        self.evaluations, self.iterations, self.waiting = 0, 0, 0
        self.improved_to = float("inf")
        self.stopped, self.losses = "", list[float]()
        self.since = time.monotonic()

    def run(self) -> _Search:
        from scipy.optimize import Bounds, minimize

        stopping = self.solver.stopping
        options = {
            "maxcor": MEMORY,
            "ftol": stopping.decrease,
            "gtol": stopping.gradient,
            "maxfun": stopping.evaluations,
            "maxiter": stopping.iterations,
        }
        bounds = Bounds(self.solver.lower, self.solver.upper) if np.isfinite(self.solver.lower) else None
        with suppress(_StoppedError):
            result = minimize(
                self._evaluate, self.point.numpy(), jac=True, method="L-BFGS-B", bounds=bounds, options=options,
                callback=self._iterated,
            )  # fmt: skip
            self.stopped = EVALUATIONS if result.status == 1 else CONVERGED
        return self

    def _iterated(self, *_: object) -> None:
        self.iterations += 1

    def _evaluate(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        if self.evaluations >= self.solver.stopping.evaluations:  # SciPy looks at its budget between iterations only
            self._end(EVALUATIONS)
        latent = torch.from_numpy(point.copy())[None].to(self.begun.device)
        found = self.solver.objective.evaluate(latent, self.wanted, self.label)
        value, gradient = float(found.value), found.gradient[0].double().cpu().numpy()
        self.evaluations += 1
        self.solver.beat()
        if value < self.value:
            self.value, self.point = value, latent[0].cpu()
        self.losses.append(self.value)
        self._stop_early()
        return value, gradient

    def _stop_early(self) -> None:
        early = self.solver.early
        if early.target is not None and self.value <= early.target:
            self._end(TARGET)
        if early.patience is not None:
            better = not self.value > self.improved_to - early.improvement * abs(self.improved_to)
            self.improved_to = self.value if better else self.improved_to
            self.waiting = 0 if better else self.waiting + 1
            if self.waiting >= early.patience:
                self._end(PATIENCE)
        if early.seconds is not None and time.monotonic() - self.since >= early.seconds:
            self._end(SECONDS)

    def _end(self, reason: str) -> None:
        self.stopped = reason
        raise _StoppedError
