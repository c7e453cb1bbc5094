"""A WebDataset of somebody's: tars that hold KEY.wav (or .flac, .mp3, .ogg, …) and, beside it, KEY.json, KEY.cls or KEY.txt.

Which files make a sample, the webdataset package says; where they lie in damaged, compressed or remote archives, and what of
them can be read, is known from the listing already.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from invertone.audio.recording.recording import extension
from invertone.cluster.config.schema import key
from invertone.cluster.errors import UserError
from invertone.cluster.formats.shards import SPLITS
from invertone.ingest.corpora.columns import NONE, found_column
from invertone.ingest.corpora.entry import (
    SPLIT_NAMES,
    Entry,
    Finding,
    Noted,
    Passed,
    Reader,
    ReadFile,
    Unusable,
    assigned,
)
from invertone.ingest.corpora.folder import in_order, readable
from invertone.ingest.corpora.inputs import RECORDINGS, Inputs
from invertone.ingest.corpora.keys import IngestConfig
from invertone.ingest.corpora.tables import flat, text_of

JSON = "json"
WHAT = ("label", "speaker", "split")
LOOKED_AT = 100
"""Samples whose .json are read to see which fields there are."""


@dataclass(frozen=True)
class ShardsConfig:
    """Keys of any WebDataset."""

    label_from: str = key(
        "",
        "where a label stands: json:FIELD (a.b is b in a) or info.json:FIELD, the ending of a file beside it (cls, "
        "txt), none; empty: cls if there is one, else a field that is called as labels usually are",
    )
    speaker_from: str = key("", "the same for the speaker; empty: a field that is called so, if there is one")
    split_from: str = key(
        "",
        "the same for the split; empty: a field called so that holds names of splits, else the tars' names, else by hash",
    )


@dataclass(frozen=True)
class WebdatasetConfig(ShardsConfig, IngestConfig):
    """A WebDataset of somebody's."""


class AnyShards(Protocol):
    """The keys that `samples` reads."""

    @property
    def split(self) -> str: ...
    @property
    def label_from(self) -> str: ...
    @property
    def speaker_from(self) -> str: ...
    @property
    def split_from(self) -> str: ...


class _Sample(NamedTuple):
    """A sample: its recordings with their endings, what lies beside them, and all files by ending; endings in small letters."""

    recordings: Mapping[str, str]
    beside: Sequence[str]
    files: Mapping[str, str]

    def beside_of(self, recording: str, ending: str) -> str | None:
        """The file with this ending that belongs to a recording: its own before the sample's. webdataset ends a key at the
        first dot, so that `Track 2.0.mp3` and `Track 2.1.mp3` are one sample, whose endings begin with 0 and 1."""
        own = self.recordings[recording]
        part, dot, _ = own.rpartition(".")
        for each in (f"{part}{dot}{ending}", f"{own}.{ending}", ending):
            if each in self.files:
                return self.files[each]
        return None


class _Place(NamedTuple):
    """Where a value stands: the ending of a file, and the field in it if that is .json."""

    ending: str
    field: str = ""

    def __str__(self) -> str:
        return f"{self.ending}:{self.field}" if self.field else self.ending


class _Row(NamedTuple):
    """What is known of a recording."""

    name: str
    label: str | None
    speaker: str | None
    split: str | None


def webdataset(names: Sequence[str], read: ReadFile, config: WebdatasetConfig) -> Iterator[Finding]:
    """Of recordings; see `samples`."""
    return samples(names, read, config, RECORDINGS)


