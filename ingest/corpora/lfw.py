"""Labeled Faces in the Wild (Huang et al. 2007): `NAME/NAME_0001.jpg`, 250 × 250, and lists of people."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from invertone.cluster.config.schema import key
from invertone.ingest.corpora.boxes import Boxes, boxes_of
from invertone.ingest.corpora.entry import Entry, Finding, Noted, Passed, Reader, ReadFile, Unusable, assigned, below
from invertone.ingest.corpora.folder import in_order
from invertone.ingest.corpora.keys import PictureConfig, check_boxes
from invertone.ingest.corpora.pictures import PICTURES, with_boxes

LISTS = {"peopledevtrain": "train", "peopledevtest": "test"}
"""Its authors' view 1, by the list's name in small letters and without its ending."""
_PICTURE = re.compile(r"(?i)(?:^|/)([^/]+)/(\1_\d{4,})\.(?:jpe?g|png)$")
_DOCUMENT = re.compile(r"(?i)^(readme.*|license.*|.*\.(txt|csv|html|md))$")


@dataclass(frozen=True)
class LfwConfig(PictureConfig):
    """Labeled Faces in the Wild; the label is who it is."""

    fewest: int = key(1, "people of fewer pictures are left out: 2 leaves 1,680 of 5,749", minimum=1)


def lfw(names: Sequence[str], read: ReadFile, config: LfwConfig) -> Iterator[Finding]:
    """Labels are people, in alphabetical order. Splits are its authors': people of peopleDevTrain.txt train, of
    peopleDevTest.txt test, who have nobody in common. People of neither, all where the lists are not there, and with
    split=hash are split by hash of their name, with split=within each picture."""
    check_boxes(config)
    boxes = boxes_of(config, names, read) if config.boxes else Boxes()
    yield from with_boxes(_found(names, read, config), boxes, config)


def _found(names: Sequence[str], read: ReadFile, config: LfwConfig) -> Iterator[Finding]:
    official = dict[str, str]()
    if config.split == "official":
        for name in names:
            split = LISTS.get(below(name, 1).rpartition(".")[0].lower())
            if split:
                official |= dict.fromkeys(_people(read(name)), split)
    there = list[tuple[str, str, str]]()
    for name in names:
        match = _PICTURE.search(name)
        if match is not None:
            there.append((name, match[1], match[2]))
        elif _DOCUMENT.match(below(name, 1)):
            yield Passed(name)
        else:
            yield Unusable(name, "not named NAME/NAME_0001.jpg")
    counts = Counter(person for _, person, _ in there)
    kept = {person for person, count in counts.items() if count >= config.fewest}
    if official:
        yield from _without_pictures(official, counts)
        others = sum(person not in official for _, person, _ in there)
        if others:
            yield Noted(f"{others:,} pictures of people whom no list names are split by hash")
    labels = {person: number for number, person in enumerate(in_order(kept))}
    for name, person, file in there:
        if person not in kept:
            yield Passed(name)
            continue
        rule = "hash" if config.split == "official" else config.split
        split = official.get(person) or assigned(rule, file, None, person)
        yield Entry(name, f"{person}/{below(name, 1)}", split, labels[person], person, person)


def _without_pictures(official: Mapping[str, str], counts: Mapping[str, int]) -> Iterator[Finding]:
    missing = [person for person in official if person not in counts]
    if missing:
        some = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
        yield Noted(f"{len(missing):,} people of the lists have no picture here: {some}")


def _people(data: bytes) -> list[str]:
    """Those of a list: lines of a name, a tab (in copies as tables a comma) and a number; its first says how many, or is a
    header."""
    lines = data.decode("utf-8-sig", "replace").splitlines()
    cells = [re.split(r"[\t,]", line.strip()) for line in lines]
    return [each[0].strip() for each in cells if len(each) == 2 and each[0].strip() and each[1].strip().isdigit()]


READER = Reader(lfw, inputs=PICTURES)
