"""Free Spoken Digit Dataset (Jakobovski): `recordings/{digit}_{speaker}_{index}.wav`, 8 kHz."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from invertone.ingest.corpora.entry import Entry, Finding, Passed, Reader, ReadFile, Unusable, below, hash_split
from invertone.ingest.corpora.keys import IngestConfig
from invertone.ingest.corpora.speech_commands import DIGITS

_RECORDING = re.compile(r"^(\d)_([^_/]+)_(\d+)\.wav$")
TEST_INDICES = range(5)


@dataclass(frozen=True)
class FsddConfig(IngestConfig):
    """Free Spoken Digit Dataset; recordings 0-4 of each speaker and digit are the test split."""


def fsdd(names: Sequence[str], read: ReadFile, config: FsddConfig) -> Iterator[Finding]:
    """Split as its authors say: recordings 0-4 are test, the others train. All speakers are in both."""
    for name in names:
        file = below(name, 1)
        match = _RECORDING.match(file)
        if match is None:
            inside = "/recordings/" in f"/{name}"
            yield Unusable(name, "not named DIGIT_SPEAKER_INDEX.wav") if inside else Passed(name)
            continue
        digit, speaker, index = int(match[1]), match[2], int(match[3])
        official = "test" if index in TEST_INDICES else "train"
        split = official if config.split == "official" else hash_split(speaker)
        yield Entry(name, file, split, digit, DIGITS[digit], speaker)


READER = Reader(fsdd, DIGITS)
