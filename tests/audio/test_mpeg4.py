"""MPEG-4 sound: read where PyAV is installed, and where it is not, the reason says what to install."""

from __future__ import annotations

import io

import numpy as np
import pytest

from invertone.audio.recording import mpeg4
from invertone.audio.recording.containers import container
from invertone.audio.recording.decoder import read_recording
from invertone.audio.recording.headers import read_header
from invertone.audio.recording.recording import BadAudioError, Recording
from invertone.cluster.formats.signals import USUAL
from tests.sounds import Wave, speechlike

HEADS = {"M4A": b"\0\0\0\x20ftypM4A " + bytes(99), "AAC": b"\xff\xf1" + bytes(99)}
SECONDS = 2.0


def usual(file: io.BytesIO) -> Recording:
    return read_recording(file, USUAL.sample_rate, USUAL.channels)


@pytest.mark.parametrize("kind", HEADS)
def test_without_the_library_the_reason_names_the_extra(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mpeg4, "library", lambda: None)
    assert container(HEADS[kind]) == kind
    for read in (usual, read_header):
        with pytest.raises(BadAudioError) as caught:
            read(io.BytesIO(HEADS[kind]))
        assert str(caught.value).endswith("which needs the extra m4a: pip install 'invertone[m4a]'")


def made(wave: Wave, rate: int, form: str = "mp4", codec: str = "aac") -> bytes:
    """Float [n, channels] as an MPEG-4 file, or as a stream of AAC (form adts)."""
    av = pytest.importorskip("av", reason="the extra m4a (PyAV) is not installed")
    layout = {1: "mono", 2: "stereo"}[wave.shape[1]]
    file = io.BytesIO()
    with av.open(file, "w", format=form) as out:
        stream = out.add_stream(codec, rate=rate, layout=layout)
        samples = np.ascontiguousarray(wave.T, np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            out.mux(packet)
    return file.getvalue()


def alike(wanted: Wave, heard: Wave) -> float:
    """The largest normalised correlation at any delay: encoders fill up frames at both ends."""
    spectra = [np.fft.rfft(each, 1 << 18) for each in (wanted, heard)]
    return float(np.fft.irfft(spectra[0].conj() * spectra[1]).max() / (np.linalg.norm(wanted) * np.linalg.norm(heard)))


@pytest.mark.parametrize(("rate", "channels"), [(44_100, 2), (16_000, 1), (48_000, 1)])
@pytest.mark.parametrize("form", ["mp4", "adts"])
def test_it_is_read_as_any_other_recording(form: str, rate: int, channels: int) -> None:
    wave = speechlike(SECONDS, 3, rate)
    data = made(np.stack([wave] * channels, 1), rate, form)
    found = usual(io.BytesIO(data))
    assert found.source_sample_rate == rate and found.concerns == ()
    assert abs(len(found.samples) / USUAL.sample_rate - SECONDS) < 0.2
    places = np.arange(round(SECONDS * USUAL.sample_rate)) / USUAL.sample_rate
    assert alike(np.interp(places, np.arange(len(wave)) / rate, wave), found.samples / 32_768) > 0.9
    header = read_header(io.BytesIO(data))
    assert (header.rate, header.channels) == (rate, channels)
    assert header.seconds == pytest.approx(SECONDS, abs=0.2) if form == "mp4" else header.seconds is None


@pytest.mark.parametrize("form", ["mp4", "adts"])
def test_two_channels_stay_two(form: str) -> None:
    left, right = speechlike(SECONDS, 3, 44_100), speechlike(SECONDS, 4, 44_100)
    found = read_recording(io.BytesIO(made(np.stack([left, right], 1), 44_100, form)), 44_100, 2)
    assert found.samples.shape[1] == 2 and abs(len(found.samples) / 44_100 - SECONDS) < 0.2
    heard = (found.samples / 32_768).T
    assert alike(left, heard[0]) > 0.95 and alike(right, heard[1]) > 0.95
    assert alike(left, heard[1]) < 0.5
    mono = read_recording(io.BytesIO(made(left[:, None], 44_100, form)), 44_100, 2).samples
    assert np.array_equal(mono[:, 0], mono[:, 1])


def test_lossless_sound_in_it_is_read_to_the_bit() -> None:
    wave = np.rint(speechlike(0.5, 4) * 32_767) / 32_768
    found = usual(io.BytesIO(made(wave[:, None], USUAL.sample_rate, codec="alac")))
    assert np.array_equal(found.samples[: len(wave)], np.rint(wave * 32_768).astype(np.int16))


def test_one_that_is_cut_short_is_bad() -> None:
    data = made(speechlike(SECONDS, 3)[:, None], USUAL.sample_rate)
    for kept in (0.9, 0.5, 0.01):
        with pytest.raises(BadAudioError):
            usual(io.BytesIO(data[: int(kept * len(data))]))


def test_garbage_under_its_mark_is_bad() -> None:
    pytest.importorskip("av", reason="the extra m4a (PyAV) is not installed")
    draw = np.random.default_rng(5)
    for head in HEADS.values():
        for read in (usual, read_header):
            with pytest.raises(BadAudioError):
                read(io.BytesIO(head + draw.bytes(3_000)))
