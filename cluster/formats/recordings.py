"""Recordings again: rows of an inference run over windows, put together by recording, in the order of time.

What is relied on, and checked: a unit of `ingest window=all` holds whole recordings, publishes their windows one after the
other in the order of time, and names its shards UNIT.tar, UNIT-0001.tar, …; inference keeps shards, names and order. So the
Parquet files of one unit hold all windows of its recordings, and one file at a time is read.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float32, Int32, Int64

from invertone.cluster.errors import UserError
from invertone.cluster.formats import latents
from invertone.cluster.formats.latents import ERROR, LOGITS, METADATA_KEY, OK, read_columns
from invertone.cluster.formats.ledger import Output
from invertone.cluster.formats.shards import Clip, recording_of
from invertone.cluster.storage.folder import Folder
from invertone.cluster.storage.parquet import parquet_schema

VERSION = 1
RECORDINGS = "recordings"
"""Folder of the tables in a run folder of `join`."""
WINDOW = pa.schema([*latents.DESCRIBED, *latents.PLACE, *latents.ENDED])
"""What is read of each window besides its vectors."""
LATENT, SOUND = "latent", "sound"
"""What a window may lack; without a latent it has no sound either."""
MISSING_SCHEMA = pa.schema(
    [
        ("recording", pa.string()),
        ("key", pa.string()),
        ("start", pa.int64()),
        ("length", pa.int32()),
        ("lacks", pa.string()),
        ("reason", pa.string()),
    ]
)
_UNIT = re.compile(r"(.+?-\d{6,})(?:-(\d{4,}))?")
_SHARED = ("label", "label_name", "speaker", "split", "source_uri")


@dataclass(frozen=True)
class Missing:
    """A window that is not in the sequence (lacks latent), or not in the sound (lacks sound), and why. Where not even a
    shard's list of windows could be read, key and start are None."""

    recording: str | None
    key: str | None
    start: int | None
    length: int | None
    reason: str
    lacks: str = LATENT


@dataclass(frozen=True, eq=False)
class Recording:
    """One recording: what is known of it, and its windows in the order of time; unpacks as key, starts, latents.

    starts, lengths: first sample and samples without padding of each window that has a latent, at the shards' rate; latents
    [windows, z]; vectors: other columns with a vector per window, [windows, size] by name, as those of `infer gaae`. missing:
    windows that have none. windowed: whether it was cut by `window=all`; else it is one clip, wherever that begins.
    """

    key: str
    label: int | None
    label_name: str | None
    speaker: str | None
    split: str | None
    source_uri: str | None
    starts: Int64[np.ndarray, " w"]
    lengths: Int32[np.ndarray, " w"]
    latents: Float32[np.ndarray, "w z"]
    vectors: Mapping[str, Float32[np.ndarray, "w d"]] = field(default_factory=dict)
    missing: tuple[Missing, ...] = ()
    windowed: bool = True

    def __iter__(self) -> Iterator[Any]:
        """Key, starts, latents."""
        return iter((self.key, self.starts, self.latents))

    @property
    def begin(self) -> int:
        """The recording's sample where its sound begins: 0, but for a clip that was taken from its middle."""
        if self.windowed:
            return 0
        return min([*self.starts.tolist(), *(each.start or 0 for each in self.missing)])

    @property
    def samples(self) -> int:
        """Where the last window ends, without padding: the recording's length, unless its end was left out of all windows."""
        ends = [(each.start or 0) + (each.length or 0) for each in self.missing]
        return max([*(self.starts + self.lengths).tolist(), *ends])


def by_unit(names: Iterable[str]) -> dict[str, list[str]]:
    """Names of shards or of their tables, without extension, by the unit of ingest that they are of, in its order."""
    numbered: dict[str, list[tuple[int, str]]] = {}
    for name in names:
        match = _UNIT.fullmatch(name)
        unit, number = (match[1], int(match[2] or 0)) if match else (name, 0)
        numbered.setdefault(unit, []).append((number, name))
    return {unit: [name for _, name in sorted(numbered[unit])] for unit in sorted(numbered)}


def vectors_of(folder: Folder, part: Output) -> dict[str, int]:
    """The columns of a table of latents that hold a vector per clip, with their sizes; the latent is the first."""
    with folder.open(part.name) as file:
        schema = parquet_schema(file)
    found = {each.name: each.type.list_size for each in schema if pa.types.is_fixed_size_list(each.type)}
    if LATENT not in found or "start" not in schema.names:
        raise UserError("no latents of clips", where=folder.path_of(part.name), fix="give the out of an infer run")
    return {name: size for name, size in found.items() if name not in LOGITS}


def rows_of(folder: Folder, part: Output, vectors: Iterable[str]) -> pa.Table:
    """The rows of one file, without their sound. Raises UserError where it is damaged."""
    return read_columns(folder, part, [*WINDOW.names, *vectors])


def rows_without(clips: Iterable[Clip], reason: str, vectors: Mapping[str, int]) -> pa.Table:
    """Rows as of `rows_of` for clips of a shard that has no table."""
    rows = [{**vars(clip.info), "status": ERROR, "error": reason} for clip in clips]
    table = pa.Table.from_pylist([{name: row.get(name) for name in WINDOW.names} for row in rows], WINDOW)
    for name, size in vectors.items():
        table = table.append_column(name, pa.nulls(len(table), pa.list_(pa.float32(), size)))
    return table


