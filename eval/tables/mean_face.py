"""The mean of many pictures: what stands for a reconstruction that knows what pictures are like, and nothing of this one.

A unit adds up the pixels of a shard as whole numbers, so that however shards are cut the mean is the same to the bit.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from invertone.cluster.formats.ledger import Ledger, Unit
from invertone.cluster.formats.shards import ShardManifest, entry_of, read_shard
from invertone.cluster.jobs.driver import Driver, driving
from invertone.cluster.jobs.engine import UnitResult, run_units
from invertone.cluster.jobs.watch import Watch
from invertone.cluster.storage.folder import Folder
from invertone.eval.measures.estimates import Array
from invertone.eval.schemas.shared import EvalConfig
from invertone.images.picture import Pixels, encode
from invertone.images.reading import decode

FOLDER, PICTURE = "mean-face", "mean-face.png"
TRAIN = "train"


def splits_of_mean(manifest: ShardManifest) -> list[str]:
    """Of which splits the mean is: of the training one, or of all where there is none (an empty list)."""
    return [TRAIN] if manifest.of_splits([TRAIN]) else []


def mean_face(driver: Driver, name: str, shards: str, manifest: ShardManifest, config: EvalConfig) -> Pixels:
    """The mean over the pictures of `splits_of_mean`, rounded, which is published in the run folder too. Its sums are a run of
    their own within the folder, so that a table that is made again finds them."""
    folder = driver.term.folder
    units = [
        Unit(entry.name.removesuffix(".tar"), dataclasses.asdict(entry), items=entry.count)
        for entry in manifest.of_splits(splits_of_mean(manifest))
    ]
    with driving(folder / FOLDER) as own:
        run_units(own, MeanStage(shards), units, what=f"{name}: mean face", items="pictures", settings=config)
        total, count = np.zeros(manifest.format.shape, np.int64), 0
        for commit in Ledger(own.term.folder).commits():
            (output,) = commit.outputs
            data = own.term.folder.read_verified(
                output.name, output.bytes, output.sha256, "make the table with a new out"
            )
            with np.load(io.BytesIO(data), allow_pickle=False) as held:
                total, count = total + held["total"], count + int(held["count"])
    driver.check()
    pixels = rounded(total, count)
    folder.publish_bytes(PICTURE, encode(pixels))
    return pixels


def rounded(total: Int[Array, "h w 3"], count: int) -> Pixels:
    """The mean of `count` pictures whose pixels add up to `total`, a half being rounded up; grey of none."""
    if not count:
        return np.full(total.shape, 128, np.uint8)
    return ((2 * total + count) // (2 * count)).astype(np.uint8)


@dataclass(frozen=True)
class MeanStage:
    """Picklable. Writes the sums of one shard."""

    shards: str

    def open(self, threads: int, watch: Watch) -> Callable[[Mapping[str, Any]], UnitResult]:
        shards = Folder.at(self.shards)

        def process(work: Mapping[str, Any]) -> UnitResult:
            total: Any = 0
            count = 0
            clips = read_shard(shards, *entry_of(work))
            for batch in watch.batches(list(clips), 64, lambda clip: clip.info.key):
                with watch.on([clip.info.key for clip in batch]):
                    total = total + np.sum([decode(clip.data) for clip in batch], axis=0, dtype=np.int64)
                count += len(batch)
            buffer = io.BytesIO()
            np.savez(buffer, total=total, count=np.int64(count))
            return UnitResult({f"{work['name']}.npz": buffer.getvalue()})

        return process
