"""An objective is data: phases say what moves, by which losses, with which weights, how often. The loop knows no more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from invertone.models.prior import Prior


@dataclass(frozen=True)
class Batch:
    """signal: waveforms [b, n], of two channels [b, 2, n], pictures [b, 3, h, w], of full scale ±1; label [b], -1 where one has
    none; number [b], its place in its source."""

    signal: Float[Tensor, "b ..."]
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
    guided: Callable[[], Batch] | None = None
    """The next batch of clips whose labels may be known; there is one where the objective asks for guided batches."""

    def latents(self, prior: Prior, size: int) -> Float[Tensor, "b z"]:
        """This rank's part of a global batch of latents."""
        return self.sent(self.world.part(prior.sample(self.batch, size, self.rng)))

    def labels(self, classes: int) -> Int[Tensor, " b"]:
        """This rank's part of a global batch of labels, all equally likely."""
        return self.sent(self.world.part(torch.randint(classes, (self.batch,), generator=self.rng)))

    def uniform(self, *shape: int) -> Tensor:
        """This rank's part of uniform numbers in [0, 1); `shape` follows the batch dimension."""
        return self.sent(self.world.part(torch.rand(self.batch, *shape, generator=self.rng)))

    def sent(self, drawn: Tensor) -> Tensor:
        """What was drawn on the host, on the device. From pinned memory a GPU takes it without anyone waiting for it."""
        if self.device.type == "cuda":
            drawn = drawn.pin_memory()
        return drawn.to(self.device, non_blocking=True)


Losses = Callable[[Draw], Mapping[str, Tensor]]


@dataclass(frozen=True)
class Phase:
    """One kind of update: `losses` returns named scalar terms; the sum of weight × term moves the networks `moves`.

    A term without an entry in `weights` counts once. Terms named in `monitors` are logged and never counted.
    `real_batches` and `guided_batches` are how many batches of either kind one repeat takes. Networks in `batch_statistics`
    do not move, but normalise by the batch, as those that move do. It begins after `since` steps and ends with step `until`
    (none: with the training). Between these, phases that take turns have stretches of `turn_steps` steps each: of every
    `turns` stretches it takes part in number `turn`, counted from 0.
    """

    name: str
    moves: tuple[str, ...]
    losses: Losses
    weights: Mapping[str, float] = field(default_factory=dict)
    repeats: int = 1
    real_batches: int = 0
    guided_batches: int = 0
    batch_statistics: tuple[str, ...] = ()
    monitors: tuple[str, ...] = ()
    since: int = 0
    until: int | None = None
    turns: int = 1
    turn: int = 0
    turn_steps: int = 1

    def steps_within(self, steps: int) -> int:
        """In how many of the first `steps` steps it takes part."""
        under_way = max(0, (steps if self.until is None else min(steps, self.until)) - self.since)
        rounds, rest = divmod(under_way, self.turns * self.turn_steps)
        return rounds * self.turn_steps + min(max(0, rest - self.turn * self.turn_steps), self.turn_steps)

    def active(self, step: int) -> bool:
        """Whether it is part of step `step`, counted from 1."""
        return self.steps_within(step) > self.steps_within(step - 1)


@dataclass(frozen=True)
class Average:
    """An exponential moving average of a network's weights after every step (Polyak; `decay` 0.9999 as in BigGAN). Early it
    follows faster, so that the initial weights are soon forgotten: decay is at most (1 + step) / (10 + step)."""

    source: nn.Module
    copy: nn.Module
    decay: float

    @torch.no_grad()
    def update(self, step: int) -> None:
        share = 1.0 - min(self.decay, (1 + step) / (10 + step))
        followed = dict(self.source.named_parameters()) | {
            name: each for name, each in self.source.named_buffers() if "running" in name
        }
        theirs = self.source.state_dict()
        for name, mine in self.copy.state_dict().items():
            if name in followed:
                mine.lerp_(theirs[name], share)
            else:
                mine.copy_(theirs[name])


@runtime_checkable
class Objective(Protocol):
    """What the loop needs of a model under training.

    networks: trained, saved in checkpoints. frozen: used, never saved. optimisers: by network name. averages: moving averages
    of networks, which are networks themselves. better: the name of the validation metric that picks the best checkpoint and
    its sign (+1: larger is better); None if there is none.
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
    def averages(self) -> Sequence[Average]: ...

    @property
    def better(self) -> tuple[str, int] | None: ...

    def learning_rate(self, step: int) -> float:
        """Multiplier of every optimiser's base rate at `step`."""
        ...

    def settle(self, draw: Draw) -> None:
        """Calls the averaged networks as they are called in use: before a checkpoint their batch norms take the mean of
        what they see in some such calls, because averaged weights have statistics that no training step saw."""
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
