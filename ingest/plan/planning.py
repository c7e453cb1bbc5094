"""From a listing to a plan: which files become clips, in which order, in which shard. Decided once."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from invertone.audio.windows import uniform_hash
from invertone.cluster.errors import UserError
from invertone.cluster.formats.shards import SPLITS, Reject, clip_key, rejects_parquet
from invertone.cluster.storage.folder import Folder
from invertone.ingest.config import CORPORA
from invertone.ingest.corpora.entry import Entry, Noted, Passed, Reader
from invertone.ingest.corpora.inputs import RECORDINGS
from invertone.ingest.corpora.keys import AnyIngest, IngestConfig
from invertone.ingest.plan.entries import (
    ENTRIES,
    ENTRY_SCHEMA,
    INDICES,
    PICTURE_SCHEMA,
    PLAN_REJECTS,
    Plan,
    Row,
    Sample,
    entries_parquet,
    lacking,
    unit,
)
from invertone.ingest.plan.headers import READ
from invertone.ingest.plan.side_files import SideFiles, outside
from invertone.ingest.plan.told_apart import told_apart
from invertone.ingest.sources.members import Listing, Member, member_uri

WINDOWS_PER_RECORDING = 12
"""With `window=all` a shard takes that many times fewer recordings (LibriSpeech's mean utterance is 12.3 s)."""
UNIT_BYTES = 64 << 20
"""With `window=all` a unit takes no more of the source, unless one recording has more: long ones are units of their own."""


@contextmanager
def uncollected() -> Iterator[None]:
    """Without the search for circles of objects while the context lasts: it looks through all there are, again and again as
    millions are made, and those of a plan form none."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def make_plan(config: AnyIngest, listing: Listing, folder: Folder | None) -> Plan:
    """Chooses and orders the files of `listing`; writes the plan into `folder`, or nowhere if None (a dry run).

    Within a split the order is by a hash of key and seed: a shard mixes labels and speakers, whatever the listing. So does
    what `limit` takes, and it has its share of every split.
    """
    reader: Reader = CORPORA.implementation(config.corpus)
    rows, rejects, passed, notes, labels = _choose(config, listing)
    if not rows:
        reasons = "".join(f"; {each.source_uri}: {each.reason}" for each in rejects[:2])
        what = "clip" if reader.inputs is RECORDINGS else "picture"
        raise UserError(
            f"no {what} of this corpus found ({len(listing.members)} files, {passed} filtered out{reasons})",
            where=config.source,
            fix=f"check that source is in the layout of {config.corpus} and that filters leave something",
        )
    rows.sort(key=lambda row: row.key)
    rows.sort(key=lambda row: uniform_hash(f"{config.seed}\0{row.key}"))
    sample = Sample(tuple(row.member for row in rows[:READ]), len(rows))  # in the order of a hash: drawn at random
    rows = rows[: config.limit or None]
    groups = list(_shards(rows, _per_shard(config), UNIT_BYTES if _windows(config) else None))
    units = [unit(name, group[0].entry.split, number, len(group)) for number, (name, group) in enumerate(groups)]
    label_names = _label_names(config, labels)
    notes += lacking({(row.entry.split, row.entry.label) for row in rows}, label_names, reader.inputs.one)
    if folder is not None:
        for name, index in listing.indices.items():
            folder.publish_bytes(f"{INDICES}/{name}", index)
        schema = ENTRY_SCHEMA if reader.inputs is RECORDINGS else PICTURE_SCHEMA
        folder.publish_bytes(ENTRIES, entries_parquet([group for _, group in groups], label_names, schema))
        folder.publish_bytes(PLAN_REJECTS, rejects_parquet(rejects))
    size = sum(row.member.size for row in rows)
    return Plan(units, len(rows), size, len(rejects), passed, label_names, tuple(notes), sample)


def _choose(config: AnyIngest, listing: Listing) -> tuple[list[Row], list[Reject], int, list[str], Mapping[int, str]]:
    """The recordings, what is none, how many files are no candidates, notes, and the names of labels."""
    rejects, passed, notes, labels = list(listing.rejects), 0, list[str](), dict[int, str]()
    reader: Reader = CORPORA.implementation(config.corpus)
    members, also, said = told_apart(config.source, listing, all_apart=reader.packed, what=reader.inputs.many)
    rejects += also
    notes += said
    opener = SideFiles(config.source, listing)
    by_key: dict[str, Row] = {}

    def read(name: str) -> bytes:
        return opener.read(members[name]) if name in members else outside(name)

    names = list(members)
    if reader.packed:
        names.sort(key=lambda name: (members[name].archive, members[name].offset))
    for finding in reader.read(names, read, config):
        if isinstance(finding, Entry):
            if finding.label is not None:
                labels[finding.label] = finding.label_name or ""
            key, member = clip_key(finding.path), members[finding.name]
            if member.size == 0:  # not later: another file may have the same key
                rejects.append(Reject(member_uri(config.source, member), key, "empty file (0 bytes)"))
            elif (first := by_key.get(key)) is not None:
                first.twins += (Row(key, first.entry, member),)
            else:
                by_key[key] = Row(key, finding, member)
        elif isinstance(finding, Passed):
            passed += 1
        elif isinstance(finding, Noted):
            notes.append(finding.text)
        else:
            member = members.get(finding.name, Member(finding.name, 0))
            rejects.append(Reject(member_uri(config.source, member), "", finding.reason))
    return list(by_key.values()), rejects, passed, notes, labels


def _windows(config: AnyIngest) -> bool:
    """Whether a file may become several clips."""
    return isinstance(config, IngestConfig) and config.window == "all"


def _per_shard(config: AnyIngest) -> int:
    return max(1, config.clips_per_shard // WINDOWS_PER_RECORDING) if _windows(config) else config.clips_per_shard


def _shards(rows: Sequence[Row], size: int, most_bytes: int | None) -> Iterator[tuple[str, list[Row]]]:
    by_split: dict[str, list[Row]] = {split: [] for split in SPLITS}
    for row in rows:
        by_split[row.entry.split].append(row)
    for split, of_split in by_split.items():
        group, number, held = list[Row](), 0, 0
        for row in of_split:
            full = most_bytes is not None and held + row.member.size > most_bytes
            if group and (len(group) == size or full):
                yield f"{split}-{number:06d}", group
                group, number, held = [], number + 1, 0
            group.append(row)
            held += row.member.size
        if group:
            yield f"{split}-{number:06d}", group


def _label_names(config: AnyIngest, found: Mapping[int, str]) -> tuple[str, ...]:
    """Names by label: of the whole source, so that labels mean the same for a part of it; of a corpus that has one its own
    list."""
    fixed: tuple[str, ...] = CORPORA.implementation(config.corpus).label_names
    if fixed:
        return fixed
    return tuple(found.get(label, "") for label in range(max(found, default=-1) + 1))
