"""Names that occur in several archives of one source: other samples (a WebDataset's names restart in each), or a copy."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from invertone.audio.recording.recording import extension
from invertone.cluster.errors import UserError
from invertone.cluster.formats.shards import Reject
from invertone.ingest.corpora.entry import SPLIT_NAMES
from invertone.ingest.plan.side_files import SideFiles
from invertone.ingest.sources.found import plain
from invertone.ingest.sources.kinds import stem, unread
from invertone.ingest.sources.members import Listing, Member, member_uri

COMPARED = 3
"""Recordings that are read of two archives to tell a copy from a namesake."""


def told_apart(
    source: str, listing: Listing, *, all_apart: bool = False, what: str = "recordings"
) -> tuple[dict[str, Member], list[Reject], list[str]]:
    """The members by path, what is a duplicate of another, and a note on paths that are longer than their names.

    Archives that share names of recordings (or pictures) and hold others have their own name put before each path,
    `x.tar!/`, and so have archives that are named as splits. A file that lies unpacked beside its archive counts once,
    and so does an archive that is a copy of another. all_apart: every archive's own name is put before its paths, and
    nothing said of it. what: the files are.
    """
    rejects: list[Reject] = []
    loose = {member.name for member in listing.members if not member.archive}
    archives: dict[str, dict[str, Member]] = defaultdict(dict)
    for member in listing.members:
        if member.archive:
            archives[member.archive][member.name] = member
    first: dict[str, Member] = {}  # of each recording's name
    apart, dropped = set(archives) if all_apart else _named_as_splits(archives), set[tuple[str, str]]()
    read = functools.lru_cache(maxsize=COMPARED)(SideFiles(source, listing).read)
    for archive, members in archives.items():
        namesakes: dict[str, list[str]] = defaultdict(list)
        for name in members:
            if name not in loose and extension(name) in listing.endings:
                other = first.setdefault(name, members[name]).archive
                if other != archive:
                    namesakes[other].append(name)
        for other, shared in namesakes.items():
            if _same(read, members, archives[other], shared):
                rejects.append(Reject(archive, "", f"holds {len(shared)} {what} of {other} once more"))
                dropped |= {(archive, name) for name in shared}
                # and what stands beside them in both
                beside = {name for name in members if extension(name) not in listing.endings}
                dropped |= {(archive, name) for name in beside & archives[other].keys()}
            else:
                apart |= {archive, other}
    found: dict[str, Member] = {}
    for member in listing.members:
        if dropped and (member.archive, member.name) in dropped:
            continue
        path = plain(member.name)
        if member.archive in apart and member.name not in loose:
            path = f"{member.archive.rpartition('/')[2]}!/{path}"
        if reason := unread(path):
            rejects.append(Reject(member_uri(source, member), "", reason))
        elif path in found:
            rejects.append(Reject(member_uri(source, member), "", "duplicate: another entry has the same name"))
        else:
            found[path] = member
    notes = [f"{len(apart)} archives are told apart by name, for their paths or splits would be mixed"]
    notes = notes if apart and not all_apart else []
    return found, rejects, notes


def _named_as_splits(archives: Iterable[str]) -> set[str]:
    """`train.tar` beside `test.tar`: what they hold must not be mixed."""
    splits = {archive: SPLIT_NAMES.get(stem(archive.rpartition("/")[2]).lower()) for archive in archives}
    known = {archive for archive, split in splits.items() if split}
    return known if len({splits[archive] for archive in known}) > 1 else set()


def _same(
    read: Callable[[Member], bytes], one: Mapping[str, Member], other: Mapping[str, Member], names: Sequence[str]
) -> bool:
    if any(one[name].size != other[name].size for name in names):
        return False
    try:
        return all(read(other[name]) == read(one[name]) for name in names[:COMPARED])
    except UserError:  # one of them is damaged: the worker says so of the clip
        return False
