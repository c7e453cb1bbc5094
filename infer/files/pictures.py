"""Picture files and arrays → pictures of a generator's size: what is inverted of one at hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from invertone.cluster.errors import UserError
from invertone.cluster.formats.shards import Clip, ClipInfo
from invertone.cluster.formats.signals import PictureFormat
from invertone.cluster.storage.addresses import absolute
from invertone.cluster.storage.folder import Folder
from invertone.images.picture import centre, encode, fit
from invertone.images.reading import BadPictureError, Picture, read_picture

SCORES = ("feature_distance", "psnr", "ssim", "pixel_mae", "pixel_mse")
"""Of the reconstruction against its picture, as Parquet rows name them."""
BLANK = "grey"
"""The reconstruction that holds nothing: every value halfway from black to white."""


def picture_of(file: str) -> Picture:
    """The picture in a file, local or s3://. Raises UserError where there is none."""
    folder, _, name = absolute(file).rpartition("/")
    try:
        return read_picture(Folder(folder).read_bytes(name))
    except BadPictureError as error:
        raise UserError(str(error), where=file, fix="give a picture, such as a PNG or JPEG file") from None
    except FileNotFoundError:
        raise UserError("no such file", where=file, fix="check the path") from None
    except IsADirectoryError:
        raise UserError("is a folder", where=file, fix="`invertone ingest pictures` and `infer` are for many") from None


def of_array(values: Any) -> Picture:
    """uint8 [h, w, 3], or [h, w] of grey. Raises UserError for anything else."""
    pixels = np.asarray(values)
    if pixels.dtype != np.uint8 or not pixels.size or not (pixels.ndim == 2 or pixels.shape[2:] == (3,)):
        what = f"is an array of {pixels.dtype} with the shape {pixels.shape}"
        raise UserError(what, where="picture", fix="give uint8 of the shape [h, w, 3] or [h, w], or the path of a file")
    return Picture(np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels, "array")


def fitted(name: str, found: Picture, format: PictureFormat) -> Clip:
    """The largest part in the middle of a picture that has the shape of `format`, resized to it."""
    height, width, _ = found.pixels.shape
    box = centre(found.pixels, format.height, format.width)
    info = ClipInfo(
        key=name,
        split="test",
        source_uri=name,
        source_height=height,
        source_width=width,
        box=(box.left, box.top, box.width, box.height),
    )
    return Clip(info, encode(fit(found.pixels, format.height, format.width)), "png")


def refuse_of_clips(options: Mapping[str, Any]) -> None:
    """Raises UserError where one of these, which are of recordings, has a value."""
    for name, value in options.items():
        if value is not None:
            raise UserError(f"{name}={value}, and the generator makes pictures", fix=f"leave {name} out")
