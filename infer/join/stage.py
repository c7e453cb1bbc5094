"""What a worker does with a unit of ingest: read its tables, put its recordings together, write their rows and sounds."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from invertone.cluster.errors import UserError
from invertone.cluster.formats.latents import table_bytes
from invertone.cluster.formats.ledger import LIMIT, Output
from invertone.cluster.formats.recordings import (
    RECORDINGS,
    Missing,
    Recording,
    missing_table,
    recordings_in,
    recordings_schema,
    recordings_table,
    rows_of,
    rows_without,
)
from invertone.cluster.formats.shards import entry_of, read_shard
from invertone.cluster.formats.signals import ClipFormat
from invertone.cluster.jobs.engine import UnitResult
from invertone.cluster.jobs.watch import Watch
from invertone.cluster.storage.folder import Folder
from invertone.cluster.storage.layout import OURS, laid_out
from invertone.infer.join.config import JoinConfig
from invertone.infer.join.sounds import SoundWriter, windows_of

MISSING_PARTS = f"{OURS}/missing"


@dataclass(frozen=True)
class Source:
    """What is joined. vectors: columns with a vector per window, and their sizes. about: what made the rows. clips: what
    the shards' are."""

    latents: str
    shards: str
    vectors: Mapping[str, int]
    about: Mapping[str, Any]
    clips: ClipFormat


@dataclass(frozen=True)
class JoinStage:
    """Picklable. A unit's work is its `name` and its `pieces` in order: for each shard the `part` (a committed file of
    latents), or `shard` and `reason` where there is none."""

    folder: Folder
    config: JoinConfig
    source: Source

    def open(self, threads: int, watch: Watch) -> Callable[[Mapping[str, Any]], UnitResult]:
        latents, shards = laid_out(Folder.at(self.source.latents)), Folder.at(self.source.shards)

        def process(work: Mapping[str, Any]) -> UnitResult:
            unit = _Unit(self, latents, shards, watch, work)
            return UnitResult(unit.outputs(), unit.statistics, unit.failed)

        return process


@dataclass
class _Unit:
    """One unit at work. `statistics` and `failed` are whole once its outputs are made."""

    stage: JoinStage
    latents: Folder
    shards: Folder
    watch: Watch
    work: Mapping[str, Any]
    statistics: dict[str, Any] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def outputs(self) -> Iterator[tuple[str, bytes | Path]]:
        """Sounds first: what of them is missing stands in the tables."""
        source, lost, files = self.stage.source, list[Missing](), dict[str, str]()
        recordings = list(recordings_in(self._tables(lost), list(source.vectors)))
        self.failed |= {each.key: reason for each in recordings if (reason := self.watch.excluded.get(each.key))}
        good = [each for each in recordings if each.key not in self.failed]
        lost += [gap for each in recordings for gap in each.missing]
        seconds = 0.0
        if self.stage.config.sounds:
            for name, path, each in self._sounds(good, lost):
                yield name, path
                files[each.key] = name
                seconds += (each.samples - each.begin) / source.clips.sample_rate
        self.statistics |= {
            "recordings": len(good),
            "windows": sum(len(each.starts) for each in good),
            "missing": sum(each.lacks == "latent" for each in lost),
            "silent": sum(each.lacks == "sound" for each in lost),
            "failed": len(self.failed),
            "sounds": len(files),
            "seconds": seconds,
        }
        schema = recordings_schema(source.vectors, source.about)
        table = recordings_table(recordings, schema, files, self.failed)
        yield f"{RECORDINGS}/{self.work['name']}.parquet", table_bytes(table)
        if lost:
            lost.sort(key=lambda each: (each.recording or "", each.start or 0))
            yield f"{MISSING_PARTS}/{self.work['name']}.pq", table_bytes(missing_table(lost))

    def _tables(self, lost: list[Missing]) -> Iterator[pa.Table]:
        """The rows of each piece, one piece at a time, no more rows than the unit's limit. A shard that cannot be read is put
        into `lost`."""
        left = self.work.get(LIMIT)
        for piece in self.work["pieces"]:
            self.watch.beat()
            table = self._rows(piece, lost)
            if left is not None:
                table, left = table.slice(0, left), left - min(left, len(table))
            yield table

    def _rows(self, piece: Mapping[str, Any], lost: list[Missing]) -> pa.Table:
        vectors = self.stage.source.vectors
        if piece.get("part"):
            return rows_of(self.latents, Output(**piece["part"]), vectors)
        entry, limit = entry_of(piece["shard"])
        try:
            return rows_without(read_shard(self.shards, entry, limit), piece["reason"], vectors)
        except UserError as error:
            what = f"{limit or entry.count:,} windows of {entry.name}: {piece['reason']}; of the shard: {error.what}"
            lost.append(Missing(None, None, None, None, what))
            return rows_without([], "", vectors)

    def _sounds(self, recordings: Sequence[Recording], lost: list[Missing]) -> Iterator[tuple[str, Path, Recording]]:
        """Name in the run folder, finished file and recording, of each that has a window with sound."""
        source, config = self.stage.source, self.stage.config
        by_key = {each.key: each for each in recordings}
        parts = [Output(**piece["part"]) for piece in self.work["pieces"] if piece.get("part")]
        with tempfile.TemporaryDirectory(prefix="invertone-join-") as temporary:
            writer = SoundWriter(self.stage.folder, Path(temporary), config, source.clips)
            for key, windows in windows_of(self.latents, parts, self.work.get(LIMIT)):
                if key in by_key:
                    with self.watch.on([key]):
                        name, path = writer.written(by_key[key], windows, lost, self.watch.beat)
                    yield name, path, by_key[key]
