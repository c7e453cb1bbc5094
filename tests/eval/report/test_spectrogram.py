"""Pictures and data addresses: even lightness, tones where they belong, bytes of strangers refused."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from invertone.audio.clip import encode, to_int16
from invertone.cluster.formats.signals import USUAL
from invertone.eval.report.charts.spectrogram import colour_map, decibels, image_type, player


def lightness(colours: np.ndarray) -> np.ndarray:
    """sRGB [n, 3] → Oklab lightness [n], by the published matrices forwards."""
    encoded = colours / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    cone = np.array([[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
                     [0.0883024619, 0.2817188376, 0.6299787005]])  # fmt: skip
    return np.cbrt(linear @ cone.T) @ np.array([0.2104542553, 0.7936177850, -0.0040720468])


def test_the_colour_map_grows_lighter_evenly() -> None:
    steps = np.diff(lightness(colour_map().astype(float))[::8])
    assert colour_map().shape == (256, 3)
    assert steps.min() > 0.6 * steps.mean() and steps.max() < 1.4 * steps.mean()


def picture(image: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(image.partition(",")[2])))


@pytest.mark.parametrize("hertz", [500, 2_000, 6_000])
@pytest.mark.parametrize("extension", ["wav", "flac"])
def test_a_tone_is_brightest_where_it_belongs(hertz: int, extension: str) -> None:
    wave = 0.5 * np.sin(2 * np.pi * hertz * np.arange(USUAL.samples) / USUAL.sample_rate)
    shown = player(encode(to_int16(wave)[0], extension, 16_000))
    image = picture(shown.image)
    assert image.size == (128, 256) and image.format == "PNG"
    brightness = np.asarray(image).mean(axis=1)
    assert abs((255 - brightness.argmax()) * USUAL.sample_rate / 512 - hertz) < 2 * USUAL.sample_rate / 512
    assert shown.loudest == pytest.approx(20 * np.log10(0.5), abs=0.5)
    assert shown.audio.startswith(f"data:audio/{extension};base64,") and shown.seconds == pytest.approx(1.024)
    assert shown.times == (
        ("0.0", 0.0),
        ("0.5", pytest.approx(48.83, abs=0.01)),
        ("1.0", pytest.approx(97.66, abs=0.01)),
    )


@pytest.mark.parametrize("extension", ["wav", "flac"])
def test_stereo_at_44_1_khz_has_its_own_axes_and_nothing_of_it_cancels(extension: str) -> None:
    """Left and right turned over: their sum is silence, what is heard is not."""
    rate, samples, hertz = 44_100, 65_536, 15_000
    tone = 0.5 * np.sin(2 * np.pi * hertz * np.arange(samples) / rate)
    sound = encode(to_int16(np.stack([tone, -tone], axis=1))[0], extension, rate)
    shown, image = player(sound, waveform=True), picture(player(sound).image)
    assert shown.kilohertz == 22.05 and shown.seconds == pytest.approx(samples / rate) and image.size == (512, 256)
    assert [label for label, _ in shown.times] == ["0.0", "0.5", "1.0"]
    assert shown.times[2][1] == pytest.approx(100 * rate / samples)
    brightness = np.asarray(image).mean(axis=1)
    assert abs((255 - brightness.argmax()) * rate / 512 - hertz) < 2 * rate / 512
    assert shown.loudest == pytest.approx(20 * np.log10(0.5), abs=0.5)
    assert shown.wave is not None and shown.wave.peak == pytest.approx(0.5, abs=1e-3)
    one_sided = player(encode(to_int16(np.stack([tone, 0 * tone], axis=1))[0], extension, rate))
    assert one_sided.loudest == pytest.approx(shown.loudest - 10 * np.log10(2), abs=0.1)


def test_a_common_reference_keeps_levels_comparable() -> None:
    wave = np.sin(np.arange(USUAL.samples) * 0.3)
    loud, quiet = encode(to_int16(0.5 * wave)[0], "wav", 16_000), encode(to_int16(0.05 * wave)[0], "wav", 16_000)
    reference = player(loud).loudest
    own, shared = (np.asarray(picture(player(quiet, r).image)).max() for r in (None, reference))
    assert own == 255 and shared == pytest.approx(255 * (1 - 20 / 70), abs=3)


def test_silence_and_very_short_sounds_are_dark_pictures() -> None:
    for samples in (USUAL.samples, 40):
        image = picture(player(encode(np.zeros(samples, np.int16), "wav", 16_000)).image)
        assert np.asarray(image).max() == 0


def test_a_long_sound_keeps_a_narrow_picture() -> None:
    assert decibels(np.zeros(30 * USUAL.sample_rate, np.float32)).shape[1] <= 512


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "neither WAV nor FLAC"),
        (b"<svg onload=alert(1)>", "neither WAV nor FLAC"),
        (b"fLaC" + b"\0" * 50, "cannot be decoded"),
        (encode(np.zeros(0, np.int16), "wav", 16_000), "0.0 s long"),
        (encode(np.zeros(61 * USUAL.sample_rate, np.int16), "flac", 16_000), "61.0 s long"),
    ],
)
def test_what_is_no_sound_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        player(data)


def test_only_pictures_pass_as_pictures() -> None:
    assert image_type(b"\x89PNG\r\n\x1a\n...") == "image/png" and image_type(b"\xff\xd8\xff\xe0") == "image/jpeg"
    with pytest.raises(ValueError, match="neither PNG nor JPEG"):
        image_type(b"<svg xmlns='http://www.w3.org/2000/svg'/>")
