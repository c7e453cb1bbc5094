"""Picture files of all kinds, whole and damaged, made by Pillow and by hand."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from invertone.images import reading
from invertone.images.reading import FORMATS, MOST_PIXELS, BadPictureError, Picture, read_picture, upright

LOSSLESS = {"PNG": {}, "BMP": {}, "TIFF": {}, "PPM": {}, "WEBP": {"lossless": True}, "GIF": {}}
LOSSY = {"JPEG": {"quality": 90}, "WEBP": {"quality": 90}}


def scene(height: int = 24, width: int = 32) -> np.ndarray:
    """Few colours, so that a palette holds them: uint8 [h, w, 3], no two of its corners alike."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, :, 0] = 200
    pixels[:, : width // 3, 1] = 120
    pixels[-height // 4 :, -width // 4 :, 2] = 250
    pixels[0, 0] = (10, 20, 30)
    return pixels


def file_of(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def of(pixels: np.ndarray, form: str, **options: Any) -> bytes:
    return file_of(Image.fromarray(pixels), form, **options)


def concerns(found: Picture) -> list[str]:
    return [each.what for each in found.concerns]


@pytest.mark.parametrize("form", LOSSLESS)
def test_a_lossless_file_gives_its_pixels(form: str) -> None:
    found = read_picture(of(scene(), form, **LOSSLESS[form]))
    assert (found.pixels == scene()).all() and found.form == form and found.concerns == ()
    assert found.pixels.dtype == np.uint8 and found.pixels.flags.c_contiguous


@pytest.mark.parametrize("form", LOSSY)
def test_a_lossy_file_gives_nearly_its_pixels(form: str) -> None:
    found = read_picture(of(scene(48, 64), form, **LOSSY[form]))
    assert found.pixels.shape == (48, 64, 3) and np.abs(found.pixels.astype(int) - scene(48, 64)).mean() < 8


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "TIFF", "JPEG"])
def test_pictures_are_upright(form: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = of(scene(), form, exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    assert (read_picture(data).pixels == expected).all()
    assert (upright(scene(), orientation).shape == (24, 32, 3)) == (orientation < 5)


def test_an_orientation_that_is_none_is_none() -> None:
    exif = Image.Exif()
    exif[0x0112] = 9
    assert (read_picture(of(scene(), "PNG", exif=exif)).pixels == scene()).all()


@pytest.mark.parametrize("exif", [b"", b"XX\0\0\0\0\0\x08", b"MM\0*\0\0\0\x08\xff\xff", b"II*\0\xff\xff\xff\xff"])
def test_exif_that_says_nothing_of_the_camera_changes_nothing(exif: bytes) -> None:
    plain = read_picture(of(scene(), "JPEG"))
    found = read_picture(of(scene(), "JPEG", exif=b"Exif\0\0" + exif))
    assert (found.pixels == plain.pixels).all() and found.concerns == ()


def test_damaged_exif_is_said_and_the_picture_taken() -> None:
    text = PngInfo()
    text.add_text("Raw profile type exif", "\nexif\n 4\nno hexadecimals\n")
    found = read_picture(of(scene(), "PNG", pnginfo=text))
    assert (found.pixels == scene()).all() and concerns(found) == ["its EXIF is damaged: taken as upright"]


def test_of_a_jpeg_with_previews_the_picture_is_taken_without_a_word() -> None:
    image = Image.fromarray(scene(), "RGB")
    found = read_picture(file_of(image, "MPO", save_all=True, append_images=[image]))
    assert found.form == "MPO" and found.concerns == ()
    assert (found.pixels == read_picture(of(scene(), "JPEG")).pixels).all()


def test_grey_is_three_equal_channels_of_one_two_eight_and_sixteen_bits() -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    wanted = np.repeat(grey[..., None], 3, axis=2)
    assert (read_picture(of(grey, "PNG")).pixels == wanted).all()
    assert (read_picture(of(grey, "PPM")).pixels == wanted).all()
    assert set(read_picture(file_of(Image.fromarray(grey).convert("1"), "PNG")).pixels.ravel()) == {0, 255}
    for form in ("PNG", "TIFF", "PPM"):
        wide = file_of(Image.fromarray(grey.astype(np.uint16) * 256 + 200), form)
        assert (read_picture(wide).pixels == wanted).all(), form


def png(width: int, height: int, bits: int, colour: int, rows: bytes) -> bytes:
    """A PNG by hand."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_colours_of_sixteen_bits_are_their_upper_eight() -> None:
    wide = (scene().astype(">u2") << 8) + 250
    rows = b"".join(b"\0" + row.tobytes() for row in wide.astype(">u2"))
    assert (read_picture(png(32, 24, 16, 2, rows)).pixels == scene()).all()


def test_palettes_and_transparency() -> None:
    palette = Image.fromarray(scene()).quantize(16)
    assert (read_picture(file_of(palette, "PNG")).pixels == np.asarray(palette.convert("RGB"))).all()
    rgba = np.dstack([scene(), np.full((24, 32), 255, np.uint8)])
    assert (read_picture(of(rgba, "PNG")).pixels == scene()).all() and not read_picture(of(rgba, "PNG")).concerns
    rgba[:12, :, 3] = 0
    rgba[12:, 0, 3] = 128
    found = read_picture(of(rgba, "PNG"))
    assert (found.pixels[:12] == 255).all() and (found.pixels[12:, 1:] == scene()[12:, 1:]).all()
    expected = (scene()[12:, 0] * 128.0 + 255.0 * 127) / 255
    assert np.abs(found.pixels[12:, 0] - expected).max() <= 0.5
    assert concerns(found) == ["share of pixels that are transparent: laid on white"]
    assert found.concerns[0].amount == pytest.approx((12 * 32 + 12) / (24 * 32))
    shades = np.dstack(
        [
            np.tile(scene(256, 256)[:1], (256, 1, 1)),
            np.arange(256, dtype=np.uint8)[:, None] + np.zeros((1, 256), np.uint8),
        ]
    )
    share = shades[..., 3:] / 255
    assert (
        np.abs(read_picture(of(shades, "PNG")).pixels - (shades[..., :3] * share + 255 * (1 - share))).max() <= 0.5001
    )
    hidden = palette.copy()
    clear = file_of(hidden, "PNG", transparency=int(np.asarray(palette)[0, 5]))
    assert (read_picture(clear).pixels[0, 5] == 255).all()


def test_cmyk_is_converted_and_said() -> None:
    found = read_picture(file_of(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "TIFF"))
    assert found.pixels.shape == (8, 8, 3) and (found.pixels[..., 0] > 200).all() and (found.pixels[..., 1:] < 60).all()
    assert concerns(found) == ["CMYK: converted without its profile"]
    assert concerns(read_picture(file_of(Image.new("CMYK", (8, 8)), "JPEG"))) == ["CMYK: converted without its profile"]


def test_of_a_film_the_first_frame_is_taken() -> None:
    frames = [Image.fromarray(scene()), Image.fromarray(255 - scene()), Image.new("RGB", (32, 24))]
    for form, options in (("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})):
        found = read_picture(file_of(frames[0], form, save_all=True, append_images=frames[1:], **options))
        assert (found.pixels == scene()).all(), form
        assert concerns(found) == ["frames of which the first is taken"] and found.concerns[0].amount == 3


def refusal(data: bytes) -> str:
    with pytest.raises(BadPictureError) as refused:
        read_picture(data)
    return str(refused.value)


def test_what_is_no_picture_is_refused_with_a_reason() -> None:
    assert refusal(b"") == "empty file (0 bytes)"
    for data in (
        b"RIFF\0\0\0\0WAVEfmt ",
        b"hello" * 100,
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
        b"\0" * 64,
    ):
        assert refusal(data) == "not a picture of a format that is read"
    floating = file_of(Image.new("F", (4, 4), 0.5), "TIFF")
    assert refusal(floating) == "floating-point pixels, and nothing says which range they have"
    assert refusal(file_of(Image.new("I", (4, 4), 70_000), "TIFF")).startswith("pixels of 32 bits")
    assert refusal(png(0, 4, 8, 2, b"")) != ""


@pytest.mark.parametrize("width", [9_000, 20_000, 1_000_000])
def test_a_bomb_is_refused_by_its_header(width: int) -> None:
    """Of a kilobyte; nothing of its pixels is made."""
    assert width * width > MOST_PIXELS
    assert f"{MOST_PIXELS:,}" in refusal(png(width, width, 8, 2, b"\0" * 1_000))


def test_a_frame_that_is_larger_than_its_gif_is_a_bomb_as_well() -> None:
    data = bytearray(of(scene(8, 8), "GIF"))
    at = data.index(b",\0\0\0\0\x08\0\x08\0")  # the frame's descriptor: left, top, width, height
    data[at + 5 : at + 9] = struct.pack("<HH", 60_000, 2_000)
    assert f"{MOST_PIXELS:,}" in refusal(bytes(data))


FILES = {
    "PNG": of(scene(), "PNG"),
    "JPEG": of(scene(), "JPEG", quality=90),
    "progressive": of(scene(), "JPEG", progressive=True),
    "WEBP": of(scene(), "WEBP", lossless=True),
    "BMP": of(scene(), "BMP"),
    "GIF": of(scene(), "GIF"),
    "TIFF": of(scene(), "TIFF"),
    "TIFF-LZW": of(scene(), "TIFF", compression="tiff_lzw"),
    "PPM": of(scene(), "PPM"),
    **({"AVIF": of(scene(), "AVIF")} if "AVIF" in FORMATS else {}),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_was_cut_short_is_refused_or_whole(name: str) -> None:
    """At every byte: what lacks nothing of the picture gives the picture, nothing gives half of one."""
    data = FILES[name]
    whole = read_picture(data).pixels
    refused = 0
    for length in range(0, len(data), max(1, len(data) // 150)):
        try:
            assert (read_picture(data[:length]).pixels == whole).all(), length
        except BadPictureError:
            refused += 1
    assert refused > 50


@settings(max_examples=300)
@given(
    st.sampled_from(sorted(FILES)), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6)
)
def test_a_damaged_file_is_a_picture_or_a_reason(name: str, changes: list[tuple[float, int]]) -> None:
    data = bytearray(FILES[name])
    for place, value in changes:
        data[int(place * (len(data) - 1))] = value
    try:
        found = read_picture(bytes(data))
    except BadPictureError as refused:
        assert str(refused) and "\n" not in str(refused)
    else:
        assert found.pixels.ndim == 3 and found.pixels.shape[2] == 3 and found.pixels.dtype == np.uint8


@pytest.mark.parametrize("compress_level", [0, 6])
def test_a_png_with_another_byte_is_refused_or_the_same(compress_level: int) -> None:
    """Each of them: its chunks have checksums, so that no damage becomes another picture."""
    pixels = scene(6, 8)
    whole = of(pixels, "PNG", compress_level=compress_level)
    for at in range(len(whole)):
        for change in (1, 128, 255):
            data = bytearray(whole)
            data[at] ^= change
            with contextlib.suppress(BadPictureError):
                assert (read_picture(bytes(data)).pixels == pixels).all(), (at, change)


def test_real_portraits_are_read(corpora: Path) -> None:
    found = [read_picture(path.read_bytes()) for path in sorted((corpora / "faces").glob("*/*.png"))]
    assert len(found) == 152
    assert {each.pixels.shape for each in found} == {(128, 128, 3)} and {each.form for each in found} == {"PNG"}


@pytest.mark.parametrize("form", ["transparent", "deep"])
def test_bands_are_seen_nowhere(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture is the same whether all of it is worked on at once or a row at a time."""
    rng = np.random.default_rng(0)
    if form == "deep":
        picture = Image.fromarray(rng.integers(0, 2**16, (23, 37)).astype(np.uint16))
    else:
        picture = Image.fromarray(rng.integers(0, 256, (23, 37, 4)).astype(np.uint8), "RGBA")
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    whole = read_picture(buffer.getvalue())
    for band in (1, 100, 37 * 5):
        monkeypatch.setattr(reading, "BAND", band)
        again = read_picture(buffer.getvalue())
        assert (again.pixels == whole.pixels).all() and again.concerns == whole.concerns


def test_a_header_says_what_the_picture_turns_out_to_be() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for form, options, height, width in (("JPEG", {"exif": exif}, 20, 10), ("PNG", {}, 10, 20), ("WEBP", {}, 10, 20)):
        buffer = io.BytesIO()
        Image.new("RGB", (20, 10), (200, 10, 10)).save(buffer, form, **options)
        found = reading.read_header(buffer.getvalue())
        assert (found.form, found.height, found.width, found.mode) == (form, height, width, "RGB")
        assert read_picture(buffer.getvalue()).pixels.shape == (height, width, 3)
    for bad in (b"", b"nothing", b"\x89PNG\r\n\x1a\n"):
        with pytest.raises(BadPictureError):
            reading.read_header(bad)
