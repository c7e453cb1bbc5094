"""From a listing to a plan: which files become clips, in which order, in which shard. Decided once, written down once.

__invertone/plan/entries.pq holds one row group per shard, so that a worker reads only its own rows.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from invertone.audio.windows import uniform_hash
from invertone.cluster.errors import UserError
from invertone.cluster.formats.ledger import Unit
from invertone.cluster.formats.shards import SPLITS, Reject, clip_key, rejects_parquet
from invertone.cluster.storage.folder import Folder
from invertone.cluster.storage.layout import OURS
from invertone.cluster.storage.parquet import parquet_rows, parquet_schema, row_group, row_groups
from invertone.ingest.config import CORPORA
from invertone.ingest.corpora.entry import Entry, Noted, Passed, Reader, Unusable
from invertone.ingest.corpora.keys import IngestConfig
from invertone.ingest.plan.side_files import SideFiles
from invertone.ingest.plan.told_apart import told_apart
from invertone.ingest.sources.members import Listing, Member, member_uri
from invertone.ingest.sources.source import Survey

PLAN = f"{OURS}/plan"
ENTRIES, PLAN_REJECTS, INDICES = f"{PLAN}/entries.pq", f"{PLAN}/rejects.pq", f"{PLAN}/indices"
WINDOWS_PER_RECORDING = 12
"""With `window=all` a shard takes that many times fewer recordings (LibriSpeech's mean utterance is 12.3 s)."""
UNIT_BYTES = 64 << 20
"""With `window=all` a unit takes no more of the source, unless one recording has more: long ones are units of their own."""

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


@dataclass(frozen=True)
class ShardWork:
    """What a unit is: the shard of this name and split, of the recordings in that row group of the plan."""

    name: str
    split: str
    row_group: int


def _unit(name: str, split: str, row_group: int, items: int) -> Unit:
    return Unit(name, asdict(ShardWork(name, split, row_group)), items)


@dataclass(frozen=True)
class Plan:
    """units: one per shard. bytes: what the chosen files hold. passed: files that are no candidates. notes: what a user
    should know of how the corpus was read."""

    units: list[Unit]
    files: int
    bytes: int
    rejects: int
    passed: int
    label_names: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Row:
    """twins: other files with the same key, of which the first that is sound is taken."""

    key: str
    entry: Entry
    member: Member
    twins: list[_Row] = field(default_factory=list)


def make_plan(config: IngestConfig, listing: Listing, folder: Folder | None) -> Plan:
    """Chooses and orders the files of `listing`; writes the plan into `folder`, or nowhere if None (a dry run).

    Within a split the order is by a hash of key and seed: a shard mixes labels and speakers, whatever the listing.
    """
    rows, rejects, passed, notes = _choose(config, listing)
    if not rows:
        reasons = "".join(f"; {each.source_uri}: {each.reason}" for each in rejects[:2])
        raise UserError(
            f"no clip of this corpus found ({len(listing.members)} files, {passed} filtered out{reasons})",
            where=config.source,
            fix=f"check that source is in the layout of {config.corpus} and that filters leave something",
        )
    rows.sort(key=lambda row: (SPLITS.index(row.entry.split), uniform_hash(f"{config.seed}\0{row.key}"), row.key))
    groups = list(_shards(rows, _per_shard(config), UNIT_BYTES if config.window == "all" else None))
    units = [_unit(name, group[0].entry.split, number, len(group)) for number, (name, group) in enumerate(groups)]
    label_names = _label_names(config, rows)
    notes += _lacking(((row.entry.split, row.entry.label) for row in rows), label_names)
    if folder is not None:
        for name, index in listing.indices.items():
            folder.publish_bytes(f"{INDICES}/{name}", index)
        folder.publish_bytes(ENTRIES, _entries_parquet([group for _, group in groups], label_names))
        folder.publish_bytes(PLAN_REJECTS, rejects_parquet(rejects))
    size = sum(row.member.size for row in rows)
    return Plan(units, len(rows), size, len(rejects), passed, label_names, tuple(notes))


def saved_plan(config: IngestConfig, folder: Folder) -> Plan | None:
    """The plan that `make_plan` wrote into `folder`; None if it did not come to its end."""
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
            units.append(_unit(name, split, number, items))
            size += sum(group["size"].to_pylist())
            files += items
    labels = tuple(name for name in metadata.get(b"label_names", b"").decode().split("\n") if name)
    with folder.open(PLAN_REJECTS) as file:
        rejects = parquet_rows(file)
    return Plan(units, files, size, rejects, 0, labels, tuple(_lacking(there, labels)))


def _lacking(there: Iterable[tuple[str, int | None]], label_names: Sequence[str]) -> list[str]:
    """A note for each split that has recordings of some labels and not of all that the source has."""
    found: dict[str, set[int]] = {}
    for split, label in there:
        if label is not None:
            found.setdefault(split, set()).add(label)
    known = set[int]().union(*found.values())
    notes = []
    for split in (each for each in SPLITS if each in found):
        lacking = [label_names[label] for label in sorted(known - found[split])]
        if lacking:
            some = ", ".join(lacking[:5]) + (", …" if len(lacking) > 5 else "")
            notes.append(f"{split} has no recording of {len(lacking)} of {len(known)} labels: {some}")
    return notes


def changed_files(config: IngestConfig, folder: Folder, now: Survey) -> list[str]:
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


def _choose(config: IngestConfig, listing: Listing) -> tuple[list[_Row], list[Reject], int, list[str]]:
    rejects, passed, notes = list(listing.rejects), 0, list[str]()
    members, also, said = told_apart(config.source, listing)
    rejects += also
    notes += said
    reader: Reader = CORPORA.implementation(config.corpus)
    opener = SideFiles(config.source, listing)
    by_key: dict[str, _Row] = {}
    for finding in reader.read(list(members), lambda name: opener.read(members[name]), config):
        if isinstance(finding, Passed):
            passed += 1
        elif isinstance(finding, Noted):
            notes.append(finding.text)
        elif isinstance(finding, Unusable):
            member = members.get(finding.name, Member(finding.name, 0))
            rejects.append(Reject(member_uri(config.source, member), "", finding.reason))
        else:
            key, member = clip_key(finding.path), members[finding.name]
            if member.size == 0:  # not later: another file may have the same key
                rejects.append(Reject(member_uri(config.source, member), key, "empty file (0 bytes)"))
            elif key in by_key:
                by_key[key].twins.append(_Row(key, by_key[key].entry, member))
            else:
                by_key[key] = _Row(key, finding, member)
    return list(by_key.values()), rejects, passed, notes


def _per_shard(config: IngestConfig) -> int:
    return max(1, config.clips_per_shard // WINDOWS_PER_RECORDING) if config.window == "all" else config.clips_per_shard


def _shards(rows: Sequence[_Row], size: int, most_bytes: int | None) -> Iterator[tuple[str, list[_Row]]]:
    for split in SPLITS:
        group, number, held = list[_Row](), 0, 0
        for row in (row for row in rows if row.entry.split == split):
            full = most_bytes is not None and held + row.member.size > most_bytes
            if group and (len(group) == size or full):
                yield f"{split}-{number:06d}", group
                group, number, held = [], number + 1, 0
            group.append(row)
            held += row.member.size
        if group:
            yield f"{split}-{number:06d}", group


def _label_names(config: IngestConfig, rows: Sequence[_Row]) -> tuple[str, ...]:
    """Names by label. Fixed lists of a corpus stand whole, so that labels mean the same for a part of it."""
    fixed: tuple[str, ...] = CORPORA.implementation(config.corpus).label_names
    if fixed:
        return fixed
    found = {row.entry.label: row.entry.label_name or "" for row in rows if row.entry.label is not None}
    return tuple(found.get(label, "") for label in range(max(found, default=-1) + 1))


def _entries_parquet(groups: Sequence[Sequence[_Row]], label_names: tuple[str, ...]) -> bytes:
    buffer = io.BytesIO()
    schema = ENTRY_SCHEMA.with_metadata({b"label_names": "\n".join(label_names).encode()})
    with pq.ParquetWriter(buffer, schema, compression="zstd") as writer:
        for group in groups:
            rows = [each for row in group for each in enumerate([row, *row.twins])]
            columns = {name: [_column(row, name, twin) for twin, row in rows] for name in ENTRY_SCHEMA.names}
            writer.write_table(pa.table(columns, schema=schema), row_group_size=len(rows))
    return buffer.getvalue()


def _column(row: _Row, name: str, twin: int) -> Any:
    if name == "twin":
        return twin
    if name == "key":
        return row.key
    holder = row.member if name in ("name", "size", "archive", "offset", "stamp") else row.entry
    return getattr(holder, name)
