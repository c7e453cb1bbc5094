"""CelebA (Liu et al. 2015): 202,599 portraits of 10,177 people, as `img_align_celeba/000001.jpg` (178 × 218) or in the wild as
`img_celeba/…`, and lists of splits, identities, attributes and boxes, as its authors' .txt or as copies of them in .csv."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from invertone.audio.recording.recording import extension
from invertone.cluster.config.schema import key
from invertone.cluster.errors import UserError, did_you_mean
from invertone.images.reading import EXTENSIONS
from invertone.ingest.corpora.boxes import Boxes, boxes_of
from invertone.ingest.corpora.entry import (
    Attributes,
    Box,
    Entry,
    Finding,
    Noted,
    Passed,
    Reader,
    ReadFile,
    Unusable,
    assigned,
    below,
)
from invertone.ingest.corpora.folder import in_order
from invertone.ingest.corpora.keys import CROPS, PictureConfig, check_boxes
from invertone.ingest.corpora.pictures import PICTURES

ALIGNED = Box(25, 57, 128, 128)
"""What ProGAN's CelebA-HQ script and most since then cut out of an aligned picture of 178 × 218: 128 × 128 around (89, 121)."""
IDENTITY, NONE, MALE = "identity", "none", "Male"
LISTS = {
    "list_eval_partition": "splits",
    "identity_celeba": "identities",
    "list_attr_celeba": "attributes",
    "list_bbox_celeba": "boxes",
    "list_landmarks_align_celeba": "",
    "list_landmarks_celeba": "",
}
"""What its lists hold, by their names in small letters and without the ending; those that are not read hold nothing."""
_SPLITS = {"0": "train", "1": "validation", "2": "test"}
_ON, _OFF = 1.0, 0.0
_WILD = re.compile(r"(?i)(?:^|/)img_celeba(?:\.|/|$)")


@dataclass(frozen=True)
class CelebaConfig(PictureConfig):
    """CelebA; the label is the identity, or one of its 40 attributes."""

    crop: str = key(
        "aligned",
        "what is cut out before it is resized: aligned, 128 × 128 around the face of an aligned picture of 178 × 218, as "
        "ProGAN's authors did; the largest middle part; a box of each file's own, CelebA's unless `boxes` names others; or "
        "nothing (none: the whole, stretched)",
        choices=("aligned", *CROPS),
    )
    label_from: str = key(
        "",
        "identity, one of the attributes (Smiling, Male, …: label 1 has it, 0 has not), or none; empty: identity if its list "
        "is there",
    )


@dataclass
class _Lists:
    """What CelebA's lists say, by the picture's number as its file is called without ending. wrong: rows that are not read."""

    splits: dict[str, str] = field(default_factory=dict)
    identities: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, Attributes] = field(default_factory=dict)
    boxes: dict[str, Box] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    there: set[str] = field(default_factory=set)
    wrong: list[Finding] = field(default_factory=list)

    def numbers(self) -> set[str]:
        """All pictures that any list names."""
        return self.splits.keys() | self.identities.keys() | self.attributes.keys() | self.boxes.keys()


def celeba(names: Sequence[str], read: ReadFile, config: CelebaConfig) -> Iterator[Finding]:
    """Identities are numbered by their own numbers. Splits are its authors' list's (0, 1, 2: train, validation, test); what has
    no row there, or all with split=hash, is split by identity, with split=within by picture. Attributes are 1 or 0.

    A picture of which a list says nothing is taken without; what a list names and the source lacks is reported once. Raises
    UserError for a label that the lists do not hold, and for pictures that crop=aligned is not for.
    """
    check_boxes(config, own="list_bbox_celeba.txt")
    if config.crop == "aligned" and all(_WILD.search(name) for name in names if extension(name) in EXTENSIONS):
        raise UserError(
            "crop=aligned is for aligned pictures, and these are not aligned",
            where=config.source,
            fix="give crop=box, which cuts out the faces of list_bbox_celeba.txt, or crop=centre",
        )
    lists = _read_lists(names, read, config)
    label_from = _label_from(lists, config)
    yield from lists.wrong
    own = boxes_of(config, names, read) if config.boxes else Boxes()
    yield from own.findings
    pictures = list[tuple[str, str]]()
    for name in names:
        if extension(name) in EXTENSIONS:
            pictures.append((name, below(name, 1).rpartition(".")[0]))
        else:
            document = extension(name) in ("txt", "csv", "md", "pdf") or name in own.members
            yield Passed(name) if document else Unusable(name, f"wrong extension: .{extension(name) or '(none)'}")
    yield from _absent(lists, {number for _, number in pictures})
    yield from _noted(lists, [number for _, number in pictures], label_from, config)
    numbers = {each: at for at, each in enumerate(in_order(set(lists.identities.values())))}
    for name, number in pictures:
        box, reason = _box(name, number, lists, own, config)
        if reason:
            yield Unusable(name, reason)
            continue
        identity, attributes = lists.identities.get(number), lists.attributes.get(number)
        label, label_name = _label(label_from, identity, attributes, numbers)
        rule = "hash" if config.split == "official" else config.split
        split = lists.splits.get(number) or assigned(rule, number, None, identity)
        yield Entry(
            name,
            below(name, 1),
            split,
            label,
            label_name,
            identity,
            _gender(attributes),
            box=box,
            attributes=attributes,
        )


