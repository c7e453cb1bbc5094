"""What the loop keeps count of while it runs: data and the wait for it, time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from invertone.cluster.formats.trainings import Speed
from invertone.train.data.clips import Batches


@dataclass(frozen=True)
class Sources:
    """Where batches come from: all training clips, and those whose labels may be known."""

    real: Batches
    guided: Batches | None

    @property
    def waited(self) -> float:
        """Seconds that the training has waited for data."""
        return self.real.waited + (self.guided.waited if self.guided is not None else 0.0)

    def close(self) -> None:
        self.real.close()
        if self.guided is not None:
            self.guided.close()


@dataclass
class Stopwatch:
    """Times this process, checkpoints and validations left out, and its first step, which also warms up."""

    sources: Sources
    steps: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    warm: bool = False

    @contextmanager
    def step(self) -> Iterator[None]:
        since, waited = time.monotonic(), self.sources.waited
        yield
        if self.warm:
            self.steps += 1
            self.seconds += time.monotonic() - since
            self.waited += self.sources.waited - waited
        self.warm = True

    def speed(self) -> Speed:
        seconds = max(self.seconds, 1e-9)
        return Speed(self.steps, self.seconds, self.steps / seconds, self.waited / seconds)
