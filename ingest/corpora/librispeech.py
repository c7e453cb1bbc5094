"""LibriSpeech (Panayotov et al. 2015): `{subset}/{reader}/{chapter}/{reader}-{chapter}-{utt}.flac`, SPEAKERS.TXT."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from invertone.cluster.config.schema import key
from invertone.cluster.errors import UserError
from invertone.ingest.corpora.entry import Entry, Finding, Passed, Reader, ReadFile, Unusable, below, hash_split
from invertone.ingest.corpora.keys import IngestConfig

SEXES = ("F", "M")
_UTTERANCE = re.compile(r"(?:^|/)([^/]+)/(\d+)/(\d+)/(\2-\3-\d+)\.flac$")
_DOCUMENTS = re.compile(r"(?i)(\.trans\.txt|(^|/)(readme|license|books|chapters|speakers)(\.txt|\.md)?)$")
_OFFICIAL = {"train": "train", "dev": "validation", "test": "test"}


@dataclass(frozen=True)
class ReadersConfig:
    """Readers drawn at random, so many of each sex, in place of any other split: as GAAE's paper, V-C, takes 10 and 10 for
    training and 5 and 5 for testing."""

    train: int | None = key(
        None,
        "so many readers of each sex, drawn at random, are the training split; none: all readers, split as `split` says",
        minimum=1,
    )
    test: int = key(0, "and so many others of each sex the test split; all else is left out", minimum=0)
    seed: int = key(0, "decides which readers")


@dataclass(frozen=True)
class LibrispeechConfig(IngestConfig):
    """LibriSpeech; the label is the reader's sex."""

    subsets: list[str] = key([], "only these subsets, for example [train-clean-100]; empty means all that are there")
    readers: ReadersConfig = field(default_factory=ReadersConfig)


def librispeech(names: Sequence[str], read: ReadFile, config: LibrispeechConfig) -> Iterator[Finding]:
    """The label is the reader's sex (F 0, M 1); a reader whom SPEAKERS.TXT does not know has none.

    Split by subset (train-*, dev-*, test-*), by reader's hash for other subsets or `split=hash`; or by a draw of readers.
    """
    sexes = _sexes(names, read)
    drawn = _drawn(names, sexes, config) if config.readers.train else None
    for name in names:
        match = _UTTERANCE.search(name)
        if match is None:
            yield Passed(name) if _DOCUMENTS.search(name) else Unusable(name, _reason(name))
            continue
        subset, reader, _, _ = match.groups()
        if (config.subsets and subset not in config.subsets) or (drawn is not None and reader not in drawn):
            yield Passed(name)
            continue
        official = _OFFICIAL.get(subset.split("-")[0])
        split = official if official and config.split == "official" else hash_split(reader)
        if drawn is not None:
            split = drawn[reader]
        sex = sexes.get(reader)
        label = SEXES.index(sex) if sex in SEXES else None
        yield Entry(name, below(name, 4), split, label, sex, speaker=reader, gender=sex)


def _drawn(names: Sequence[str], sexes: dict[str, str], config: LibrispeechConfig) -> dict[str, str]:
    """The split of each reader that is drawn, by seed and name alone: the more are asked for, the more join. Raises UserError
    where there are too few."""
    matches = [match for match in map(_UTTERANCE.search, names) if match is not None]
    there = {match[2] for match in matches if not config.subsets or match[1] in config.subsets}
    asked, drawn = config.readers, dict[str, str]()
    assert asked.train is not None
    for sex in SEXES:
        readers = sorted((each for each in there if sexes.get(each) == sex), key=lambda each: _rank(asked.seed, each))
        if len(readers) < asked.train + asked.test:
            raise UserError(
                f"readers: {asked.train} + {asked.test} of sex {sex} are asked for, {len(readers)} are there",
                where=config.source,
                fix="ask for fewer readers, or give more subsets",
            )
        drawn |= dict.fromkeys(readers[: asked.train], "train")
        drawn |= dict.fromkeys(readers[asked.train : asked.train + asked.test], "test")
    return drawn


def _rank(seed: int, reader: str) -> str:
    return hashlib.sha256(f"{seed}:{reader}".encode()).hexdigest()


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
