"""Pictures: 8-bit RGB, uint8 [h, w, 3], as files have them; and the floating-point view of networks, [b, 3, h, w] in [-1, 1].

Cropping and resizing are whole-number arithmetic, so that they give the same pictures on every processor.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from invertone.images.reading import BadPictureError

Pixels = npt.NDArray[np.uint8]
"""[h, w, 3]: red, green, blue."""

COMPRESSION = 4
"""zlib's level: portraits of 128 × 128 become 1 % larger than by 6, the usual one, in half the time (2.4 ms each)."""
LEAST_INSIDE = 0.5
"""The share of a box that must lie within the picture: so much of a face at the edge is still one."""


def encode(pixels: Pixels) -> bytes:
    """uint8 [h, w, 3] → a PNG file's bytes, lossless and without anything but pixels. Equal pixels give equal bytes (of one
    version of Pillow on one kind of processor: what is compared across them is pixels)."""
    buffer = io.BytesIO()
    Image.fromarray(pixels, "RGB").save(buffer, "PNG", compress_level=COMPRESSION)
    return buffer.getvalue()


def views(pictures: Sequence[Pixels]) -> npt.NDArray[np.float32]:
    """Pictures of one size, uint8 [h, w, 3] each → what networks see of them, float32 [b, 3, h, w]: black is -1, white 1.

    2 x - 255 is exact and the factor one number, so that there is a single rounding, the same wherever it is computed.
    """
    levels = np.stack(pictures).astype(np.float32).transpose(0, 3, 1, 2)
    return np.ascontiguousarray((2 * levels - 255) * SCALE)


SCALE = np.float32(1 / 255)
"""Of 2 x - 255, which lies between -255 and 255."""


def to_uint8(view: npt.NDArray[np.floating]) -> tuple[Pixels, int]:
    """[3, h, w] in [-1, 1] → uint8 [h, w, 3], the inverse of `views`, and how many values lay outside and were clipped. NaN is
    grey."""
    exact = np.nan_to_num(view.astype(np.float64), nan=0.0)
    levels = np.rint((exact + 1) * 127.5).transpose(1, 2, 0)
    outside = int(np.count_nonzero((levels < 0) | (levels > 255)))
    return np.ascontiguousarray(np.clip(levels, 0, 255).astype(np.uint8)), outside


@dataclass(frozen=True)
class Box:
    """Part of a picture, in pixels: from `left` and `top`, both counted from the picture's, `width` and `height` of it. It may
    reach beyond the edges."""

    left: int
    top: int
    width: int
    height: int

    @staticmethod
    def of_shares(pixels: Pixels, left: float, top: float, right: float, bottom: float) -> Box:
        """Given by shares of the picture's width and height between 0 and 1, its edges rounded to whole pixels."""
        height, width, _ = pixels.shape
        x, y = round(left * width), round(top * height)
        return Box(x, y, round(right * width) - x, round(bottom * height) - y)

    def shaped(self, height: int, width: int) -> Box:
        """The smallest box around it, with the same centre, that is as high for its width as `height` × `width` is: what is cut
        out by it can be resized to that without being stretched by more than its rounding to whole pixels."""
        wide = max(self.width, -(-self.height * width // height))
        high = max(self.height, -(-self.width * height // width))
        return Box(self.left - (wide - self.width) // 2, self.top - (high - self.height) // 2, wide, high)


def centre(pixels: Pixels, height: int, width: int) -> Box:
    """The largest box in the middle of a picture that is as high for its width as `height` × `width` is."""
    high, wide, _ = pixels.shape
    across = max(1, min(wide, high * width // height))
    down = max(1, min(high, wide * height // width))
    return Box((wide - across) // 2, (high - down) // 2, across, down)


def crop(pixels: Pixels, box: Box) -> Pixels:
    """What lies in a box; what of it lies outside the picture repeats the picture's edge.

    Raises BadPictureError for a box that is empty, or of which less than LEAST_INSIDE lies in the picture.
    """
    height, width, _ = pixels.shape
    if box.width <= 0 or box.height <= 0:
        raise BadPictureError(f"box of {box.width} × {box.height} pixels")
    across = min(width, box.left + box.width) - max(0, box.left)
    down = min(height, box.top + box.height) - max(0, box.top)
    if across <= 0 or down <= 0 or across * down < LEAST_INSIDE * box.width * box.height:
        raise BadPictureError(f"box lies outside the picture of {width} × {height} pixels: {box}")
    rows = np.arange(box.top, box.top + box.height).clip(0, height - 1)
    columns = np.arange(box.left, box.left + box.width).clip(0, width - 1)
    return np.ascontiguousarray(pixels[rows[:, None], columns])


def resize(pixels: Pixels, height: int, width: int) -> Pixels:
    """By cubic convolution (Keys 1981, a = -0.5), antialiased: a smaller picture's kernel is as much wider as the picture is
    smaller. Pillow's, which sums whole numbers; its result is the same on every processor."""
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.asarray(Image.fromarray(pixels, "RGB").resize((width, height), Image.Resampling.BICUBIC))


def fit(pixels: Pixels, height: int, width: int, box: Box | None = None) -> Pixels:
    """The part of a picture in `box`, widened to the shape that is asked for, or the largest of that shape in its middle →
    uint8 [height, width, 3]. Raises BadPictureError as `crop` does."""
    part = centre(pixels, height, width) if box is None else box.shaped(height, width)
    return resize(crop(pixels, part), height, width)
