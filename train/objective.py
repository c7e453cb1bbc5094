"""An objective is data: phases say what moves, by which losses, with which weights, how often. The loop knows no more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from models.prior import Prior


@dataclass(frozen=True)
class Batch:
    """waveform [b, n] of full scale ±1; label [b], -1 where a clip has none; number [b], the clip's place in its source."""

    waveform: Float[Tensor, "b n"]
    label: Int[Tensor, " b"]
    number: Int[Tensor, " b"]


@dataclass(frozen=True)
class World:
    """Which part of every global batch this process computes."""

    rank: int = 0
    size: int = 1

    def part(self, tensor: Tensor) -> Tensor:
        """This rank's rows of a global batch."""
        per_rank = len(tensor) // self.size
        return tensor[self.rank * per_rank : (self.rank + 1) * per_rank]


@dataclass
class Draw:
    """What one repeat of one phase may draw. Everything depends on seed, step, phase and repeat alone: a resumed run and
    a run on more workers see the same global batches."""

    real: Callable[[], Batch]
    batch: int
    world: World
    device: torch.device
    rng: torch.Generator
    step: int

    def latents(self, prior: Prior, size: int) -> Float[Tensor, "b z"]:
        """This rank's part of a global batch of latents."""
        return self.world.part(prior.sample(self.batch, size, self.rng)).to(self.device)

    def uniform(self, *shape: int) -> Tensor:
        """This rank's part of uniform numbers in [0, 1); `shape` follows the batch dimension."""
        return self.world.part(torch.rand(self.batch, *shape, generator=self.rng)).to(self.device)


Losses = Callable[[Draw], Mapping[str, Tensor]]


@dataclass(frozen=True)
class Phase:
    """One kind of update: `losses` returns named scalar terms; the sum of weight × term moves the networks `moves`.

    A term without an entry in `weights` counts once. Terms named in `monitors` are logged and never counted.
    `real_batches` is how many batches of real clips one repeat takes.
    """

    name: str
    moves: tuple[str, ...]
    losses: Losses
    weights: Mapping[str, float] = field(default_factory=dict)
    repeats: int = 1
    real_batches: int = 0
    monitors: tuple[str, ...] = ()


@runtime_checkable
class Objective(Protocol):
    """What the loop needs of a model under training.

    networks: trained, saved in checkpoints. frozen: used, never saved. optimisers: by network name. better: the name of
    the validation metric that picks the best checkpoint and its sign (+1: larger is better); None if there is none.
    """

    kind: str

    @property
    def phases(self) -> Sequence[Phase]: ...

    @property
    def networks(self) -> Mapping[str, nn.Module]: ...

    @property
    def frozen(self) -> Mapping[str, nn.Module]: ...

    @property
    def optimisers(self) -> Mapping[str, torch.optim.Optimizer]: ...

    @property
    def better(self) -> tuple[str, int] | None: ...

    def learning_rate(self, step: int) -> float:
        """Multiplier of every optimiser's base rate at `step`."""
        ...

    def validate(self, batch: Batch) -> Mapping[str, Tensor]:
        """Sums over the batch (not means), by name; `finish` turns the totals into metrics. [] or [k] tensors."""
        ...

    def finish(self, totals: Mapping[str, Tensor], count: int) -> Mapping[str, float]:
        """Metrics from the sums over all validation clips of all ranks."""
        ...

    def samples(self, real: Batch) -> Mapping[str, Tensor]:
        """Clips [n] to listen to, by file name."""
        ...

    def manifest(self) -> Mapping[str, Any]:
        """What a checkpoint's manifest says besides the networks: front_end, prior."""
        ...
