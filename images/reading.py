"""A picture file of any usual format → 8-bit RGB, upright; or the reason why it is none.

Pillow decodes (its licence: MIT-CMU). What a file is, its content decides, not its name. Colour profiles are not applied.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError, features

EXTENSIONS = {
    "png": "PNG",
    "jpg": "JPEG",
    "jpeg": "JPEG",
    "jpe": "JPEG",
    "jfif": "JPEG",
    "webp": "WEBP",
    "bmp": "BMP",
    "dib": "BMP",
    "gif": "GIF",
    "tif": "TIFF",
    "tiff": "TIFF",
    "ppm": "PPM",
    "pgm": "PPM",
    "pbm": "PPM",
    "avif": "AVIF",
}
"""File-name extensions that promise a picture, and the format each usually is."""
FORMATS = (
    "PNG",
    "JPEG",
    "WEBP",
    "BMP",
    "DIB",
    "GIF",
    "TIFF",
    "PPM",
    *(["AVIF"] if features.check("avif") else []),
)
"""What is decoded: formats that Pillow decodes itself, and none that starts other programs (EPS does)."""
MOST_PIXELS = 1 << 26
"""8,192 × 8,192, 200 MB as RGB. A file of some kilobytes can promise more than any memory holds."""
BAND = 1 << 18
"""Pixels whose colours are worked on as larger numbers at a time."""
MOST_SAID = 120
"""Letters of Pillow's reasons, of which some quote the file."""
ORIENTATION = 0x0112
"""EXIF's tag that says how a camera was held."""
DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    struct.error,
    zlib.error,
)
"""What Pillow raises of files that are damaged, besides what it says that it raises."""

# What Pillow warns of, damaged tags and pictures beyond a limit of its own, is refused here with a reason or does no harm; an
# archive of millions would fill the terminal with it.
warnings.filterwarnings("ignore", module=r"PIL\.")


class BadPictureError(Exception):
    """The input is not a usable picture. The message is the reason, for the rejects table."""


@dataclass(frozen=True)
class Concern:
    """What should be known of a picture that is taken nevertheless: `what`, and how much of it."""

    what: str
    amount: float


@dataclass(frozen=True)
class Picture:
    """pixels: uint8 [h, w, 3], upright; form: the file's format; concerns: what was done to it."""

    pixels: npt.NDArray[np.uint8]
    form: str
    concerns: tuple[Concern, ...] = ()


def read_picture(data: bytes) -> Picture:
    """The bytes of a picture file → its pixels. Raises BadPictureError with a reason.

    Of several frames the first is taken; what is transparent is laid on white; of 16 bits the upper eight are taken; grey is
    three equal channels; CMYK is converted without its profile; and what EXIF says of the camera's orientation is followed.
    """
    if not data:
        raise BadPictureError("empty file (0 bytes)")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            return _read(data, opened)
    except UnidentifiedImageError:
        raise BadPictureError("not a picture of a format that is read") from None
    except Image.DecompressionBombError:
        raise BadPictureError(f"more than {MOST_PIXELS:,} pixels in its header") from None
    except DAMAGE as error:
        raise BadPictureError(_reason(error)) from None


@dataclass(frozen=True)
class Header:
    """form: the file's format. height, width: in pixels, upright. mode: how it holds colours, as Pillow
    names it (RGB, CMYK, …)."""

    form: str
    height: int
    width: int
    mode: str


def read_header(file: bytes | IO[bytes]) -> Header:
    """What a picture file says of itself before its pixels. Raises BadPictureError where it is none, or promises more of them
    than are read."""
    opened = io.BytesIO(file) if isinstance(file, bytes) else file
    try:
        with Image.open(opened, formats=FORMATS) as found:
            width, height = found.size
            _check_size(width, height)
            kept_before = (
                found.format != "PNG" or "exif" in found.info
            )  # else Pillow decodes all of it to look behind its pixels
            if kept_before and _orientation(found)[0] >= 5:
                width, height = height, width
            return Header(found.format or "", height, width, found.mode)
    except UnidentifiedImageError:
        raise BadPictureError("not a picture of a format that is read") from None
    except Image.DecompressionBombError:
        raise BadPictureError(f"more than {MOST_PIXELS:,} pixels in its header") from None
    except DAMAGE as error:
        raise BadPictureError(_reason(error)) from None


def decode(data: bytes) -> npt.NDArray[np.uint8]:
    """The bytes of a PNG of ours → uint8 [h, w, 3]. Raises BadPictureError for what is none."""
    return read_picture(data).pixels


