"""The clips of a shard, decoded while those before them are computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import torch
from jaxtyping import Int, Integer
from torch import Tensor

from invertone.cluster.formats.shards import Clip
from invertone.cluster.formats.signals import SignalFormat
from invertone.cluster.jobs.watch import Watch
from invertone.models.signals import UNREADABLE, Values, signal_of


@dataclass(frozen=True)
class Decoded:
    """Some clips of a shard, by their number in it. numbers: of those that have samples (of clips [b, n], of two channels
    [b, n, 2]; of pictures [b, h, w, 3]: as files have them), in order. errors: why the others have none. labels [b]: of those,
    what the inverter is told, where it is told any."""

    keys: Sequence[str]
    numbers: Sequence[int]
    samples: Integer[Tensor, "b ..."]
    errors: dict[int, str]
    labels: Int[Tensor, " b"] | None = None

    def part(self, at: int) -> Decoded:
        """The one clip that has the samples `at`."""
        labels = None if self.labels is None else self.labels[at : at + 1]
        return Decoded([self.keys[at]], [self.numbers[at]], self.samples[at : at + 1], {}, labels)


@dataclass(frozen=True)
class BatchDecoder:
    """Decodes batches by as many threads as `pool` has. pinned: into memory that a GPU reads by itself. labels: what the
    inverter is told of each clip, by number, where it is told any."""

    clips: Sequence[Clip]
    format: SignalFormat
    watch: Watch
    pool: ThreadPoolExecutor
    threads: int
    pinned: bool = False
    labels: Mapping[int, int] = field(default_factory=dict)

    def begin(self, batch: Sequence[int]) -> Callable[[], Decoded]:
        """Has the clips of these numbers decoded; what it returns waits for them."""
        shape, level = (len(batch), *self.format.shape), signal_of(self.format).dtype
        samples = torch.empty(shape, dtype=level, pin_memory=self.pinned)
        step = -(-len(batch) // self.threads)
        places = [range(first, min(first + step, len(batch))) for first in range(0, len(batch), step)]
        futures = [self.pool.submit(self._decode, batch, place, samples.numpy()) for place in places]
        return lambda: self._whole(batch, samples, futures)

    def _decode(self, batch: Sequence[int], places: range, samples: Values) -> dict[int, str]:
        errors = {}
        with self.watch.on([self.clips[batch[place]].info.key for place in places]):
            for place in places:
                found = _samples(self.clips[batch[place]], self.format)
                if isinstance(found, str):
                    errors[batch[place]] = found
                else:
                    samples[place] = found
        return errors

    def _whole(
        self, batch: Sequence[int], samples: Integer[Tensor, "b ..."], futures: Sequence[Future[dict[int, str]]]
    ) -> Decoded:
        errors = {number: reason for future in futures for number, reason in future.result().items()}
        good = [place for place, number in enumerate(batch) if number not in errors]
        numbers = [batch[place] for place in good]
        keys = [self.clips[number].info.key for number in numbers]
        labels = torch.tensor([self.labels[number] for number in numbers], dtype=torch.int64) if self.labels else None
        return Decoded(keys, numbers, samples[good] if errors else samples, errors, labels)


def ahead(decoder: BatchDecoder, batches: Sequence[Sequence[int]], depth: int) -> Iterator[Decoded]:
    """Each batch, decoded; up to `depth` batches after it are decoded meanwhile."""
    coming = [decoder.begin(batch) for batch in batches[:depth]]
    for number in range(len(batches)):
        decoded = coming.pop(0)()
        coming += [decoder.begin(batch) for batch in batches[number + depth : number + depth + 1]]
        yield decoded


def _samples(clip: Clip, wanted: SignalFormat) -> Values | str:
    try:
        samples = signal_of(wanted).decode(clip.data)
    except (*UNREADABLE, RuntimeError, ValueError) as error:
        return f"cannot be decoded: {error}"
    return samples if samples.shape == wanted.shape else f"has shape {samples.shape}, not {wanted.shape}"
