"""How the threads of a worker share its work: each piece is computed by one of them alone, however many there are.

A kernel that several threads compute together sums in another order than one thread does, and an optimiser blows 1e-7 up to
1e-1. It is also slower: threads that share the pieces do not wait for each other after every operation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

import torch

Result = TypeVar("Result")


class Threads:
    """`count` threads that take pieces as they come; with 0 the calling thread computes them one after the other, as torch
    is set there."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool = ThreadPoolExecutor(count, "piece", _alone) if count else None

    def first(self) -> Threads:
        """One of them, where only one may work."""
        return Threads(min(self.count, 1))

    def map(self, function: Callable[..., Result], *columns: Iterable[Any]) -> list[Result]:
        """Results in the order of the pieces, of which each column holds one argument. What `function` raises for the
        first piece that fails is raised when no thread works any more. `function` may not call `map` itself."""
        if self._pool is None:
            return [function(*piece) for piece in zip(*columns, strict=True)]
        gradients = torch.is_grad_enabled()  # every thread has a setting of its own

        def computed(*piece: Any) -> Result:
            with torch.set_grad_enabled(gradients):
                return function(*piece)

        futures = [self._pool.submit(computed, *piece) for piece in zip(*columns, strict=True)]
        try:
            return [future.result() for future in futures]
        finally:
            _end(futures)


CALLER = Threads(0)


def worker_threads(device: torch.device, count: int) -> Threads:
    """The threads of a bulk worker on `device`. On a CPU everything else in the process is computed by one thread as well;
    a GPU is given its work by the calling thread."""
    if device.type != "cpu":
        return CALLER
    torch.set_num_threads(1)
    return Threads(count)


def _alone() -> None:
    """OpenMP and MKL ask each thread for itself."""
    torch.set_num_threads(1)


def _end(futures: Iterable[Future[Any]]) -> None:
    wait([future for future in futures if not future.cancel()])