def _label(
    label_from: str, identity: str | None, attributes: Attributes | None, numbers: Mapping[str, int]
) -> tuple[int | None, str | None]:
    """Number and name."""
    if label_from == IDENTITY:
        return (numbers[identity], identity) if identity else (None, None)
    if label_from == NONE or attributes is None:
        return None, None
    has = attributes.values[attributes.names.index(label_from)] == _ON
    return int(has), label_from if has else f"not_{label_from}"


def _gender(attributes: Attributes | None) -> str | None:
    if attributes is None or MALE not in attributes.names:
        return None
    return "M" if attributes.values[attributes.names.index(MALE)] == _ON else "F"


def _box(name: str, number: str, lists: _Lists, own: Boxes, config: CelebaConfig) -> tuple[Box | None, str]:
    """What is cut out of a picture, and why it is none."""
    if config.crop == "aligned":
        return ALIGNED, "not aligned: crop=box cuts faces out of pictures in the wild" if _WILD.search(name) else ""
    if config.crop != "box":
        return None, ""
    box = own.rows.get(name) if config.boxes else lists.boxes.get(number)
    return box, "" if box else f"no box: no row of {own.name or 'list_bbox_celeba'} names it"


def _label_from(lists: _Lists, config: CelebaConfig) -> str:
    asked = config.label_from
    if not asked:
        return IDENTITY if lists.identities else NONE
    if asked == IDENTITY and not lists.identities:
        raise UserError(
            "label_from=identity without identity_CelebA.txt", fix="put it beside the pictures, or give none"
        )
    if asked not in (IDENTITY, NONE, *lists.names):
        there = ", ".join(lists.names) or "none: list_attr_celeba.txt is not there"
        near = did_you_mean(asked, [IDENTITY, NONE, *lists.names])
        raise UserError(f"label_from={asked} is none of the attributes ({there})", fix=f"give one of them{near}")
    return asked


def _read_lists(names: Sequence[str], read: ReadFile, config: CelebaConfig) -> _Lists:
    lists = _Lists()
    for name in names:
        what = LISTS.get(below(name, 1).rpartition(".")[0].lower()) if extension(name) in ("txt", "csv") else None
        if not what or (what == "splits" and config.split != "official") or (what == "boxes" and config.crop != "box"):
            continue
        lists.there.add(what)
        header, known = tuple[str, ...](), dict[tuple[float, ...], tuple[float, ...]]()
        for row, cells in _rows(read(name)):
            if not re.fullmatch(r"\d{1,9}(\.[A-Za-z]+)?", cells[0]):
                header = header or tuple(cells if cells[0] != "image_id" else cells[1:])
                lists.names = header if what == "attributes" else lists.names
                continue
            if len(cells) == 1:
                continue  # how many there are
            number, values = cells[0].partition(".")[0], cells[1:]
            wrong = _take(lists, what, number, values, known)
            if wrong:
                lists.wrong.append(Unusable(name, f"a row that is not read: row {row} {wrong}"))
    return lists


def _take(
    lists: _Lists, what: str, number: str, values: Sequence[str], known: dict[tuple[float, ...], tuple[float, ...]]
) -> str:
    """Puts a row into `lists`; what is wrong with it, "" if nothing. known: values of attributes that are kept once."""
    if what == "splits":
        if values[0] not in _SPLITS:
            return f"says {values[0]!r}, which is none of 0, 1, 2"
        lists.splits[number] = _SPLITS[values[0]]
    elif what == "identities":
        if not values[0].isdigit():
            return f"says {values[0]!r}, which is no identity"
        lists.identities[number] = str(int(values[0]))
    elif what == "attributes":
        if len(values) != len(lists.names) or not set(values) <= {"1", "-1", "0"}:
            return f"has {len(values)} values of 1 or -1 where there are {len(lists.names)} attributes"
        on = tuple(_ON if each == "1" else _OFF for each in values)
        lists.attributes[number] = Attributes(lists.names, known.setdefault(on, on))
    else:
        try:
            left, top, width, height = (float(each) for each in values)
        except ValueError:
            return "has no four numbers"
        lists.boxes[number] = Box(left, top, width, height)
    return ""


def _rows(data: bytes) -> Iterator[tuple[int, list[str]]]:
    """The cells of lines, with their numbers, divided by commas where there are any, else by spaces."""
    for row, line in enumerate(data.decode("utf-8-sig", "replace").splitlines(), 1):
        cells = [each.strip() for each in line.split(",")] if "," in line else line.split()
        if cells and cells[0]:
            yield row, cells


def _absent(lists: _Lists, there: set[str]) -> Iterator[Finding]:
    for number in sorted(lists.numbers() - there):
        yield Unusable(f"{number}.jpg", "described by CelebA's lists, but not there")


def _noted(lists: _Lists, numbers: Sequence[str], label_from: str, config: CelebaConfig) -> Iterator[Finding]:
    """What should be known of how the lists were read."""
    yield Noted(f"labels by {label_from}; lists that are there: {', '.join(sorted(lists.there)) or 'none'}")
    repeated = sum(count - 1 for count in Counter(numbers).values())
    if repeated:
        yield Noted(f"{repeated:,} pictures have the number of another")
    for what, held in (("splits", lists.splits), ("identities", lists.identities), ("attributes", lists.attributes)):
        without = sum(number not in held for number in numbers)
        if what in lists.there and without:
            rest = "split by hash" if what == "splits" else "taken without"
            yield Noted(f"{without:,} pictures have no row in the list of {what}: {rest}")
    if "splits" not in lists.there and config.split == "official":
        yield Noted("no list_eval_partition.txt: pictures are split by hash, people apart where identities are known")


READER = Reader(celeba, inputs=PICTURES)
