"""What every reader says of a file, and the split rule for corpora that have none."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

from invertone.ingest.corpora.inputs import RECORDINGS, Inputs

ReadFile = Callable[[str], bytes]

VALIDATION_PERCENT, TEST_PERCENT = 10.0, 10.0
_BUCKETS = 2**27 - 1
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "development": "validation",
    "eval": "validation",
    "evaluation": "validation",
    "test": "test",
    "testing": "test",
}
"""What corpora call their splits, in small letters."""


class Box(NamedTuple):
    """Part of a picture: left, top, width, height in pixels; with `shares` all four as shares of its width and height."""

    left: float
    top: float
    width: float
    height: float
    shares: bool = False


class Attributes(NamedTuple):
    """Numbers that are known of a picture, and what they are called: one tuple of names that all pictures share. NaN: not
    known of this one."""

    names: tuple[str, ...]
    values: tuple[float, ...]


class Entry(NamedTuple):
    """A file that becomes one clip or more, of which there may be millions. `path` is its place inside the corpus, which its
    key is made of. Of pictures alone: `box`, what is cut out of it; `attributes`."""

    name: str
    path: str
    split: str
    label: int | None = None
    label_name: str | None = None
    speaker: str | None = None
    gender: str | None = None
    pitch: int | None = None
    box: Box | None = None
    attributes: Attributes | None = None


@dataclass(frozen=True)
class Unusable:
    """A file that stands where a clip should be and is none."""

    name: str
    reason: str


@dataclass(frozen=True)
class Passed:
    """A file that is no candidate: the corpus's own documents, or clips that the config filters out."""

    name: str


@dataclass(frozen=True)
class Noted:
    """What a user should know of how the corpus was read, in one line."""

    text: str


Finding = Entry | Unusable | Passed | Noted
Settings_contra = TypeVar("Settings_contra", contravariant=True)


@runtime_checkable
class Corpus(Protocol[Settings_contra]):
    """A reader: the names of all files → what each is. `read` gives the content of a side file by name, and of a file outside
    the source by its address."""

    def __call__(self, names: Sequence[str], read: ReadFile, config: Settings_contra) -> Iterator[Finding]: ...


@dataclass(frozen=True)
class Reader:
    """What a corpus's line in `ingest/config.py` names. label_names: the corpus's own fixed list, which stands whole, so that
    labels mean the same for a part of it; empty where labels are those that are found. packed: names come in the order in
    which archives hold them, each with its archive's name before it (`x.tar!/`), whether or not others have the same. inputs:
    what the corpus is made of."""

    read: Corpus[Any]
    label_names: tuple[str, ...] = ()
    packed: bool = False
    inputs: Inputs = RECORDINGS


def hash_split(speaker: str) -> str:
    """Speaker-disjoint split: the rule by which Speech Commands assigns its speakers (Warden 2018, section 3.8).

    SHA-1 of the speaker's name, modulo 2**27, as a percentage: below 10 validation, below 20 test, else train.
    """
    digest = hashlib.sha1(speaker.encode(), usedforsecurity=False).digest()
    percent = (int.from_bytes(digest[-4:], "big") & _BUCKETS) * (100.0 / _BUCKETS)
    if percent < VALIDATION_PERCENT:
        return "validation"
    return "test" if percent < VALIDATION_PERCENT + TEST_PERCENT else "train"


def assigned(rule: str, name: str, speaker: str | None, identity: str | None = None) -> str:
    """The split of a file for which the corpus has none, by the key `split`: by its speaker's hash, else its own. identity: of
    a picture without a speaker, whose face its label says it is; `hash` keeps those apart, `within` nobody."""
    who = None if rule == "within" else speaker or (identity if rule == "hash" else None)
    return hash_split(who or name)


def below(name: str, depth: int) -> str:
    """The last `depth` components of a path: the same for a folder, its parent and its archive."""
    return "/".join(name.split("/")[-depth:])
