"""Headers say of a recording what decoding it shows."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from invertone.audio.recording.decoder import Decoder
from invertone.audio.recording.headers import read_header
from invertone.audio.recording.recording import BadAudioError
from invertone.cluster.formats.signals import USUAL
from tests.sounds import tone


def written(form: str, rate: int, channels: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.stack([tone(1.5, rate=rate)] * channels, 1), rate, format=form)
    return file.getvalue()


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "MP3", "AIFF", "CAF", "W64", "AU", "NIST"])
@pytest.mark.parametrize(("rate", "channels"), [(44_100, 2), (16_000, 1)])
def test_a_header_says_what_decoding_shows(form: str, rate: int, channels: int) -> None:
    data = written(form, rate, channels)
    header = read_header(io.BytesIO(data))
    decoder = Decoder(io.BytesIO(data), 16_000, 1)
    decoded = sum(map(len, decoder.blocks()))
    assert (header.form, header.rate, header.channels) == (form, rate, channels)
    assert (decoder.source_sample_rate, decoder.source_channels) == (rate, channels)
    assert header.seconds == pytest.approx(decoded / USUAL.sample_rate, abs=0.1) == pytest.approx(1.5, abs=0.1)


def test_an_id3_tag_before_a_flac_is_passed_over() -> None:
    tag = b"ID3\x04\0\0\0\0\0\x0a" + bytes(10)
    assert read_header(io.BytesIO(tag + written("FLAC", 22_050, 1))).rate == 22_050


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "empty file"), (b"words, not waves", "not audio"), (b"fLaC and nothing", "not decodable")],
)
def test_what_has_no_header_is_bad(data: bytes, reason: str) -> None:
    with pytest.raises(BadAudioError, match=reason):
        read_header(io.BytesIO(data))


def test_of_a_long_recording_only_the_beginning_is_read() -> None:
    class Counted(io.BytesIO):
        count = 0

        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size)
            self.count += len(data)
            return data

        def readinto(self, buffer: bytearray, /) -> int:  # type: ignore[override]
            count = super().readinto(buffer)
            self.count += count
            return count

    for form in ("WAV", "FLAC"):
        file = io.BytesIO()
        soundfile.write(file, np.random.default_rng(1).uniform(-1, 1, (2_000_000, 2)), 44_100, format=form)
        counted = Counted(file.getvalue())
        assert read_header(counted).channels == 2
        assert counted.count < 100_000 < len(file.getvalue())
