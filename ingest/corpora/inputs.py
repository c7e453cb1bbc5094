"""What a corpus is made of, recordings or pictures: how its files are called, and what tables call them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from invertone.audio.recording.recording import EXTENSIONS
from invertone.ingest.corpora.columns import USUAL


@dataclass(frozen=True)
class Inputs:
    """one, many: what a file is called; medium: what its format is of. endings: of file names that promise one, in small
    letters. usual: what columns of tables are called, by what they say (`ingest.corpora.columns.USUAL`)."""

    one: str
    many: str
    medium: str
    endings: Collection[str]
    usual: Mapping[str, tuple[str, ...]]


RECORDINGS = Inputs("recording", "recordings", "audio", frozenset(EXTENSIONS), USUAL)
