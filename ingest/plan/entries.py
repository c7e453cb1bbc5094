"""A plan as it is written down, and read again by whoever goes on with it.

__invertone/plan/entries.pq holds one row group per shard, so that a worker reads only its own rows.
"""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from invertone.cluster.formats.ledger import Unit
from invertone.cluster.formats.shards import SPLITS
from invertone.cluster.storage.folder import Folder
from invertone.cluster.storage.layout import OURS
from invertone.cluster.storage.parquet import parquet_rows, parquet_schema, row_group, row_groups
from invertone.ingest.corpora.entry import Entry
from invertone.ingest.sources.members import Member
from invertone.ingest.sources.source import Survey

PLAN = f"{OURS}/plan"
ENTRIES, PLAN_REJECTS, INDICES = f"{PLAN}/entries.pq", f"{PLAN}/rejects.pq", f"{PLAN}/indices"
ENTRY_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("split", pa.string()),
        ("label", pa.int32()),
        ("label_name", pa.string()),
        ("speaker", pa.string()),
        ("gender", pa.string()),
        ("pitch", pa.int32()),
        ("name", pa.string()),
        ("size", pa.int64()),
        ("archive", pa.string()),
        ("offset", pa.int64()),
        ("stamp", pa.string()),
        ("twin", pa.int32()),
    ]
)

PICTURE_SCHEMA = pa.schema(
    [
        *ENTRY_SCHEMA,
        ("box", pa.list_(pa.float64())),
        ("box_shares", pa.bool_()),
        ("attributes", pa.map_(pa.string(), pa.float64())),
    ]
)
"""Of pictures: what is cut out of each (left, top, width, height), and numbers that are known of it."""


@dataclass(frozen=True)
class ShardWork:
    """What a unit is: the shard of this name and split, of the recordings in that row group of the plan."""

    name: str
    split: str
    row_group: int


def unit(name: str, split: str, row_group: int, items: int) -> Unit:
    """The unit that makes a shard of `items` recordings, the row group of that number."""
    return Unit(name, asdict(ShardWork(name, split, row_group)), items)


@dataclass(frozen=True)
class Sample:
    """Recordings of a source that were drawn at random, and how many there are of which they were."""

    members: tuple[Member, ...] = ()
    of: int = 0


@dataclass(frozen=True)
class Plan:
    """units: one per shard. bytes: what the chosen files hold. passed: files that are no candidates. notes: what a user
    should know of how the corpus was read. sample: for a look at what the source holds; empty in a plan that was saved."""

    units: list[Unit]
    files: int
    bytes: int
    rejects: int
    passed: int
    label_names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    sample: Sample = Sample()


@dataclass(slots=True)
class Row:
    """twins: other files with the same key, of which the first that is sound is taken."""

    key: str
    entry: Entry
    member: Member
    twins: tuple[Row, ...] = ()


def saved_plan(folder: Folder, one: str = "recording") -> Plan | None:
    """The plan that `make_plan` wrote into `folder`; None if it did not come to its end. one: what a
    file is called."""
    if not (folder.exists(ENTRIES) and folder.exists(PLAN_REJECTS)):
        return None
    units: list[Unit] = []
    counts, size, files = Counter[str](), 0, 0
    with folder.open(ENTRIES) as file:
        schema = parquet_schema(file)
        metadata, twins = schema.metadata or {}, [name for name in schema.names if name == "twin"]
        there: set[tuple[str, int | None]] = set()
        for number, group in enumerate(row_groups(file, ["split", "size", "label", *twins])):
            split = group["split"][0].as_py()
            there |= {(split, label) for label in group["label"].unique().to_pylist()}
            name = f"{split}-{counts[split]:06d}"
            counts[split] += 1
            items = group.num_rows - sum(twin > 0 for twin in group["twin"].to_pylist()) if twins else group.num_rows
            units.append(unit(name, split, number, items))
            size += sum(group["size"].to_pylist())
            files += items
    named = metadata.get(b"label_names", b"").decode()
    labels = tuple(named.split("\n")) if named else ()
    with folder.open(PLAN_REJECTS) as file:
        rejects = parquet_rows(file)
    return Plan(units, files, size, rejects, 0, labels, tuple(lacking(there, labels, one)))