def samples(names: Sequence[str], read: ReadFile, config: AnyShards, inputs: Inputs) -> Iterator[Finding]:
    """names: in the order of the archives. Labels are text, numbered in alphabetical order, numbers by their value. Splits are
    those of `split_from`, else of the tars' names (`valid-000001.tar`); else, or with split=hash, by speaker or file. Of
    pictures a label is whose face it is where no speaker is said.

    A .json or .cls that cannot be read is listed, and its recording taken without what stands there. Raises UserError for
    a field or ending that no sample has, and for a split that is none.
    """
    parts = _parts(names)
    yield from (Passed(name) for name in parts.none)
    grouped = _samples(parts.ordered, inputs)
    first = list(itertools.islice(grouped, LOOKED_AT))
    places = _places(first, parts.endings, read, config, inputs)
    rows, lacking = list[_Row](), Counter[str]()
    for sample in itertools.chain(first, grouped):
        if not sample.recordings:
            yield from _without_recording(sample, inputs)
            continue
        damaged = dict[str, Finding]()
        for name in sample.recordings:
            values = _values(sample, name, places, read, damaged)
            lacking.update(what for what in places if not values.get(what))
            rows.append(_Row(name, *(values.get(what) for what in WHAT)))
        yield from (damaged.get(name, Passed(name)) for name in sample.beside)
    taken = "; ".join(f"{what}s by {places.get(what, NONE)}" for what in WHAT)
    yield Noted(taken + "".join(f"; {count:,} {inputs.many} have no {what} there" for what, count in lacking.items()))
    own, notes = _splits(rows, places.get("split"), config)
    yield from notes
    numbers = {label: number for number, label in enumerate(in_order({row.label for row in rows if row.label}))}
    for row in rows:
        identity = None if inputs is RECORDINGS else row.label
        split_name = own.get(row.name) or assigned(config.split, row.name, row.speaker, identity)
        number = numbers[row.label] if row.label else None
        yield Entry(row.name, readable(row.name), split_name, number, row.label, row.speaker or identity)


class _Parts(NamedTuple):
    """The names that are parts of samples, those of a sample one after the other; those that are none; all endings."""

    ordered: Sequence[str]
    none: Sequence[str]
    endings: set[str]


def _parts(names: Sequence[str]) -> _Parts:
    from webdataset.tariterators import base_plus_ext  # which loads torch: only the plan of such a corpus does

    places, ordered, none, endings = dict[str, int](), list[tuple[int, str]](), list[str](), set[str]()
    for name in names:
        sample, ending = base_plus_ext(name)
        if sample is None or ending.startswith("__"):  # webdataset takes it for no part of a sample either
            none.append(name)
        else:
            endings.add(ending.lower())
            ordered.append((places.setdefault(sample, len(places)), name))
    ordered.sort(key=lambda each: each[0])
    return _Parts([name for _, name in ordered], none, endings)


def _samples(names: Sequence[str], inputs: Inputs) -> Iterator[_Sample]:
    from webdataset.tariterators import group_by_keys

    for found in group_by_keys(({"fname": name, "data": name, "__url__": ""} for name in names), lcase=False):
        files = [(ending.lower(), name) for ending, name in found.items() if not ending.startswith("__")]
        recordings = {name: ending for ending, name in files if extension(name) in inputs.endings}
        yield _Sample(recordings, [name for _, name in files if name not in recordings], dict(files))


def _without_recording(sample: _Sample, inputs: Inputs) -> Iterator[Finding]:
    """Said once of a sample; of what lies beside the tars (a README) not at all."""
    one, *others = sample.beside
    yield Unusable(one, f"no {inputs.one}: its sample has none") if "!/" in one else Passed(one)
    yield from (Passed(name) for name in others)


def _places(
    first: Sequence[_Sample], endings: set[str], read: ReadFile, config: AnyShards, inputs: Inputs
) -> dict[str, _Place]:
    """Where label, speaker and split stand, of those that stand anywhere. endings: of all samples; `first` are some."""

    def fields_of(ending: str) -> list[str]:
        found = dict[str, None]()
        for sample in first:
            for name in dict.fromkeys(sample.beside_of(each, ending) for each in sample.recordings):
                row = _json(name, read) if name is not None else None
                found |= dict.fromkeys(row) if isinstance(row, dict) else {}
        return list(found)

    def there(ending: str) -> bool:
        return any(each == ending or each.endswith(f".{ending}") for each in endings)

    usual, places = fields_of(JSON), dict[str, _Place]()
    for what in WHAT:
        said = getattr(config, f"{what}_from")
        ending, colon, field = said.partition(":")
        ending = ending.lower().lstrip(".")
        in_json = ending == JSON or (bool(colon) and ending.endswith(f".{JSON}"))
        if said == NONE or (what == "split" and config.split != "official"):
            continue
        if ending and not in_json:
            if colon or not there(ending):
                problem = f"{what}_from={said}: no sample has a file with this ending, but {', '.join(sorted(endings))}"
                raise UserError(problem, fix=f"give one of them, or json:FIELD, or {NONE}")
            places[what] = _Place(ending)
        elif not said and what == "label" and there("cls"):
            places[what] = _Place("cls")
        elif fields := fields_of(ending) if in_json and ending != JSON else usual:
            place = ending or JSON
            number = found_column(
                what, field, fields, f"the samples' .{place}", f"{what}_from={place}:FIELD", inputs.usual
            )
            if number is not None:
                places[what] = _Place(place, fields[number])
        elif said:
            problem = f"{what}_from={said}: the first samples have no .{ending} that is read"
            raise UserError(problem, fix="give another place")
    return places


