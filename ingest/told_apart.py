"""Names that occur in several archives of one source: other samples (a WebDataset's names restart in each), or a copy."""

from __future__ import annotations

from collections import defaultdict

from audio.recording import EXTENSIONS, extension
from cluster.errors import UserError
from cluster.shards import Reject
from ingest.archives import ARCHIVES, plain, unread
from ingest.members import Listing, Member, member_uri
from ingest.side_files import SideFiles

COMPARED = 3
"""Recordings that are read of two archives to tell a copy from a namesake."""


def told_apart(source: str, listing: Listing) -> tuple[dict[str, Member], list[Reject], list[str]]:
    """The members by path, what is a duplicate of another, and a note on paths that are longer than their names.

    Archives that share names of recordings and hold other sounds have their own name put before each path. A file that
    lies unpacked beside its archive counts once, and so does an archive that is a copy of another.
    """
    rejects: list[Reject] = []
    loose = {member.name: member for member in listing.members if not member.archive}
    archives: dict[str, dict[str, Member]] = defaultdict(dict)
    for member in listing.members:
        if member.archive:
            archives[member.archive][member.name] = member
    kept: dict[str, dict[str, Member]] = {}
    apart: set[str] = set()
    side_files = SideFiles(source, listing)
    for archive, members in archives.items():
        for other, others in kept.items():
            shared = [name for name in members.keys() & others.keys() - loose.keys() if extension(name) in EXTENSIONS]
            if not shared:
                continue
            if _same(side_files, members, others, sorted(shared)):
                rejects.append(Reject(archive, "", f"holds {len(shared)} recordings of {other} once more"))
                for name in shared:
                    del archives[archive][name]
            else:
                apart |= {archive, other}
        kept[archive] = members
    found: dict[str, Member] = {}
    for member in listing.members:
        if archives.get(member.archive, loose).get(member.name) is not member:
            continue  # of a copy
        path = plain(member.name)
        if member.archive in apart and member.name not in loose:
            path = f"{_stem(member.archive)}/{path}"
        if reason := unread(path):
            rejects.append(Reject(member_uri(source, member), "", reason))
        elif path in found:
            rejects.append(Reject(member_uri(source, member), "", "duplicate: another entry has the same name"))
        else:
            found[path] = member
    notes = (
        [f"{len(apart)} archives share names of recordings: each one's name stands before its paths"] if apart else []
    )
    return found, rejects, notes


def _same(side_files: SideFiles, one: dict[str, Member], other: dict[str, Member], names: list[str]) -> bool:
    if any(one[name].size != other[name].size for name in names):
        return False
    try:
        return all(side_files.read(one[name]) == side_files.read(other[name]) for name in names[:COMPARED])
    except UserError:  # one of them is damaged: the worker says so of the clip
        return False


def _stem(archive: str) -> str:
    name = archive.rpartition("/")[2]
    ending = max((each for each in ARCHIVES if name.lower().endswith(each)), key=len, default="")
    return name[: len(name) - len(ending)]
