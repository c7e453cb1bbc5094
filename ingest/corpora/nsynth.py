"""NSynth (Engel et al. 2017): `audio/{note}.wav` and `examples.json`, which describes every note."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from invertone.cluster.config.schema import key
from invertone.cluster.errors import UserError
from invertone.ingest.corpora.entry import Entry, Finding, Passed, Reader, ReadFile, Unusable, below, hash_split
from invertone.ingest.corpora.keys import IngestConfig

_NOTE = re.compile(r"(?:^|/)audio/([^/]+)\.wav$")
_OFFICIAL = {"nsynth-train": "train", "nsynth-valid": "validation", "nsynth-test": "test"}


NSYNTH_FAMILIES = (
    "bass", "brass", "flute", "guitar", "keyboard", "mallet", "organ", "reed", "string", "synth_lead", "vocal",
)  # fmt: skip
"""Instrument families in the order of NSynth's own numbers."""


@dataclass(frozen=True)
class NsynthConfig(IngestConfig):
    """NSynth; the label is the instrument family."""

    families: list[str] = key(
        [], "only these families, which then number the labels; empty means all", choices=NSYNTH_FAMILIES
    )
    sources: list[str] = key([], "only these sources", choices=("acoustic", "electronic", "synthetic"))
    pitch_min: int = key(0, "lowest MIDI pitch", minimum=0, maximum=127)
    pitch_max: int = key(127, "highest MIDI pitch", minimum=0, maximum=127)


def nsynth(names: Sequence[str], read: ReadFile, config: NsynthConfig) -> Iterator[Finding]:
    """The label is the family: its place in `families` if given, else NSynth's own number.

    Split by folder (nsynth-train, -valid, -test; it may be the source itself), else by the instrument's hash, so that
    instruments stay apart. A note that examples.json names and the source lacks is reported, and the other way round.
    """
    labels = {family: label for label, family in enumerate(config.families or NSYNTH_FAMILIES)}
    sides = _sides(names)
    inside, outside = _by_folder(names, sides)
    yield from (Unusable(name, "no examples.json beside it") for name in outside)
    for folder, below_it in inside.items():
        notes = _examples(sides[folder], read)
        for name in below_it:
            if name == sides[folder]:
                continue
            match = _NOTE.search(name)
            if match is None:
                yield (
                    Passed(name)
                    if below(name, 1).lower().startswith(("readme", "license"))
                    else Unusable(name, "not an audio/NOTE.wav file")
                )
                continue
            note = notes.pop(match[1], None)
            if note is None:
                yield Unusable(name, "examples.json does not describe it")
            else:
                yield _describe(name, match[1], folder, note, labels, config)
        for missing in notes:
            yield Unusable(f"{folder}audio/{missing}.wav", "examples.json describes it, but it is not there")


def _describe(
    name: str, note_name: str, folder: str, note: dict[str, Any], labels: dict[str, int], config: NsynthConfig
) -> Finding:
    try:
        family, source = str(note["instrument_family_str"]), str(note["instrument_source_str"])
        pitch, instrument = int(note["pitch"]), str(note["instrument_str"])
    except (KeyError, TypeError, ValueError) as error:
        return Unusable(name, f"its description in examples.json is incomplete: {error}")
    wanted_source = not config.sources or source in config.sources
    if family not in labels or not wanted_source or not config.pitch_min <= pitch <= config.pitch_max:
        return Passed(name)
    part = (folder or config.source).rstrip("/").rsplit("/", 1)[-1]
    official = _OFFICIAL.get(part) if config.split == "official" else None
    return Entry(
        name, f"{note_name}.wav", official or hash_split(instrument), labels[family], family, instrument, pitch=pitch
    )


def _sides(names: Sequence[str]) -> dict[str, str]:
    """The examples.json of every folder that has one (a folder of archives has three)."""
    sides = {name.removesuffix("examples.json"): name for name in names if below(name, 1) == "examples.json"}
    if not sides:
        raise UserError("no examples.json in the source", fix="give an NSynth folder or a .jsonwav.tar.gz archive")
    return sides


def _by_folder(names: Sequence[str], sides: dict[str, str]) -> tuple[dict[str, list[str]], list[str]]:
    """Every name by the nearest folder above it that has an examples.json, and the names that have none."""
    inside: dict[str, list[str]] = {folder: [] for folder in sides}
    outside: list[str] = []
    for name in names:
        above = [name[: at + 1] for at in range(len(name) - 1, -1, -1) if name[at] == "/"]
        nearest = next((folder for folder in (*above, "") if folder in sides), None)
        (outside if nearest is None else inside[nearest]).append(name)
    return inside, outside


def _examples(side: str, read: ReadFile) -> dict[str, Any]:
    try:
        notes = json.loads(read(side))
    except ValueError as error:
        raise UserError(f"not readable: {error}", where=side, fix="fetch the corpus again") from None
    if not isinstance(notes, dict):
        raise UserError("holds no table of notes", where=side, fix="fetch the corpus again")
    return notes


READER = Reader(nsynth)
