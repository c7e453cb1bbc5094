"""Speech Commands v0.01 and v0.02 (Warden 2018), and SC09, its digit words, also in the WaveGAN authors' folders."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from invertone.audio.recording.recording import extension
from invertone.ingest.corpora.entry import Entry, Finding, Passed, Reader, ReadFile, Unusable, below, hash_split
from invertone.ingest.corpora.keys import IngestConfig

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
WORDS = (
    "backward", "bed", "bird", "cat", "dog", "down", "eight", "five", "follow", "forward", "four", "go", "happy",
    "house", "learn", "left", "marvin", "nine", "no", "off", "on", "one", "right", "seven", "sheila", "six", "stop",
    "three", "tree", "two", "up", "visual", "wow", "yes", "zero",
)  # fmt: skip
"""All words of both versions; a word's label is its place here, also where a corpus holds only some of them."""

LISTS = {"validation_list.txt": "validation", "testing_list.txt": "test"}
_DOCUMENT = re.compile(r"(?i)^(readme.*|license.*|corpus\.json|validation_list\.txt|testing_list\.txt)$")
_WAVEGAN = re.compile(r"(?:^|/)(train|valid|test)/([A-Z][a-z]+)_([^/]+)$")


@dataclass(frozen=True)
class SpeechCommandsConfig(IngestConfig):
    """Speech Commands, all words."""


@dataclass(frozen=True)
class Sc09Config(IngestConfig):
    """The ten digit words of Speech Commands, or the WaveGAN authors' sc09 folder."""


def speech_commands(names: Sequence[str], read: ReadFile, config: IngestConfig) -> Iterator[Finding]:
    """`{word}/{speaker}_nohash_{n}.wav`, every word."""
    yield from _read(names, read, config, WORDS)


def sc09(names: Sequence[str], read: ReadFile, config: IngestConfig) -> Iterator[Finding]:
    """The digit words, labelled 0-9; also `{train,valid,test}/{Word}_{speaker}_nohash_{n}.wav`."""
    yield from _read(names, read, config, DIGITS)


def _read(names: Sequence[str], read: ReadFile, config: IngestConfig, words: tuple[str, ...]) -> Iterator[Finding]:
    lists = _official_lists(names, read) if config.split == "official" else None
    labels = {word: label for label, word in enumerate(words)}
    for name in names:
        wavegan = _WAVEGAN.search(name)
        if wavegan and wavegan[2].lower() in WORDS:
            folder, word, rest = wavegan[1], wavegan[2].lower(), wavegan[3]
            given = {"train": "train", "valid": "validation", "test": "test"}[folder]
        else:
            parts = below(name, 2).split("/")
            word, rest, given = parts[0] if len(parts) == 2 else "", parts[-1], None
        if _DOCUMENT.match(rest) or word == "_background_noise_" or (word in WORDS and word not in labels):
            yield Passed(name)
        elif word not in labels:
            yield Unusable(name, "not in a folder named after a word of the corpus")
        elif extension(name) != "wav":
            yield Unusable(name, f"wrong extension: .{extension(name) or '(none)'} where Speech Commands has .wav")
        else:
            speaker = re.sub(r"(_nohash_.*)?\.[^.]*$", "", rest)
            path = f"{word}/{rest}"
            split = (
                given
                if config.split == "official" and given
                else lists.get(path, "train")
                if lists is not None
                else hash_split(speaker)
            )
            yield Entry(name, path, split, labels[word], word, speaker)


def _official_lists(names: Sequence[str], read: ReadFile) -> dict[str, str] | None:
    """Split by `word/file.wav`, None where the corpus comes without its lists."""
    splits: dict[str, str] = {}
    found = False
    for name in names:
        split = LISTS.get(below(name, 1))
        if split:
            found = True
            splits |= dict.fromkeys(read(name).decode("utf-8", "replace").split(), split)
    return splits if found else None


SPEECH_COMMANDS, SC09 = Reader(speech_commands, WORDS), Reader(sc09, DIGITS)
