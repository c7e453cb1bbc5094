"""Pixels, views, crops and sizes, against plain sums."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from invertone.images.picture import Box, centre, crop, encode, fit, resize, to_uint8, views
from invertone.images.reading import BadPictureError, decode

SIDES = st.integers(1, 40)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def pictures(height: st.SearchStrategy[int] = SIDES, width: st.SearchStrategy[int] = SIDES) -> st.SearchStrategy:
    return st.builds(picture, height, width, st.integers(0, 2**31))


def test_views_are_between_black_and_white_and_come_back_whole() -> None:
    every = np.arange(256, dtype=np.uint8).reshape(16, 16)
    colours = np.stack([every, every[::-1], every.T], axis=2)
    (view,) = views([colours])
    assert view.shape == (3, 16, 16) and view.dtype == np.float32 and view.flags.c_contiguous
    assert view.min() == -1.0 and view.max() == 1.0
    assert abs(view[0, 1, 2] - (2.0 * every[1, 2] - 255) / 255) < 1e-7
    back, outside = to_uint8(view)
    assert (back == colours).all() and outside == 0 and back.flags.c_contiguous


def test_what_lies_outside_is_clipped_and_counted() -> None:
    view = np.zeros((3, 2, 2), np.float32)
    view[0, 0, 0], view[1, 1, 1], view[2] = 1.5, -1.01, 1.001
    pixels, outside = to_uint8(view)
    assert outside == 2 and pixels[0, 0].tolist() == [255, 128, 255] and pixels[1, 1].tolist() == [128, 0, 255]


@given(pictures())
def test_a_png_holds_the_pixels_and_equal_pixels_are_equal_bytes(pixels: np.ndarray) -> None:
    data = encode(pixels)
    assert (decode(data) == pixels).all()
    assert encode(np.asfortranarray(pixels.copy())) == encode(np.ascontiguousarray(pixels[:, ::-1])[:, ::-1]) == data


def kernel(x: np.ndarray) -> np.ndarray:
    """Keys's cubic convolution, a = -0.5."""
    x = np.abs(x)
    near = ((1.5 * x - 2.5) * x) * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def weights(there: int, wanted: int) -> np.ndarray:
    """[wanted, there]: by which pixels are summed, the kernel widened where pictures are made smaller."""
    scale = max(1.0, there / wanted)
    middles = (np.arange(wanted) + 0.5) * there / wanted - 0.5
    found = kernel((np.arange(there) - middles[:, None]) / scale)
    return found / found.sum(1, keepdims=True)


def whole(levels: np.ndarray) -> np.ndarray:
    """As a picture, which it is between both directions too, in whatever order these are."""
    return np.clip(np.rint(levels), 0, 255)


@given(pictures(), SIDES, SIDES)
def test_resizing_is_antialiased_cubic_convolution(pixels: np.ndarray, height: int, width: int) -> None:
    found = resize(pixels, height, width)
    assert found.shape == (height, width, 3) and found.dtype == np.uint8
    levels, down, across = pixels.astype(float), weights(len(pixels), height), weights(pixels.shape[1], width)
    either = [
        np.einsum("hxc,yh->yxc", whole(np.einsum("hwc,xw->hxc", levels, across)), down),
        np.einsum("ywc,xw->yxc", whole(np.einsum("hwc,yh->ywc", levels, down)), across),
    ]
    assert min(np.abs(found - whole(each)).max() for each in either) <= 2


def test_resizing_gives_the_same_bytes_on_every_processor() -> None:
    """And with every Pillow so far that the constraints have named: another may round otherwise, and is noticed here."""
    noisy = picture(97, 61, seed=7)
    made = b"".join(resize(noisy, size, size).tobytes() for size in (32, 64, 128))
    assert hashlib.sha256(made).hexdigest()[:16] == "3d6b0e26aff38771"