def _values(
    sample: _Sample, recording: str, places: Mapping[str, _Place], read: ReadFile, damaged: dict[str, Finding]
) -> dict[str, str | None]:
    """What stands at `places` for a recording, by what it is. Files that cannot be read go to `damaged`, by name."""
    values, objects = dict[str, str | None](), dict[str, dict[str, object]]()
    for what, place in places.items():
        name = sample.beside_of(recording, place.ending)
        if name is not None and place.field and name not in objects and name not in damaged:
            row = _json(name, read)
            if isinstance(row, Unusable):
                damaged[name] = row
            else:
                objects[name] = row
        if name is None or name in damaged:
            continue
        try:
            said = objects[name].get(place.field) if place.field else read(name).decode("utf-8-sig").strip()
            values[what] = text_of(said)
        except ValueError as error:  # of which a UnicodeDecodeError is one
            reason = "no text" if isinstance(error, UnicodeDecodeError) else f"no {what} in it, {error}"
            damaged[name] = Unusable(name, f"not read: {reason}; its recording is taken without")
    return values


def _json(name: str, read: ReadFile) -> dict[str, object] | Unusable:
    try:
        found = json.loads(read(name))
    except ValueError:
        found = None
    if isinstance(found, dict):
        return flat(found)
    return Unusable(name, "not read: no JSON object; its recording is taken without")


def _splits(rows: Sequence[_Row], place: _Place | None, config: AnyShards) -> tuple[dict[str, str], list[Finding]]:
    """The splits of recordings that have one, and what is to be said of them."""
    if config.split != "official":
        return {}, []
    if place is not None:
        unknown = sorted({row.split for row in rows if row.split and row.split.lower() not in SPLIT_NAMES})
        if not unknown:
            own = {row.name: SPLIT_NAMES[row.split.lower()] for row in rows if row.split}
            return own, [Noted(_told(f"those of {place}", own, len(rows)))]
        if config.split_from:
            problem = f"split_from={config.split_from} gives {unknown[0]!r}, which names no split"
            raise UserError(problem, fix=f"name another place, {NONE}, or split=hash")
        said: list[Finding] = [Noted(f"{place} holds {unknown[0]!r}, which names no split: it is not read")]
    else:
        said = []
    own = _of_archives(row.name for row in rows)
    return own, [*said, *([Noted(_told("those of the archives' names", own, len(rows)))] if own else [])]


def _of_archives(names: Iterable[str]) -> dict[str, str]:
    """The split that an archive's name says: `audio-valid-000012.tar`; none where it says two."""
    known, own = dict[str, str](), dict[str, str]()
    for name in names:
        archive, packed, _ = name.partition("!/")
        if packed and archive not in known:
            words = re.split(r"[^a-z]+", archive.lower())
            found = {SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES}
            known[archive] = found.pop() if len(found) == 1 else ""
        if packed and known[archive]:
            own[name] = known[archive]
    return own


def _told(whose: str, own: Mapping[str, str], recordings: int) -> str:
    counts = Counter(own.values())
    splits = ", ".join(f"{counts[split]:,} {split}" for split in SPLITS if counts[split])
    rest = f"; {recordings - len(own):,} others are split by hash" if recordings > len(own) else ""
    return f"splits are {whose} ({splits or 'none'}){rest}; split=hash makes others"


READER = Reader(webdataset, packed=True)