def changed_files(folder: Folder, now: Survey) -> list[str]:
    """The files and archives of the plan in `folder` that are not as they were when it was made; [] if none is, or where
    there is no plan, or one of an older version that does not say."""
    if not folder.exists(ENTRIES):
        return []
    changed: dict[str, None] = {}
    with folder.open(ENTRIES) as file:
        if "stamp" not in parquet_schema(file).names:
            return []
        for group in row_groups(file, ["name", "size", "archive", "stamp"]):
            for row in group.to_pylist():
                archive = row["archive"]
                there = now.archives.get(archive) if archive else now.files.get(row["name"])
                same = there is not None and there[1] == row["stamp"] and (archive or there[0] == row["size"])
                if not same:
                    changed[archive or row["name"]] = None
    return list(changed)


def read_rows(folder: Folder, number: int) -> list[list[dict[str, Any]]]:
    """The recordings of one shard, the row group `number`: each with the files that have its key."""
    found: list[list[dict[str, Any]]] = []
    with folder.open(ENTRIES) as file:
        for row in row_group(file, number).to_pylist():
            if row.get("twin"):
                found[-1].append(row)
            else:
                found.append([row])
    return found


def lacking(there: Iterable[tuple[str, int | None]], label_names: Sequence[str], one: str = "recording") -> list[str]:
    """A note for each split that has recordings of some labels and not of all that the source has; of pictures a single one
    where no label is in two splits, which is what keeps people apart."""
    found: dict[str, set[int]] = {}
    for split, label in there:
        if label is not None:
            found.setdefault(split, set()).add(label)
    known = set[int]().union(*found.values())
    notes = []
    if one == "picture" and len(found) > 1 and sum(map(len, found.values())) == len(known) > 1:
        counts = ", ".join(f"{len(found[split]):,} in {split}" for split in SPLITS if split in found)
        return [
            f"no label is in two splits ({counts}): as recognition of people unseen needs it, not as classification does"
        ]
    for split in (each for each in SPLITS if each in found):
        lacking = [label_names[label] for label in sorted(known - found[split])]
        if lacking:
            some = ", ".join(lacking[:5]) + (", …" if len(lacking) > 5 else "")
            notes.append(f"{split} has no {one} of {len(lacking)} of {len(known)} labels: {some}")
    return notes


def entries_parquet(
    groups: Sequence[Sequence[Row]], label_names: tuple[str, ...], columns_of: pa.Schema = ENTRY_SCHEMA
) -> bytes:
    """The file ENTRIES: a row group for each of `groups`, a recording's twins right after it. columns_of: ENTRY_SCHEMA or
    PICTURE_SCHEMA."""
    buffer = io.BytesIO()
    schema = columns_of.with_metadata({b"label_names": "\n".join(label_names).encode()})
    with pq.ParquetWriter(buffer, schema, compression="zstd") as writer:
        for group in groups:
            rows = [each for row in group for each in enumerate([row, *row.twins])]
            columns = {name: [_column(row, name, twin) for twin, row in rows] for name in schema.names}
            writer.write_table(pa.table(columns, schema=schema), row_group_size=len(rows))
    return buffer.getvalue()


def _column(row: Row, name: str, twin: int) -> Any:
    if name == "twin":
        return twin
    if name == "key":
        return row.key
    if name in ("box", "box_shares"):
        box = row.entry.box
        return None if box is None else box.shares if name == "box_shares" else list(box[:4])
    if name == "attributes":
        known = row.entry.attributes
        return None if known is None else [each for each in zip(*known, strict=True) if not math.isnan(each[1])]
    holder = row.member if name in ("name", "size", "archive", "offset", "stamp") else row.entry
    return getattr(holder, name)
