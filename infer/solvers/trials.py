"""What the objective says at the trial points of a solver's slots: all in one call, or in tiles that threads share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from invertone.infer.solvers.losses import Evaluation, LatentObjective, Wanted
from invertone.infer.threads import Threads


@dataclass(frozen=True)
class Problems:
    """What inversions are of: clips[j] is the row of `wanted` that inversion j is after, labels[j] what its generator is told,
    if anything."""

    objective: LatentObjective
    wanted: Mapping[str, Wanted]
    clips: Int[Tensor, " j"]
    labels: Int[Tensor, " j"] | None = None

    def wanted_by(self, jobs: Int[Tensor, " b"]) -> dict[str, Wanted]:
        """The rows of some inversions."""
        clips = self.clips[jobs]
        return {name: tuple(tensor[clips] for tensor in tensors) for name, tensors in self.wanted.items()}

    def labels_of(self, jobs: Int[Tensor, " b"]) -> Int[Tensor, " b"] | None:
        """Those of some inversions."""
        return None if self.labels is None else self.labels[jobs.to(self.labels.device)]


@runtime_checkable
class Trials(Protocol):
    """Called with trial points [slots, z], gives values [slots] and gradients [slots, z]."""

    def __call__(self, trial: Float[Tensor, "b z"]) -> tuple[Float[Tensor, " b"], Float[Tensor, "b z"]]: ...

    def changed(self, jobs: Sequence[int], filled: Bool[Tensor, " b"]) -> None:
        """`jobs`: the inversion of each slot, -1 where there is none. `filled`: the slots that have another than before."""


class Together:
    """All slots in one call. One without work repeats the first inversion, and nobody looks at it."""

    def __init__(self, problems: Problems, jobs: Sequence[int], beat: Callable[[], None]) -> None:
        self._problems, self._beat = problems, beat
        rows = self._rows(jobs)
        self._wanted, self._labels = problems.wanted_by(rows), problems.labels_of(rows)

    def __call__(self, trial: Float[Tensor, "b z"]) -> tuple[Float[Tensor, " b"], Float[Tensor, "b z"]]:
        found = self._problems.objective.evaluate(trial, self._wanted, self._labels)
        self._beat()
        return found.value, found.gradient

    def changed(self, jobs: Sequence[int], filled: Bool[Tensor, " b"]) -> None:
        rows = self._rows(jobs)
        fresh, self._labels = self._problems.wanted_by(rows), self._problems.labels_of(rows)
        for name, tensors in self._wanted.items():
            self._wanted[name] = tuple(
                torch.where(filled.view(-1, *[1] * (old.dim() - 1)), new, old)
                for old, new in zip(tensors, fresh[name], strict=True)
            )

    def _rows(self, jobs: Sequence[int]) -> Int[Tensor, " b"]:
        return torch.tensor([max(job, 0) for job in jobs], device=self._problems.clips.device)


@dataclass(frozen=True)
class _Tile:
    """slots: those at work here, at most as many as the tile has rows. rows [tile]: the same, the last one repeated. labels: of
    the inversions, where they have any."""

    jobs: tuple[int, ...]
    slots: tuple[int, ...]
    rows: Int[Tensor, " t"]
    wanted: Mapping[str, Wanted]
    labels: Int[Tensor, " t"] | None


class InTiles:
    """The slots at work, `size` to a call of one shape, the calls shared by `threads`; a slot without work costs nothing.

    Which slots share a tile is decided by the searches alone, never by which thread is faster.
    """

    def __init__(
        self, problems: Problems, jobs: Sequence[int], size: int, threads: Threads, beat: Callable[[], None]
    ) -> None:
        self._problems, self._size, self._threads, self._beat = problems, size, threads, beat
        self._tiles: list[_Tile] = []
        self._arrange(jobs)

    def __call__(self, trial: Float[Tensor, "b z"]) -> tuple[Float[Tensor, " b"], Float[Tensor, "b z"]]:
        found = self._threads.map(lambda tile: self._evaluated(trial, tile), self._tiles)
        value, gradient = trial.new_zeros(len(trial)), torch.zeros_like(trial)
        for tile, each in zip(self._tiles, found, strict=True):
            slots = list(tile.slots)
            value[slots] = each.value[: len(slots)].to(value)
            gradient[slots] = each.gradient[: len(slots)].to(gradient)
        return value, gradient

    def _evaluated(self, trial: Float[Tensor, "b z"], tile: _Tile) -> Evaluation:
        found = self._problems.objective.evaluate(trial[tile.rows], tile.wanted, tile.labels)
        self._beat()
        return found

    def changed(self, jobs: Sequence[int], filled: Bool[Tensor, " b"]) -> None:
        self._arrange(jobs)

    def _arrange(self, jobs: Sequence[int]) -> None:
        before = {tile.jobs: tile.wanted for tile in self._tiles}
        busy = [slot for slot, job in enumerate(jobs) if job >= 0]
        parts = [busy[first : first + self._size] for first in range(0, len(busy), self._size)]
        self._tiles = [self._tile(part, [jobs[slot] for slot in part], before) for part in parts]

    def _tile(
        self, slots: Sequence[int], jobs: Sequence[int], before: Mapping[tuple[int, ...], Mapping[str, Wanted]]
    ) -> _Tile:
        rows, padded = (torch.tensor([*each, *[each[-1]] * (self._size - len(each))]) for each in (slots, jobs))
        key = tuple(jobs)
        wanted = before[key] if key in before else self._problems.wanted_by(padded)
        return _Tile(key, tuple(slots), rows, wanted, self._problems.labels_of(padded))
