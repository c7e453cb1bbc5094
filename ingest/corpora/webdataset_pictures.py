"""A WebDataset of pictures: tars that hold KEY.jpg (or .png, .webp, …) and, beside it, KEY.json, KEY.cls or KEY.txt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from invertone.ingest.corpora.boxes import Boxes, boxes_of
from invertone.ingest.corpora.entry import Finding, Reader, ReadFile
from invertone.ingest.corpora.keys import PictureConfig, check_boxes
from invertone.ingest.corpora.pictures import PICTURES, with_boxes
from invertone.ingest.corpora.webdataset import ShardsConfig, samples


@dataclass(frozen=True)
class WebdatasetPicturesConfig(ShardsConfig, PictureConfig):
    """A WebDataset of pictures of somebody's."""


def webdataset_pictures(names: Sequence[str], read: ReadFile, config: WebdatasetPicturesConfig) -> Iterator[Finding]:
    """As `ingest.corpora.webdataset.samples`; a label is an identity where nothing else says whose face it is."""
    check_boxes(config)
    boxes = boxes_of(config, names, read) if config.boxes else Boxes()
    yield from with_boxes(samples(names, read, config, PICTURES), boxes, config)


READER = Reader(webdataset_pictures, packed=True, inputs=PICTURES)
