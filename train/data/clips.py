"""Training clips: any global batch at any time, computed from seed and number alone.

An epoch permutes the shards, takes them in blocks of a few, and permutes the clips of each block. Where all clips fit
in memory one block is the whole corpus, decoded once; else a block's shards are held encoded and each rank decodes just
the clips of its own part. So a resumed run continues in the middle of an epoch without reading what came before.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import torch

from invertone.cluster.errors import UserError
from invertone.cluster.formats.shards import Clip, ClipInfo, ShardEntry, ShardManifest, read_shard
from invertone.cluster.formats.signals import USUAL, SignalFormat, kind_of
from invertone.cluster.storage.folder import Folder
from invertone.models.signals import Signal, Values, signal_of
from invertone.train.objective import Batch, World

RESIDENT_BYTES = 4 << 30
SHARDS_PER_BLOCK = 8
PREFETCH = 4
HELD_OUT_SHARE = 0.1


@dataclass(frozen=True)
class Part:
    """Clips `first` to `last` (exclusive) of one shard; if given, only those at `only`, counted from 0.

    elsewhere: the shard's folder, where it is another than that of the other parts; its labels are then all known.
    """

    entry: ShardEntry
    first: int
    last: int
    only: tuple[int, ...] | None = None
    elsewhere: Folder | None = None

    @property
    def count(self) -> int:
        return self.last - self.first if self.only is None else len(self.only)

    def clips(self, folder: Folder) -> list[Clip]:
        """What the shard holds of this part, still encoded."""
        folder = self.elsewhere or folder
        if self.only is None:
            return list(read_shard(folder, self.entry))[self.first : self.last]
        wanted = frozenset(self.only)
        return [clip for index, clip in enumerate(read_shard(folder, self.entry)) if index in wanted]


def split_parts(manifest: ShardManifest, splits: Sequence[str]) -> tuple[list[Part], list[Part], str]:
    """Training parts, validation parts, and where the validation clips come from.

    A corpus without a validation split gets one: the last tenth of the training clips, at most one shard (shards are in
    hash order, so any stretch is a random sample).
    """
    training = [Part(each, 0, each.count) for each in manifest.of_splits(splits)]
    if not training:
        raise UserError(
            f"shards hold no {kind_of(manifest.format)}s of split {', '.join(splits)}", fix="choose other splits"
        )
    validation = (
        [] if "validation" in splits else [Part(each, 0, each.count) for each in manifest.of_splits(["validation"])]
    )
    if validation:
        return training, validation, "validation split"
    total, last = sum(part.count for part in training), training[-1]
    held = min(max(1, int(total * HELD_OUT_SHARE)), last.count)
    if held >= total:
        return training, training, "training clips (there are too few to hold any out)"
    training[-1] = Part(last.entry, 0, last.count - held)
    validation = [Part(last.entry, last.count - held, last.count)]
    return [part for part in training if part.count], validation, "held out of the training split"


@dataclass(frozen=True)
class _Loaded:
    """A shard's clips: decoded if `samples` is there, else encoded."""

    labels: npt.NDArray[np.int64]
    encoded: list[bytes]
    samples: Values | None
    signal: Signal

    def clip(self, index: int) -> Values:
        return self.samples[index] if self.samples is not None else self.signal.decode(self.encoded[index])