def recordings_in(tables: Iterable[pa.Table], vectors: Sequence[str]) -> Iterator[Recording]:
    """The recordings whose windows the rows of one unit's tables are, in order; memory holds one of them and a table.

    Raises UserError where windows of a recording do not lie together, or not in the order of time.
    """
    seen, parts, current = set[str](), list[pa.Table](), ("", False)
    for table in tables:
        keys = [recording_of(key) for key in table["key"].to_pylist()]
        at = 0
        for recording, own in itertools.groupby(keys):
            count = len(list(own))
            if recording != current and parts:
                yield _recording(*current, parts, vectors)
                parts = []
            if not parts:
                if recording[0] in seen:
                    raise _torn(recording[0], "do not lie together")
                seen.add(recording[0])
            parts.append(table.slice(at, count))
            current, at = recording, at + count
    if parts:
        yield _recording(*current, parts, vectors)


def _recording(key: str, windowed: bool, parts: Sequence[pa.Table], vectors: Sequence[str]) -> Recording:
    starts = np.concatenate([part["start"].to_numpy() for part in parts])
    if (np.diff(starts) <= 0).any():
        raise _torn(key, "are not in the order of time")
    good = np.concatenate([pc.equal(part["status"], OK).to_numpy() for part in parts])
    lengths = np.concatenate([part["length"].to_numpy() for part in parts])
    failed = [part.filter(pc.not_equal(part["status"], OK)) for part in parts]
    lost = [row for part in failed for row in part.select(["key", "start", "length", "error"]).to_pylist()]
    found = {name: np.concatenate([_matrix(part, name) for part in parts]) for name in vectors}
    shared: dict[str, Any] = {name: parts[0][name][0].as_py() for name in _SHARED}
    return Recording(
        key,
        **shared,
        starts=starts[good],
        lengths=lengths[good],
        latents=found.pop(LATENT),
        vectors=found,
        missing=tuple(Missing(key, row["key"], row["start"], row["length"], str(row["error"])) for row in lost),
        windowed=windowed,
    )


def _matrix(rows: pa.Table, name: str) -> Float32[np.ndarray, "w d"]:
    """The vectors of those that have one."""
    column = rows[name].filter(pc.equal(rows["status"], OK))
    size = column.type.list_size
    parts = [chunk.flatten().to_numpy().reshape(-1, size) for chunk in column.chunks]
    return np.concatenate([np.zeros((0, size), np.float32), *parts])


def _torn(key: str, how: str) -> UserError:
    return UserError(
        f"windows of one recording {how}", where=key, fix="join a run over shards as `ingest window=all` makes them"
    )


# ------------------------------------------------------------------ tables


def recordings_schema(vectors: Mapping[str, int], metadata: Mapping[str, Any]) -> pa.Schema:
    """One row per recording; lists have an entry per window that has a latent. `metadata` (JSON): what made the rows."""
    fields = [
        ("key", pa.string()),
        ("label", pa.int32()),
        ("label_name", pa.string()),
        ("speaker", pa.string()),
        ("split", pa.string()),
        ("source_uri", pa.string()),
        ("samples", pa.int64()),
        ("windows", pa.int32()),
        ("start", pa.list_(pa.int64())),
        ("length", pa.list_(pa.int32())),
        *((name, pa.list_(pa.list_(pa.float32(), size))) for name, size in vectors.items()),
        ("missing", pa.list_(pa.int64())),
        ("sound", pa.string()),
        ("status", pa.string()),
        ("error", pa.string()),
    ]
    noted = json.dumps({"version": VERSION, **metadata}, sort_keys=True).encode()
    return pa.schema(fields, metadata={METADATA_KEY: noted})


def recordings_table(
    recordings: Sequence[Recording], schema: pa.Schema, sounds: Mapping[str, str], errors: Mapping[str, str]
) -> pa.Table:
    """A row for each, in order. sounds: the file of each recording that has one, by key. errors: why others have neither
    windows nor sound."""
    good = [each.key not in errors for each in recordings]
    counts = [len(each.starts) if each.key not in errors else 0 for each in recordings]
    kept = [each for each in recordings if each.key not in errors]
    columns: dict[str, Any] = {name: [getattr(each, name) for each in recordings] for name in ("key", *_SHARED)}
    columns |= {
        "samples": [each.samples for each in recordings],
        "windows": counts,
        "missing": [[gap.start for gap in each.missing] for each in recordings],
        "sound": [sounds.get(each.key) for each in recordings],
        "status": [OK if each else ERROR for each in good],
        "error": [errors.get(each.key) for each in recordings],
    }
    windows: dict[str, list[np.ndarray]] = {
        "start": [each.starts for each in kept],
        "length": [each.lengths for each in kept],
        LATENT: [each.latents for each in kept],
    }
    offsets = pa.array(np.cumsum([0, *counts]), pa.int32())
    arrays = []
    for each in schema:
        if each.name in columns:
            arrays.append(pa.array(columns[each.name], each.type))
        else:
            own = windows[each.name] if each.name in windows else [found.vectors[each.name] for found in kept]
            arrays.append(pa.ListArray.from_arrays(offsets, _values(own, each.type.value_type), type=each.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def _values(parts: Sequence[np.ndarray], kind: pa.DataType) -> pa.Array:
    """What all of `parts` hold, one after the other, as numbers or as vectors."""
    size = kind.list_size if pa.types.is_fixed_size_list(kind) else 0
    number = kind.value_type if size else kind
    flat = np.concatenate([np.zeros(0, number.to_pandas_dtype()), *(part.reshape(-1) for part in parts)])
    values = pa.array(flat, number)
    return pa.FixedSizeListArray.from_arrays(values, type=kind) if size else values


def missing_table(missing: Iterable[Missing]) -> pa.Table:
    """A row per window that is missing, in the given order."""
    return pa.Table.from_pylist([vars(each) for each in missing], MISSING_SCHEMA)