def _read(data: bytes, opened: Image.Image) -> Picture:
    form = opened.format or ""
    _check_size(*opened.size)
    if form == "PNG":
        _check_png(data)
    # what follows the first picture of an MPO (a JPEG of several) is a preview or a depth map
    frames = getattr(opened, "n_frames", 1) if form != "MPO" else 1
    opened.seek(0)
    opened.load()
    concerns = [Concern("frames of which the first is taken", float(frames))] if frames > 1 else []
    orientation, damaged = _orientation(opened)
    if damaged:
        concerns.append(Concern("its EXIF is damaged: taken as upright", 1.0))
    pixels, of_colours = _rgb(opened)
    return Picture(np.ascontiguousarray(upright(pixels, orientation)), form, (*concerns, *of_colours))


def _check_size(width: int, height: int) -> None:
    if not width or not height:
        raise BadPictureError(f"{width} × {height} pixels in its header")
    if width * height > MOST_PIXELS:
        raise BadPictureError(f"{width} × {height} pixels in its header, more than {MOST_PIXELS:,}")


def _check_png(data: bytes) -> None:
    """The checksums of all its chunks, which Pillow's decoding passes over where they are of pixels."""
    with Image.open(io.BytesIO(data), formats=("PNG",)) as again:
        again.verify()


def _orientation(opened: Image.Image) -> tuple[int, bool]:
    """1 to 8 as EXIF numbers them, and whether it cannot be read."""
    try:
        found = opened.getexif().get(ORIENTATION, 1)
    except DAMAGE:
        return 1, True
    return (found, False) if isinstance(found, int) and 1 <= found <= 8 else (1, False)


def upright(pixels: npt.NDArray[np.uint8], orientation: int) -> npt.NDArray[np.uint8]:
    """[h, w, 3] as the sensor had it → as one saw it. orientation: 1 to 8, of EXIF (its row and column of the file lie where
    the picture's top and left are)."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels[:, ::-1] if orientation in (2, 3, 6, 7) else pixels


def _rgb(opened: Image.Image) -> tuple[npt.NDArray[np.uint8], list[Concern]]:
    mode = opened.mode
    if mode == "F":
        raise BadPictureError("floating-point pixels, and nothing says which range they have")
    if mode.startswith("I"):
        return _of_whole_numbers(np.asarray(opened), opened.format or ""), []
    if mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in opened.info:
        return _on_white(np.asarray(opened.convert("RGBA")))
    concerns = [Concern("CMYK: converted without its profile", 1.0)] if mode == "CMYK" else []
    return np.asarray(opened.convert("RGB")), concerns


def _of_whole_numbers(levels: npt.NDArray[np.integer], form: str) -> npt.NDArray[np.uint8]:
    """Grey of 16 bits, of which the upper eight are taken, as Pillow does of colours."""
    if levels.dtype.itemsize > 2 and form not in ("PNG", "PPM"):  # which Pillow keeps in 32 bits, and have 16
        raise BadPictureError("pixels of 32 bits, and nothing says which range they have")
    seen = np.empty((*levels.shape, 3), np.uint8)
    for rows in _bands(*levels.shape):
        seen[rows] = (levels[rows].astype(np.int64).clip(0, 65_535) >> 8)[..., None]
    return seen


def _on_white(pixels: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], list[Concern]]:
    """RGBA [h, w, 4], laid on white, in whole numbers."""
    height, width, _ = pixels.shape
    seen, transparent = np.empty((height, width, 3), np.uint8), 0
    for rows in _bands(height, width):
        colours, opaque = pixels[rows, :, :3].astype(np.int32), pixels[rows, :, 3:].astype(np.int32)
        seen[rows] = (colours * opaque + 255 * (255 - opaque) + 127) // 255
        transparent += int(np.count_nonzero(opaque < 255))
    share = transparent / (height * width)
    return seen, [Concern("share of pixels that are transparent: laid on white", share)] if share else []


def _bands(height: int, width: int) -> Iterator[slice]:
    """All rows, some at a time: whole numbers of a large picture would take a multiple of its bytes."""
    step = max(1, BAND // width)
    return (slice(top, min(top + step, height)) for top in range(0, height, step))


def _reason(error: Exception) -> str:
    """In words of the rejects table; Pillow's own carry no address of the file."""
    said = (" ".join(str(error).split()) or type(error).__name__)[:MOST_SAID]
    return said if "truncated" in said.lower() else f"damaged: {said}"