class Clips:
    """Random access to the clips of some parts of shards; numbered 0 … count - 1 in the parts' order.

    labels: by key, the only labels that are known; those of shards in `folder` are then never looked at. format: of the clips,
    which tells whether they can be kept in memory.
    """

    def __init__(
        self,
        folder: Folder,
        parts: Sequence[Part],
        resident: str = "auto",
        labels: Mapping[str, int] | None = None,
        format: SignalFormat = USUAL,
    ) -> None:
        self.folder, self.parts, self.labels = folder, list(parts), labels
        self.offsets = np.cumsum([0] + [part.count for part in parts])
        self.count = int(self.offsets[-1])
        self.signal = signal_of(format)
        fits = self.count * format.bytes <= RESIDENT_BYTES
        self.resident = resident == "yes" or (resident == "auto" and fits)
        self._held: OrderedDict[int, _Loaded] = OrderedDict()
        self._limit = len(self.parts) if self.resident else 2 * SHARDS_PER_BLOCK
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(4)

    def read(self, numbers: npt.NDArray[np.int64]) -> Batch:
        """The clips of these numbers, in this order."""
        shards = np.searchsorted(self.offsets, numbers, side="right") - 1
        loaded = {int(shard): self._load(int(shard)) for shard in np.unique(shards)}
        within = numbers - self.offsets[shards]
        pairs = [(loaded[int(shard)], int(index)) for shard, index in zip(shards, within, strict=True)]
        clips = [pair[0].clip(pair[1]) for pair in pairs] if self.resident else list(self._pool.map(_decode, pairs))
        labels = np.array([each.labels[index] for each, index in pairs])
        return Batch(torch.from_numpy(self.signal.views(clips)), torch.from_numpy(labels), torch.from_numpy(numbers))

    def _load(self, shard: int) -> _Loaded:
        with self._lock:
            if shard in self._held:
                self._held.move_to_end(shard)
                return self._held[shard]
        part = self.parts[shard]
        clips = part.clips(self.folder)
        known = None if part.elsewhere is not None else self.labels
        labels = np.array([_label(clip.info, known) for clip in clips], dtype=np.int64)
        encoded = [clip.data for clip in clips]
        samples: Values | None = None
        if self.resident:
            samples = cast("Values", np.stack(list(self._pool.map(self.signal.decode, encoded))))
        held = _Loaded(labels, [] if self.resident else encoded, samples, self.signal)
        with self._lock:
            self._held[shard] = held
            while len(self._held) > self._limit:
                self._held.popitem(last=False)
        return held


def _label(info: ClipInfo, known: Mapping[str, int] | None) -> int:
    """The clip's label as far as it may be known, -1 where not."""
    label = info.label if known is None else known.get(info.key)
    return -1 if label is None else label


def _decode(pair: tuple[_Loaded, int]) -> Values:
    return pair[0].clip(pair[1])


class Order:
    """The endless sequence of clip numbers: epoch after epoch, each a permutation that `seeds` decide."""

    def __init__(self, clips: Clips, *seeds: int) -> None:
        self.clips, self.seeds = clips, seeds
        self._epoch: tuple[int, npt.NDArray[np.int64]] = (-1, np.zeros(0, np.int64))

    def numbers(self, first: int, last: int) -> npt.NDArray[np.int64]:
        """Clip numbers at positions `first` … `last` - 1 of the sequence."""
        count, pieces, at = self.clips.count, [], first
        while at < last:
            epoch, offset = divmod(at, count)
            take = min(count - offset, last - at)
            pieces.append(self._permutation(epoch)[offset : offset + take])
            at += take
        return np.concatenate(pieces)

    def _permutation(self, epoch: int) -> npt.NDArray[np.int64]:
        if self._epoch[0] != epoch:
            rng = np.random.default_rng([*self.seeds, epoch])
            offsets = self.clips.offsets
            shards = rng.permutation(len(self.clips.parts))
            size = len(shards) if self.clips.resident else SHARDS_PER_BLOCK
            blocks = [
                rng.permutation(np.concatenate([np.arange(offsets[s], offsets[s + 1]) for s in shards[at : at + size]]))
                for at in range(0, len(shards), size)
            ]
            self._epoch = (epoch, np.concatenate(blocks))
        return self._epoch[1]


class Batches:
    """The n-th global batch, this rank's part of it, a few read ahead in the background. pinned: into memory that a GPU reads
    by itself, so that the training does not wait for it."""

    def __init__(
        self, clips: Clips, batch: int, seeds: Sequence[int], world: World, first: int, pinned: bool = False
    ) -> None:
        self.clips, self.batch, self.world, self.next, self.pinned = clips, batch, world, first, pinned
        self.waited = 0.0
        self._order = Order(clips, *seeds)
        self._pool = ThreadPoolExecutor(1)
        self._ahead: dict[int, Future[Batch]] = {}

    def take(self) -> Batch:
        """The next batch. `waited` grows by the seconds that the training had nothing to do meanwhile."""
        since = time.monotonic()
        for number in range(self.next, self.next + PREFETCH):
            if number not in self._ahead:
                self._ahead[number] = self._pool.submit(self._read, number)
        batch = self._ahead.pop(self.next).result()
        self.next += 1
        self.waited += time.monotonic() - since
        return batch

    def _read(self, number: int) -> Batch:
        numbers = self._order.numbers(number * self.batch, (number + 1) * self.batch)
        per_rank = self.batch // self.world.size
        read = self.clips.read(numbers[self.world.rank * per_rank : (self.world.rank + 1) * per_rank])
        return Batch(read.signal.pin_memory(), read.label.pin_memory(), read.number) if self.pinned else read

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
