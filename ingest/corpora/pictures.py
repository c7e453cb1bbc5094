"""Any tree of pictures: labels, identities and splits as of a tree of audio; boxes by a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from invertone.cluster.config.schema import key
from invertone.images.reading import EXTENSIONS
from invertone.ingest.corpora.boxes import Boxes, boxes_of
from invertone.ingest.corpora.columns import USUAL
from invertone.ingest.corpora.entry import Entry, Finding, Passed, Reader, ReadFile, Unusable
from invertone.ingest.corpora.folder import TreeConfig, tree
from invertone.ingest.corpora.inputs import Inputs
from invertone.ingest.corpora.keys import PictureConfig, check_boxes

SETTINGS = "corpus.json"
"""Of a corpus that `invertone corpus` made."""
_USUAL: Mapping[str, tuple[str, ...]] = {
    "path": (
        "image_id", "image_path", "image_file", "image_filename", "image_name", "image", "img_path", "img", "picture", "photo",
        *(each for each in USUAL["path"] if "audio" not in each and "wav" not in each),
    ),
    "label": ("identity_name", "identity", "person", *USUAL["label"]),
    "speaker": ("identity_id", "identity", "person_id", "person", "subject_id", "subject", "celebrity", *USUAL["speaker"]),
    "split": USUAL["split"],
}  # fmt: skip
PICTURES = Inputs("picture", "pictures", "picture", frozenset(EXTENSIONS), _USUAL)


@dataclass(frozen=True)
class PicturesConfig(TreeConfig, PictureConfig):
    """Any tree of pictures."""

    attribute_columns: list[str] = key(
        [], "columns of the tables whose numbers are kept with each picture; [all]: every one that holds nothing else"
    )


def pictures(names: Sequence[str], read: ReadFile, config: PicturesConfig) -> Iterator[Finding]:
    """As `ingest.corpora.folder.tree`; a label is an identity where nothing else says whose face it is."""
    check_boxes(config)
    boxes = boxes_of(config, names, read) if config.boxes else Boxes()
    yield from with_boxes(tree(names, read, config, PICTURES, config.attribute_columns), boxes, config)


def with_boxes(findings: Iterator[Finding], boxes: Boxes, config: PictureConfig) -> Iterator[Finding]:
    """Entries with their boxes; a picture without one is none where crop=box. Nobody is told that the table of boxes, or what
    `invertone corpus` says of what it made, is no picture."""
    yield from boxes.findings
    for each in findings:
        if isinstance(each, Unusable) and each.name in boxes.members | {SETTINGS}:
            yield Passed(each.name)
        elif config.crop != "box" or not isinstance(each, Entry):
            yield each
        elif (box := boxes.rows.get(each.name)) is not None:
            yield each._replace(box=box)
        else:
            yield Unusable(each.name, f"no box: no row of {boxes.name} names it")


READER = Reader(pictures, inputs=PICTURES)
