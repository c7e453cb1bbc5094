"""A picture as something to look at: a data address, and how large it is and is shown."""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

from invertone.eval.report.charts.spectrogram import data_address, image_type

SHOWN = 192
"""CSS pixels of the longer side up to which small pictures are enlarged, by whole times."""
MOST_PIXELS = 2**24


@dataclass(frozen=True)
class Shown:
    """address: a data address. height, width: its pixels. times: how many CSS pixels wide each is shown."""

    address: str
    height: int
    width: int

    @property
    def times(self) -> int:
        return max(1, SHOWN // max(self.height, self.width))


def is_picture(data: bytes) -> bool:
    """Whether these are the bytes of a PNG or JPEG."""
    try:
        return bool(image_type(data))
    except ValueError:
        return False


def picture(data: bytes) -> Shown:
    """A PNG or JPEG file as it is shown. ValueError for bytes that are neither, or that cannot be read."""
    mime = image_type(data)
    try:
        with Image.open(io.BytesIO(data)) as image:
            width, height = image.size
            if width * height > MOST_PIXELS:
                raise ValueError(f"has {width:,} × {height:,} pixels, too many for a page")
            image.load()
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(f"cannot be decoded: {error}") from None
    return Shown(data_address(data, mime), height, width)