@given(st.tuples(*[st.integers(0, 255)] * 3), SIDES, SIDES, SIDES, SIDES)
def test_one_colour_stays_itself(colour: tuple[int, ...], height: int, width: int, high: int, wide: int) -> None:
    flat = np.full((height, width, 3), colour, np.uint8)
    assert (fit(flat, high, wide) == colour).all() and fit(flat, high, wide).shape == (high, wide, 3)


@given(pictures(), SIDES, SIDES)
def test_the_middle_is_the_largest_box_of_the_shape(pixels: np.ndarray, height: int, width: int) -> None:
    box = centre(pixels, height, width)
    high, wide, _ = pixels.shape
    assert (box.width == wide or box.height == high) and 1 <= box.width <= wide and 1 <= box.height <= high
    assert abs(2 * box.left + box.width - wide) <= 1 and abs(2 * box.top + box.height - high) <= 1
    if box.width > 1 and box.height > 1:  # to whole pixels
        assert (box.width - 1) * height < (box.height + 1) * width and (box.height - 1) * width < (
            box.width + 1
        ) * height


def test_the_middle_of_a_landscape_is_cut_at_the_sides() -> None:
    wide = picture(10, 21)
    assert (crop(wide, centre(wide, 64, 64)) == wide[:, 5:15]).all()
    assert (fit(wide, 10, 10) == wide[:, 5:15]).all()


def test_a_box_is_of_pixels_or_of_shares() -> None:
    pixels = picture(20, 40)
    assert Box.of_shares(pixels, 0.25, 0.1, 0.75, 1.0) == Box(10, 2, 20, 18)
    assert (crop(pixels, Box(10, 2, 20, 18)) == pixels[2:20, 10:30]).all()
    assert Box(10, 2, 20, 18).shaped(64, 64) == Box(10, 1, 20, 20)
    assert Box(0, 0, 10, 30).shaped(1, 2) == Box(-25, 0, 60, 30)


@given(st.integers(-9, 30), st.integers(-9, 30), SIDES, SIDES, SIDES, SIDES)
def test_a_box_of_a_shape_holds_the_box(left: int, top: int, wide: int, high: int, height: int, width: int) -> None:
    box = Box(left, top, wide, high)
    found = box.shaped(height, width)
    assert found.left <= left and found.left + found.width >= left + wide and found.width >= wide
    assert found.top <= top and found.top + found.height >= top + high
    assert (found.width == wide or found.height == high) and found.width * height >= found.height * width - max(
        height, width
    )
    assert math.isclose(found.width / width, found.height / height, abs_tol=1 / width + 1 / height + 1e-9)


def test_what_of_a_box_lies_outside_repeats_the_edge() -> None:
    pixels = picture(6, 8)
    found = crop(pixels, Box(-1, 2, 6, 5))
    assert (found == np.pad(pixels, ((0, 2), (1, 0), (0, 0)), mode="edge")[2:7, :6]).all()


@pytest.mark.parametrize(
    "box", [Box(0, 0, 0, 4), Box(2, 2, 3, -1), Box(90, 0, 4, 4), Box(-9, -9, 10, 10), Box(0, 0, 10**9, 10**9)]
)
def test_a_box_that_holds_little_of_the_picture_is_refused(box: Box) -> None:
    with pytest.raises(BadPictureError, match="box"):
        crop(picture(6, 8), box)


@given(arrays(np.uint8, (5, 7, 3)), st.integers(-3, 7), st.integers(-3, 5), st.integers(0, 9), st.integers(0, 9))
def test_a_crop_is_the_padded_pictures_slice_or_refused(
    pixels: np.ndarray, left: int, top: int, wide: int, high: int
) -> None:
    try:
        found = crop(pixels, Box(left, top, wide, high))
    except BadPictureError:
        inside = np.zeros((40, 40), bool)
        inside[10 + max(top, 0) : 10 + min(top + high, 5), 10 + max(left, 0) : 10 + min(left + wide, 7)] = True
        assert 2 * inside.sum() <= wide * high
        return
    whole = np.pad(pixels, ((10, 10), (10, 10), (0, 0)), mode="edge")
    assert (found == whole[10 + top : 10 + top + high, 10 + left : 10 + left + wide]).all()
