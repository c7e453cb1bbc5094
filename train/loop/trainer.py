"""One loop for every objective. It knows phases, losses and weights; nothing of WaveGAN, classifiers or Ray."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor

from invertone.cluster.formats.trainings import VALIDATION
from invertone.models.device import precision
from invertone.models.networks.batch_norm import statistics_of
from invertone.models.prior import seeded
from invertone.train.data.clips import Batches, Clips
from invertone.train.loop import reduce
from invertone.train.loop.losses import Losses, NonFiniteLossError
from invertone.train.loop.meters import Sources, Stopwatch
from invertone.train.loop.record import Record
from invertone.train.loop.state import TrainingState
from invertone.train.objective import Batch, Draw, Objective, Phase, World
from invertone.train.schemas.shared import TrainConfig

VALIDATION_BATCH = 64
STANDING_CALLS = 16
GUIDED = 1
"""Seeds the order of guided batches apart from that of the others."""
Report = Callable[[int, Mapping[str, float]], None]


class Trainer:
    """Runs `objective` from its newest checkpoint to `config.steps`."""

    def __init__(
        self,
        objective: Objective,
        config: TrainConfig,
        state: TrainingState,
        training: Clips,
        validation: Clips,
        guided: Clips | None,
        world: World,
        device: torch.device,
        report: Report,
    ) -> None:
        self.objective, self.config, self.state = objective, config, state
        self.training, self.validation, self.guided = training, validation, guided
        self.world, self.device, self.report = world, device, report
        self.precision = precision(config.precision, device)
        assert guided is not None or not any(phase.guided_batches for phase in objective.phases)
        self.base_rates = {name: [g["lr"] for g in opt.param_groups] for name, opt in objective.optimisers.items()}

    def run(self) -> int:
        """Trains and returns the last step. Rank 0 writes; all ranks compute."""
        config = self.config
        for network in (*self.objective.networks.values(), *self.objective.frozen.values()):
            network.to(self.device)
        reduce.broadcast(self.objective.networks.values())
        first = self.state.restore(self.device)
        record = Record(self.state.folder, first) if self.world.rank == 0 else None
        sources = self._sources(first)
        losses, stopwatch = Losses(), Stopwatch(sources)
        for step in range(first + 1, config.steps + 1):
            self._set_rates(step)
            logs = step % config.log_every == 0 or step == config.steps
            saves = step % config.checkpoint_every == 0 or step == config.steps
            with stopwatch.step():
                self.step(step, sources, losses)
                if logs or saves or losses.due:
                    losses.read()  # here, where the wait for a GPU counts as time of its steps
            if logs:
                self._log(step, losses.take(), record)
            if saves:
                self._checkpoint(step, record)
                if record is not None:
                    stopwatch.speed().publish(self.state.folder)
        sources.close()
        if record is not None:
            record.close()
        return max(first, config.steps)

    def _sources(self, first: int) -> Sources:
        """Batches from where a run stands that has done `first` steps."""
        config, pinned = self.config, self.device.type == "cuda"
        guided = None
        phases = self.objective.phases
        if self.guided is not None and any(phase.guided_batches for phase in phases):
            at = sum(phase.steps_within(first) * phase.repeats * phase.guided_batches for phase in phases)
            guided = Batches(self.guided, self._guided_batch(), (config.seed, GUIDED), self.world, at, pinned)
        at = sum(phase.steps_within(first) * phase.repeats * phase.real_batches for phase in phases)
        return Sources(Batches(self.training, config.batch, (config.seed,), self.world, at, pinned), guided)

    def step(self, step: int, sources: Sources, losses: Losses) -> None:
        """One update of everything: each phase that is active, as often as it says. Nothing here waits for the device."""
        guided = sources.guided
        for phase in (each for each in self.objective.phases if each.active(step)):
            for repeat in range(phase.repeats):
                draw = Draw(
                    real=lambda: self._on_device(sources.real.take()),
                    batch=self.config.batch,
                    world=self.world,
                    device=self.device,
                    rng=seeded(self.config.seed, step, phase.name, repeat),
                    step=step,
                    guided=None if guided is None else lambda: self._on_device(guided.take()),
                )
                losses.add(step, phase.name, self._update(phase, draw))
        for average in self.objective.averages:
            average.update(step)

    def _update(self, phase: Phase, draw: Draw) -> Mapping[str, Tensor]:
        """Losses, backward, reduce, move. Returns the terms."""
        for name, network in self.objective.networks.items():
            network.requires_grad_(name in phase.moves)
            network.train(name in phase.moves or name in phase.batch_statistics)
        with self.precision():
            terms = phase.losses(draw)
        counted = [phase.weights.get(name, 1.0) * term for name, term in terms.items() if name not in phase.monitors]
        optimisers = [self.objective.optimisers[name] for name in phase.moves]
        for optimiser in optimisers:
            optimiser.zero_grad(set_to_none=True)
        torch.stack(counted).sum().backward()
        reduce.average_gradients(p for name in phase.moves for p in self.objective.networks[name].parameters())
        for optimiser in optimisers:
            optimiser.step()
        return terms

    def _on_device(self, batch: Batch) -> Batch:
        waveform, label = (each.to(self.device, non_blocking=True) for each in (batch.signal, batch.label))
        return Batch(waveform, label, batch.number)

    def _set_rates(self, step: int) -> None:
        scale = self.objective.learning_rate(step)
        for name, optimiser in self.objective.optimisers.items():
            for group, base in zip(optimiser.param_groups, self.base_rates[name], strict=True):
                group["lr"] = base * scale

    def _log(self, step: int, values: dict[str, float], record: Record | None) -> None:
        if record is not None:
            record.add(step, values)
            self.report(step, values)

    def _checkpoint(self, step: int, record: Record | None) -> None:
        self._refuse_diverged(step)
        self._settle(step)
        metrics = self.validate()
        if record is None:
            return
        if metrics:
            named = {f"{VALIDATION}/{name}": value for name, value in metrics.items()}
            record.add(step, named)
            self.report(step, named)
        if self.config.samples:
            count = min(self.config.samples, self.validation.count)
            real = self._on_device(self.validation.read(np.arange(count)))
            with torch.no_grad():
                record.samples(step, self.objective.samples(real), self.state.format)
        record.flush()
        self.state.save(step, metrics, self.config.keep_checkpoints)

    @torch.no_grad()
    def _refuse_diverged(self, step: int) -> None:
        """Raises NonFiniteLossError on every rank alike where weights are NaN or infinite: the last update may have made them
        so, of losses that were finite still."""
        names = list(self.objective.networks)
        wrong = [
            torch.stack(
                [~value.isfinite().all() for value in self.objective.networks[name].state_dict().values()]
            ).any()
            for name in names
        ]
        for name, count in zip(names, reduce.total(torch.stack(wrong).double()).tolist(), strict=True):
            if count:
                raise NonFiniteLossError(f"weights of {name} became NaN or infinite by step {step}")

    @torch.no_grad()
    def _settle(self, step: int) -> None:
        """Standing statistics of the averaged networks, from training clips in the order of their numbers."""
        if not self.objective.averages:
            return
        batch, count, guided_batch = self.config.batch, self.training.count, self._guided_batch()
        with statistics_of([average.copy for average in self.objective.averages], momentum=None):
            for call in range(min(STANDING_CALLS, -(-count // batch))):
                draw = Draw(
                    real=partial(self._nth, self.training, batch, call),
                    batch=batch,
                    world=self.world,
                    device=self.device,
                    rng=seeded(self.config.seed, step, "standing", call),
                    step=step,
                    guided=None if self.guided is None else partial(self._nth, self.guided, guided_batch, call),
                )
                with self.precision():
                    self.objective.settle(draw)

    def _nth(self, clips: Clips, batch: int, number: int) -> Batch:
        """This rank's part of a batch of clips in the order of their numbers."""
        numbers = torch.arange(number * batch, (number + 1) * batch) % clips.count
        return self._on_device(clips.read(self.world.part(numbers).numpy()))

    def _guided_batch(self) -> int:
        return getattr(self.config, "guided_batch", None) or self.config.batch

    def validate(self) -> dict[str, float]:
        """Metrics over the validation clips, each rank taking its share."""
        for network in self.objective.networks.values():
            network.eval()
        count = min(self.validation.count, self.config.validation_clips)
        totals: dict[str, Tensor] = {}
        with torch.no_grad():
            # Every rank makes equally many calls, so that a rank without clips still joins the sums below.
            for first in range(0, count, VALIDATION_BATCH * self.world.size):
                mine = np.arange(first, min(first + VALIDATION_BATCH * self.world.size, count))[
                    self.world.rank :: self.world.size
                ]
                if len(mine) == 0:
                    continue
                for name, value in self.objective.validate(self._on_device(self.validation.read(mine))).items():
                    value = value.double()
                    totals[name] = totals[name] + value if name in totals else value
        totals = {name: reduce.total(value) for name, value in self._agreed(totals).items()}
        return dict(self.objective.finish(totals, count)) if totals else {}

    def _agreed(self, totals: dict[str, Tensor]) -> dict[str, Tensor]:
        """Ranks that had no validation clip take part with zeros: sums need every rank's message."""
        if self.world.size == 1 or totals:
            return totals
        shapes = self.objective.validate(self._on_device(self.validation.read(np.arange(1))))
        return {name: torch.zeros_like(value.double()) for name, value in shapes.items()}
