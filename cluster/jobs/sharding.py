"""What every bulk job that makes shards has in common: what a unit publishes, and the manifest made from the commits."""

from __future__ import annotations

import dataclasses
import io
import itertools
import pickle
import tempfile
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any

from invertone.cluster.formats.ledger import Ledger
from invertone.cluster.formats.runs import SUMMARY
from invertone.cluster.formats.shards import (
    MANIFEST,
    REJECTS,
    SPLITS,
    WARNINGS,
    Clip,
    Reject,
    ShardEntry,
    ShardManifest,
    Warned,
    read_rejects,
    read_warnings,
    rejects_parquet,
    warnings_parquet,
    write_shard,
)
from invertone.cluster.formats.signals import kind_of
from invertone.cluster.jobs.engine import Outcome, UnitResult
from invertone.cluster.storage.folder import Folder
from invertone.cluster.storage.layout import OURS

REJECT_PARTS = f"{OURS}/rejects"
WARNING_PARTS = f"{OURS}/warnings"
SPILL_BYTES = 32 << 20
"""What a unit's clips may take in memory before they go to a temporary file."""


class Spill:
    """The clips of a unit, by the number of what they were made of, until all are there; what is more than SPILL_BYTES of
    them lies in a temporary file. Threads may add at once."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._clips: dict[int, list[Clip | int]] = {}
        self._held, self._lock = 0, threading.Lock()
        self.count = 0

    def add(self, number: int, clips: Iterable[Clip]) -> None:
        """All clips of `number`; none if `clips` raises."""
        added = list[Clip | int]()
        try:
            for clip in clips:
                added.append(self._put(clip))
        except BaseException:
            with self._lock:
                self._held -= sum(len(each.data) for each in added if isinstance(each, Clip))
            raise
        with self._lock:
            self._clips[number] = added
            self.count += len(added)

    def clips(self) -> Iterator[Clip]:
        """In the order of their numbers."""
        for number in sorted(self._clips):
            for each in self._clips[number]:
                if isinstance(each, Clip):
                    yield each
                else:
                    assert self._file is not None, "clips without their file"
                    self._file.seek(each)
                    yield pickle.load(self._file)  # noqa: S301 (written below)

    def _put(self, clip: Clip) -> Clip | int:
        """Itself, or where in the file it lies."""
        with self._lock:
            if self._held + len(clip.data) <= SPILL_BYTES:
                self._held += len(clip.data)
                return clip
            self._file = self._file or tempfile.TemporaryFile()  # noqa: SIM115 (as long-lived as this)
            at = self._file.seek(0, io.SEEK_END)
            pickle.dump(clip, self._file, pickle.HIGHEST_PROTOCOL)
            return at


def shard_result(
    name: str,
    clips: Spill | Sequence[Clip],
    rejects: Sequence[Reject],
    clipped_samples: int,
    warnings: Sequence[Warned] = (),
    clips_per_shard: int = 0,
) -> UnitResult:
    """What the unit of the shard `name` (its split, a hyphen, its number) publishes: files as they are taken, for a unit may
    have more clips than memory should hold. clips_per_shard: at most so many in a shard (0: all in one), evenly; the second
    is `name` with -0001."""
    count = clips.count if isinstance(clips, Spill) else len(clips)
    shards = max(1, -(-count // clips_per_shard)) if clips_per_shard else 1
    sizes = [count // shards + (number < count % shards) for number in range(shards)]
    names = [f"{name}.tar", *(f"{name}-{number:04d}.tar" for number in range(1, shards))]

    def outputs() -> Iterator[tuple[str, bytes]]:
        stream = clips.clips() if isinstance(clips, Spill) else iter(clips)
        if count:
            for file, size in zip(names, sizes, strict=True):
                yield file, write_shard(itertools.islice(stream, size))
        if rejects:
            yield f"{REJECT_PARTS}/{name}.pq", rejects_parquet(rejects)
        if warnings:
            yield f"{WARNING_PARTS}/{name}.pq", warnings_parquet(warnings)

    statistics: dict[str, Any] = {"clips": count, "rejects": len(rejects), "clipped_samples": clipped_samples}
    if shards > 1:
        statistics["clips_of_shards"] = dict(zip(names, sizes, strict=True))
    return UnitResult(outputs() if isinstance(clips, Spill) else dict(outputs()), statistics)


def publish_manifest(
    folder: Folder, corpus: ShardManifest, outcome: Outcome, rejects: Sequence[Reject] = ()
) -> ShardManifest:
    """`corpus` with the shards that are committed. Writes rejects table (those of the units and the ones given),
    summary and, last, the manifest that vouches for all.
    """
    shards, rejects, warnings = list[ShardEntry](), list(rejects), list[Warned]()
    for commit in Ledger(folder).commits():
        counts = commit.statistics.get("clips_of_shards", {})
        for output in commit.outputs:
            if output.name.endswith(".tar"):
                count = counts.get(output.name, commit.statistics["clips"])
                split = output.name.partition("-")[0]
                shards.append(ShardEntry(output.name, split, count, output.bytes, output.sha256))
            elif output.name.startswith(WARNING_PARTS):
                warnings += read_warnings(folder, output.name)
            else:
                rejects += read_rejects(folder, output.name)
    shards.sort(key=lambda entry: entry.name.removesuffix(".tar"))
    manifest = dataclasses.replace(corpus, shards=tuple(shards), rejects=len(rejects))
    of_splits = {split: manifest.count(split) for split in SPLITS}
    totals = {"clips": manifest.count(), **of_splits, "rejects": len(rejects), "warnings": len(warnings)}
    totals |= {"shards": len(shards)}
    folder.publish_bytes(REJECTS, rejects_parquet(rejects))
    folder.publish_bytes(WARNINGS, warnings_parquet(warnings))
    folder.publish_json(SUMMARY, outcome.summary() | totals)
    folder.publish_json(MANIFEST, manifest.to_json())
    return manifest


def shard_lines(folder: Folder, manifest: ShardManifest, inputs: str) -> list[str]:
    """What a job says at its end: how many clips or pictures in which splits, and why how many `inputs` did not become any."""
    splits = ", ".join(f"{manifest.count(split):,} {split}" for split in SPLITS if manifest.count(split))
    made = "clips" if kind_of(manifest.format) == "clip" else "pictures"
    size = megabytes(sum(each.bytes for each in manifest.shards))
    lines = [f"{manifest.count():,} {made} ({splits}) in {len(manifest.shards):,} shards, {size}: {folder.uri}"]
    if manifest.rejects:
        where = folder.path_of(REJECTS)
        lines.append(f"{manifest.rejects:,} {inputs} did not become {made}, listed with reasons in {where}:")
        reasons = Counter(each.reason.split(":")[0] for each in read_rejects(folder))  # without their particulars
        lines += [f"  {count:6,}  {reason}" for reason, count in reasons.most_common(20)]
    warnings = Counter(each.warning for each in read_warnings(folder))
    if warnings:
        lines.append(f"{warnings.total():,} warnings of {inputs} that did, listed in {folder.path_of(WARNINGS)}:")
        lines += [f"  {count:6,}  {warning}" for warning, count in warnings.most_common(20)]
    return lines


def megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
