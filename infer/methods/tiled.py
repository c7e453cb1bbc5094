"""Inverters whose networks always see batches of one shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from invertone.infer.methods.method import Inversion, Inverter, joined
from invertone.infer.threads import CALLER, Threads
from invertone.infer.tiles import tiles


@dataclass(frozen=True)
class Tiled:
    """An inverter that is always called with `size` clips, the last call filled up with zeros; `threads` share the calls.

    Kernels choose their order of summation by the shape of the batch. With one shape for all, a clip's latent is the same
    to the bit whatever clips come with it; otherwise an optimiser, which divides small gradients by themselves, blows up
    1e-7 to 1e-1 (measured on spoken digits with Adam: 1 clip of 24 after 20 steps, 5 after 100).
    """

    inverter: Inverter
    size: int
    threads: Threads = CALLER

    def __call__(self, target: Float[Tensor, "b ..."], keys: Sequence[str]) -> Inversion:
        names = [*keys, *[""] * (-len(target) % self.size)]
        parts = tiles(target, self.size)
        own = [names[first : first + self.size] for first in range(0, len(names), self.size)]
        return joined(self.threads.map(self.inverter, parts, own)).first(len(target))
