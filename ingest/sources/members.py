"""What a source holds: its files, wherever they lie, and what is wrong with some entries."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from invertone.audio.recording.recording import EXTENSIONS
from invertone.cluster.formats.shards import Reject


class Member(NamedTuple):
    """One file of a source, of which there may be millions. `archive` is its archive's address ("" for a plain file), `offset`
    its place in there; `stamp` changes with its content, or the archive's ("" if nothing says so)."""

    name: str
    size: int
    archive: str = ""
    offset: int = -1
    stamp: str = ""


@dataclass
class Listing:
    """What a source holds, sorted by name. `rejects`: entries that are no readable file. `indices`: gzip seek points,
    empty for an archive that is damaged and can only be read from its beginning. `endings`: of file names that promise what
    is looked for, recordings or pictures."""

    members: list[Member] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    indices: dict[str, bytes] = field(default_factory=dict)
    endings: Collection[str] = frozenset(EXTENSIONS)


def member_uri(source: str, member: Member) -> str:
    """An address that tells a person where a clip came from: `…/corpus.tar.gz!/yes/1.wav` inside an archive."""
    return f"{member.archive}!/{member.name}" if member.archive else f"{source.rstrip('/')}/{member.name}"
