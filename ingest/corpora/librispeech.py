"""LibriSpeech (Panayotov et al. 2015): `{subset}/{reader}/{chapter}/{reader}-{chapter}-{utt}.flac`, SPEAKERS.TXT."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from invertone.cluster.config.schema import key
from invertone.ingest.corpora.entry import Entry, Finding, Passed, Reader, ReadFile, Unusable, below, hash_split
from invertone.ingest.corpora.keys import IngestConfig

SEXES = ("F", "M")
_UTTERANCE = re.compile(r"(?:^|/)([^/]+)/(\d+)/(\d+)/(\2-\3-\d+)\.flac$")
_DOCUMENTS = re.compile(r"(?i)(\.trans\.txt|(^|/)(readme|license|books|chapters|speakers)(\.txt|\.md)?)$")
_OFFICIAL = {"train": "train", "dev": "validation", "test": "test"}


@dataclass(frozen=True)
class LibrispeechConfig(IngestConfig):
    """LibriSpeech; the label is the reader's sex."""

    subsets: list[str] = key([], "only these subsets, for example [train-clean-100]; empty means all that are there")


def librispeech(names: Sequence[str], read: ReadFile, config: LibrispeechConfig) -> Iterator[Finding]:
    """The label is the reader's sex (F 0, M 1); a reader whom SPEAKERS.TXT does not know has none.

    Split by subset (train-*, dev-*, test-*), by reader's hash for other subsets or `split=hash`.
    """
    sexes = _sexes(names, read)
    for name in names:
        match = _UTTERANCE.search(name)
        if match is None:
            yield Passed(name) if _DOCUMENTS.search(name) else Unusable(name, _reason(name))
            continue
        subset, reader, _, _ = match.groups()
        if config.subsets and subset not in config.subsets:
            yield Passed(name)
            continue
        official = _OFFICIAL.get(subset.split("-")[0])
        split = official if official and config.split == "official" else hash_split(reader)
        sex = sexes.get(reader)
        label = SEXES.index(sex) if sex in SEXES else None
        yield Entry(name, below(name, 4), split, label, sex, speaker=reader, gender=sex)


def _reason(name: str) -> str:
    if name.lower().endswith(".flac"):
        return "not named subset/reader/chapter/reader-chapter-utterance.flac"
    return f"wrong extension: {below(name, 1)!r} where LibriSpeech has .flac"


def _sexes(names: Sequence[str], read: ReadFile) -> dict[str, str]:
    """Sex by reader. Lines are `reader | sex | subset | minutes | name`, comments begin with a semicolon."""
    sexes: dict[str, str] = {}
    for name in names:
        if below(name, 1) == "SPEAKERS.TXT":
            for line in read(name).decode("utf-8", "replace").splitlines():
                fields = [field.strip() for field in line.split("|")]
                if not line.startswith(";") and len(fields) >= 2:
                    sexes[fields[0]] = fields[1]
    return sexes


READER = Reader(librispeech)
