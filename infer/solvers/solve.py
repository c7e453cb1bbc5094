"""Runs many inversions through a fixed number of slots: what has ended leaves, and the next one takes its place.

Every evaluation has the same shape, so that a clip's path is the same to the bit in any company: kernels choose their order
of summation by the shape of the batch, and an optimiser blows 1e-7 up to 1e-1.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from invertone.infer.solvers.losses import LatentObjective, Wanted
from invertone.infer.solvers.trials import InTiles, Problems, Together, Trials
from invertone.infer.threads import CALLER, Threads

CONVERGED, EVALUATIONS, TARGET, PATIENCE, SECONDS = "converged", "evaluations", "target", "patience", "seconds"
REASONS = ("", CONVERGED, EVALUATIONS, TARGET, PATIENCE, SECONDS)
"""Why an inversion ended."""
CHECK_EVERY_ON_GPU = 10
"""Evaluations between two looks at what is done: each look makes the host wait for the device."""


@runtime_checkable
class Minimiser(Protocol):
    """Ask and tell over b slots, as `invertone.infer.solvers.lbfgs` and `invertone.infer.solvers.adam` do it."""

    trial: Float[Tensor, "b z"]
    point: Float[Tensor, "b z"]
    value: Float[Tensor, " b"]
    evaluations: Int[Tensor, " b"]
    done: Bool[Tensor, " b"]

    @property
    def iterations(self) -> Int[Tensor, " b"]: ...

    @property
    def converged(self) -> Bool[Tensor, " b"]: ...

    def tell(self, value: Float[Tensor, " b"], gradient: Float[Tensor, "b z"]) -> None: ...

    def refill(self, where: Bool[Tensor, " b"], start: Float[Tensor, "b z"], seeds: Int[Tensor, " b"]) -> None: ...

    def stop(self, where: Bool[Tensor, " b"]) -> None: ...


@dataclass(frozen=True)
class EarlyStop:
    """Ends an inversion before its optimiser does: at a loss of `target`, after `patience` evaluations without an
    improvement of `improvement` (relative), after `seconds`. None: never."""

    target: float | None = None
    patience: int | None = None
    improvement: float = 1e-3
    seconds: float | None = None


@dataclass(frozen=True)
class Solution:
    """Of j inversions: point [j, z], value, evaluations, iterations [j]; why each stopped; the best loss so far after every
    evaluation, where it was asked for."""

    point: Float[Tensor, "j z"]
    value: Float[Tensor, " j"]
    evaluations: Int[Tensor, " j"]
    iterations: Int[Tensor, " j"]
    stopped: list[str]
    trajectories: list[list[float]]


@dataclass(frozen=True)
class Solver:
    """slots: how many at a time. make: a minimiser for starts [slots, z] and seeds [slots]. beat: called at every
    evaluation, as a sign of life. tile: how many of them to a call of the objective, whose calls `threads` share; None for
    all in one call."""

    objective: LatentObjective
    make: Callable[[Float[Tensor, "b z"], Int[Tensor, " b"]], Minimiser]
    slots: int
    early: EarlyStop = EarlyStop()
    trajectories: bool = False
    beat: Callable[[], None] = lambda: None
    tile: int | None = None
    threads: Threads = CALLER

    def __call__(
        self,
        wanted: Mapping[str, Wanted],
        clips: Sequence[int],
        starts: Float[Tensor, "j z"],
        seeds: Sequence[int],
        targets: Float[Tensor, " j"] | None = None,
        labels: Int[Tensor, " j"] | None = None,
    ) -> Solution:
        """Inversion j is of the clip `clips[j]` (a row of `wanted`), from `starts[j]`; it may have its own target loss, and a
        label that the generator is told."""
        problems = Problems(self.objective, wanted, torch.tensor(clips, device=starts.device), labels)
        return _Run(self, problems, starts.double(), seeds, targets).solution()

    def trials(self, problems: Problems, jobs: Sequence[int]) -> Trials:
        """Evaluates slots of which each works on the inversion that `jobs` names."""
        if self.tile is None:
            return Together(problems, jobs, self.beat)
        return InTiles(problems, jobs, self.tile, self.threads, self.beat)


class _Run:
    def __init__(
        self,
        solver: Solver,
        problems: Problems,
        starts: Float[Tensor, "j z"],
        seeds: Sequence[int],
        targets: Float[Tensor, " j"] | None,
    ) -> None:
        self.solver, self.device, self.count = solver, starts.device, len(starts)
        self.starts = starts
        self.seeds = torch.tensor(seeds, device=self.device)
        never = -torch.inf if solver.early.target is None else solver.early.target
        self.targets = starts.new_full((self.count,), never) if targets is None else targets.to(starts)
        self.job = [number if number < self.count else -1 for number in range(solver.slots)]  # which each slot works on
        self.next = min(solver.slots, self.count)
        # A slot without work holds the first inversion, and nobody looks at it: an optimiser's arithmetic has one shape.
        rows = torch.tensor([max(number, 0) for number in self.job], device=self.device)
        self.trials = solver.trials(problems, self.job)
        self.target = self.targets[rows]
        self.minimiser = solver.make(starts[rows], self.seeds[rows])
        self.minimiser.stop(torch.tensor([number < 0 for number in self.job], device=self.device))
        self.reason = torch.zeros(solver.slots, dtype=torch.int64, device=self.device)
        self.best = starts.new_full((solver.slots,), torch.inf)
        self.waiting = torch.zeros(solver.slots, dtype=torch.int64, device=self.device)
        self.begun = [time.monotonic()] * solver.slots
        self.recent: list[Tensor] = []
        self.point, self.value = torch.zeros_like(starts), starts.new_zeros(self.count)
        self.evaluations = torch.zeros(self.count, dtype=torch.int64)
        self.iterations = torch.zeros(self.count, dtype=torch.int64)
        self.stopped, self.trajectories = [""] * self.count, [list[float]() for _ in range(self.count)]

    def solution(self) -> Solution:
        every = CHECK_EVERY_ON_GPU if self.device.type == "cuda" else 1
        while any(number >= 0 for number in self.job):
            for _ in range(every):
                self._evaluate()
            self._look()
        return Solution(self.point, self.value, self.evaluations, self.iterations, self.stopped, self.trajectories)

    def _evaluate(self) -> None:
        self.minimiser.tell(*self.trials(self.minimiser.trial))
        self._stop_early()
        if self.solver.trajectories:
            self.recent.append(self.minimiser.value)

    def _stop_early(self) -> None:
        early, minimiser = self.solver.early, self.minimiser
        ended = torch.where(minimiser.converged, REASONS.index(CONVERGED), REASONS.index(EVALUATIONS))
        self.reason = torch.where(minimiser.done & (self.reason == 0), ended, self.reason)
        self._end(minimiser.value <= self.target, TARGET)
        if early.patience is not None:
            improved = ~(minimiser.value > self.best - early.improvement * self.best.abs())
            self.best = torch.where(improved, minimiser.value, self.best)
            self.waiting = torch.where(improved, 0, self.waiting + 1)
            self._end(self.waiting >= early.patience, PATIENCE)

    def _end(self, where: Bool[Tensor, " b"], reason: str) -> None:
        self.reason = torch.where(where & (self.reason == 0), REASONS.index(reason), self.reason)
        self.minimiser.stop(where)

    def _look(self) -> None:
        """The only place where the host waits for the device: takes what has ended, and fills its slots."""
        seconds, now = self.solver.early.seconds, time.monotonic()
        if seconds is not None:
            over = torch.tensor([now - begun >= seconds for begun in self.begun], device=self.device)
            self._end(over, SECONDS)
        self._record()
        done = self.minimiser.done.tolist()
        ended = [slot for slot, number in enumerate(self.job) if number >= 0 and done[slot]]
        if not ended:
            return
        self._take(ended)
        for slot in ended:
            self.job[slot] = self.next if self.next < self.count else -1
            self.next += self.job[slot] >= 0
        self._fill([slot for slot in ended if self.job[slot] >= 0])

    def _record(self) -> None:
        """Losses after the evaluations since the last look go to their inversions."""
        if not self.recent:
            return
        values, used = torch.stack(self.recent).tolist(), self.minimiser.evaluations.tolist()
        self.recent = []
        for slot, number in enumerate(self.job):
            if number >= 0:
                missing = used[slot] - len(self.trajectories[number])
                self.trajectories[number] += [row[slot] for row in values[:missing]]

    def _take(self, ended: Sequence[int]) -> None:
        slots, jobs = torch.tensor(ended), torch.tensor([self.job[slot] for slot in ended])
        at = slots.to(self.device)
        self.point[jobs.to(self.device)] = self.minimiser.point[at]
        self.value[jobs.to(self.device)] = self.minimiser.value[at]
        self.evaluations[jobs] = self.minimiser.evaluations[at].cpu()
        self.iterations[jobs] = self.minimiser.iterations[at].cpu()
        for job, reason in zip(jobs.tolist(), self.reason[at].tolist(), strict=True):
            self.stopped[job] = REASONS[reason]

    def _fill(self, filled: Sequence[int]) -> None:
        where = torch.zeros(self.solver.slots, dtype=torch.bool)
        where[list(filled)] = True
        where = where.to(self.device)
        self.trials.changed(self.job, where)
        if not filled:
            return
        rows = torch.tensor([max(number, 0) for number in self.job], device=self.device)
        self.minimiser.refill(where, self.starts[rows], self.seeds[rows])
        self.target = torch.where(where, self.targets[rows], self.target)
        self.reason = torch.where(where, 0, self.reason)
        self.best = torch.where(where, torch.inf, self.best)
        self.waiting = torch.where(where, 0, self.waiting)
        for slot in filled:
            self.begun[slot] = time.monotonic()
