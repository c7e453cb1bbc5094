"""A picture file becomes one picture: decoded, turned upright, cut out, resized, a PNG."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedIOBase
from typing import Any

from invertone.cluster.formats.shards import Clip, ClipInfo
from invertone.images.picture import Box, Pixels, centre, crop, encode, resize
from invertone.images.reading import MOST_PIXELS, BadPictureError, Concern, read_header, read_picture
from invertone.ingest.corpora.keys import PictureConfig
from invertone.ingest.plan.entries import Sample
from invertone.ingest.plan.picture_headers import sample_lines
from invertone.ingest.sources.members import Listing

MOST_BYTES = 256 << 20
"""A picture file is read whole; a larger one is refused. The largest picture that is decoded has as many bytes of pixels."""
ENLARGED = "enlarged: what was cut out is smaller than height × width"
PICTURES = "pictures"
"""What a unit's statistics call the counts."""


class Room:
    """For so many pixels at a time, or for one picture that has more. Threads that want more wait."""

    def __init__(self, pixels: int) -> None:
        self._pixels, self._held, self._free = pixels, 0, threading.Condition()

    @contextmanager
    def of(self, pixels: int) -> Iterator[None]:
        """While the context lasts, they are held."""
        with self._free:
            self._free.wait_for(lambda: not self._held or self._held + pixels <= self._pixels)
            self._held += pixels
        try:
            yield
        finally:
            with self._free:
                self._held -= pixels
                self._free.notify_all()


class Pictures:
    """A `ingest.signals.Intake`."""

    one, many, made, bad, statistics = "picture", "pictures", "pictures", BadPictureError, PICTURES
    levels = "untouched"

    def __init__(self, config: PictureConfig) -> None:
        self.config, self.format = config, config.pictures
        self.room = Room(MOST_PIXELS)

    def check_size(self, size: int) -> None:
        """Raises BadPictureError for a file of more than MOST_BYTES."""
        if size > MOST_BYTES:
            raise BadPictureError(f"too large: {size:,} bytes, more than {MOST_BYTES:,}")

    def take(self, file: BufferedIOBase, row: Mapping[str, Any], uri: str, beat: Callable[[], None]) -> Pictured:
        """Reads the file; what storage raises is raised here, and so is no fault of the picture's."""
        return Pictured(self.config, self.room, file.read(MOST_BYTES + 1), row, uri)

    def counted(self, counts: Mapping[str, Any], units: int) -> str:
        return counted(counts, self.config)

    def sample_lines(self, listing: Listing, sample: Sample) -> list[str]:
        return sample_lines(self.config, listing, sample)


@dataclass
class Pictured:
    """A `ingest.signals.Taken`."""

    config: PictureConfig
    room: Room
    data: bytes
    row: Mapping[str, Any]
    uri: str
    _concerns: list[Concern] = field(default_factory=list)
    _counts: dict[str, Any] = field(default_factory=dict)

    def clips(self) -> Iterator[Clip]:
        """The picture. Raises BadPictureError with a reason."""
        config, row = self.config, self.row
        header = read_header(self.data)
        with self.room.of(header.height * header.width):
            found = read_picture(self.data)
            part = part_of(found.pixels, config, row)
            pixels = resize(crop(found.pixels, part), config.height, config.width)
        high, wide, _ = found.pixels.shape
        self._concerns += found.concerns
        enlarged = part.height < config.height or part.width < config.width
        if enlarged:
            times = max(config.height / part.height, config.width / part.width)
            self._concerns.append(Concern(ENLARGED, times))
        self._counts |= {PICTURES: 1, "enlarged": int(enlarged), "forms": {found.form: 1}}
        attributes = row.get("attributes")
        info = ClipInfo(
            key=row["key"],
            split=row["split"],
            source_uri=self.uri,
            label=row["label"],
            label_name=row["label_name"],
            speaker=row["speaker"],
            gender=row["gender"],
            source_height=high,
            source_width=wide,
            box=(part.left, part.top, part.width, part.height),
            attributes=dict(attributes) if attributes is not None else None,
        )
        yield Clip(info, encode(pixels), "png")

    @property
    def clipped(self) -> int:
        """Levels are taken as they are."""
        return 0

    def concerns(self) -> Sequence[Concern]:
        return self._concerns

    def counts(self) -> dict[str, Any]:
        return self._counts


def part_of(pixels: Pixels, config: PictureConfig, row: Mapping[str, Any]) -> Box:
    """What is cut out of a picture [h, w, 3]: the row's box, with the config's margin and in the shape that is asked for; else
    the middle; else all of it."""
    high, wide, _ = pixels.shape
    if row.get("box") is not None:
        left, top, width, height = row["box"]
        across, down = (wide, high) if row["box_shares"] else (1, 1)
        return boxed(left * across, top * down, width * across, height * down, config)
    if config.crop == "none":
        return Box(0, 0, wide, high)
    return middle(pixels, config)


def boxed(left: float, top: float, width: float, height: float, config: PictureConfig) -> Box:
    """A box in pixels, widened by the margin, its edges rounded, then widened to the shape that is asked for. Raises
    BadPictureError for an empty one."""
    if not (width > 0 and height > 0):
        raise BadPictureError(f"box of {width:g} × {height:g} pixels")
    x, y = round(left - config.margin * width), round(top - config.margin * height)
    right, bottom = round(left + (1 + config.margin) * width), round(top + (1 + config.margin) * height)
    return Box(x, y, max(1, right - x), max(1, bottom - y)).shaped(config.height, config.width)


def middle(pixels: Pixels, config: PictureConfig) -> Box:
    """The largest part in the middle that has the shape that is asked for, or the config's share of it."""
    whole = centre(pixels, config.height, config.width)
    if config.share == 1.0:
        return whole
    across, down = max(1, round(whole.width * config.share)), max(1, round(whole.height * config.share))
    high, wide, _ = pixels.shape
    return Box((wide - across) // 2, (high - down) // 2, across, down)


def counted(counts: Mapping[str, Any], config: PictureConfig) -> str:
    """The sum of such counts in words; "" of nothing.

    >>> counted({"pictures": 5, "enlarged": 2, "forms": {"PNG": 1, "JPEG": 4}}, PictureConfig(corpus="pictures"))
    'of 5 pictures 2 were smaller than 64 × 64 pixels, and enlarged; files: 4 JPEG, 1 PNG'
    """
    count = counts.get(PICTURES, 0)
    if not count:
        return ""
    forms = sorted(counts["forms"].items(), key=lambda each: (-each[1], each[0]))
    files = ", ".join(f"{number:,} {form}" for form, number in forms)
    enlarged, shape = counts["enlarged"], f"{config.height} × {config.width} pixels"
    what = f"{enlarged:,} were smaller than {shape}, and enlarged" if enlarged else "none had to be enlarged"
    return f"of {count:,} pictures {what}; files: {files}"
