"""Recordings: every format, rate and channel count becomes int16 of the rate and channels that are asked for, or a reason."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from invertone.audio.clip import to_int16
from invertone.audio.recording import decoder as module
from invertone.audio.recording.containers import PlainWav, plain_wav
from invertone.audio.recording.decoder import read_recording
from invertone.audio.recording.mpeg4 import KINDS
from invertone.audio.recording.recording import EXTENSIONS, BadAudioError, Recording, extension
from tests.sounds import noise, speechlike, tone

ROOT = Path(__file__).parents[2]
FORMATS = {
    "a.wav": ("WAV", "PCM_16"),
    "b.wav": ("WAV", "PCM_24"),
    "c.wav": ("WAV", "FLOAT"),
    "d.wav": ("WAVEX", "PCM_32"),
    "e.wav": ("RF64", "PCM_16"),
    "f.wav": ("WAV", "ULAW"),
    "g.flac": ("FLAC", "PCM_16"),
    "h.ogg": ("OGG", "VORBIS"),
    "i.opus": ("OGG", "OPUS"),
    "j.mp3": ("MP3", "MPEG_LAYER_III"),
    "k.aiff": ("AIFF", "PCM_16"),
    "l.au": ("AU", "PCM_16"),
    "m.aif": ("AIFF", "FLOAT"),
    "n.WAV": ("WAV", "PCM_U8"),
    "o.sph": ("NIST", "PCM_16"),
    "p.caf": ("CAF", "PCM_16"),
    "q.w64": ("W64", "PCM_16"),
}


def encoded(wave: np.ndarray, name: str = "a.wav", rate: int = 16_000, subtype: str | None = None) -> bytes:
    container, usual = FORMATS[name]
    if container not in soundfile.available_formats():
        pytest.skip(f"this libsndfile writes no {container}")
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, rate, format=container, subtype=subtype or usual)
    return buffer.getvalue()


def read(data: bytes, name: str = "a.wav") -> np.ndarray:
    return read_recording(io.BytesIO(data), 16_000, 1).samples


def refused(data: bytes, name: str = "a.wav") -> str:
    with pytest.raises(BadAudioError) as caught:
        read_recording(io.BytesIO(data), 16_000, 1)
    return str(caught.value)


def wav(fields: bytes, data: bytes, promised: int | None = None) -> bytes:
    """A WAV file of a hand-made `fmt ` chunk and data."""
    body = b"WAVEfmt " + struct.pack("<I", len(fields)) + fields
    body += b"data" + struct.pack("<I", len(data) if promised is None else promised) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def fmt(rate: int = 16_000, channels: int = 1) -> bytes:
    return struct.pack("<HHIIHH", 1, channels, rate, rate * 2 * channels & 0xFFFFFFFF, 2 * channels, 16)


@pytest.mark.parametrize("name", ["a.wav", "g.flac", "e.wav", "k.aiff", "l.au"])
def test_16_bit_mono_at_16_khz_is_taken_bit_by_bit(name: str, rng: np.random.Generator) -> None:
    samples = rng.integers(-32_768, 32_768, 5_000).astype(np.int16)
    assert np.array_equal(read(encoded(samples, name), name), samples)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_keeps_a_tone_s_pitch_and_level(name: str) -> None:
    found = read(encoded(tone(1.0, 1_000, 0.5), name), name) / 32_768
    assert len(found) == 16_000
    spectrum = np.abs(np.fft.rfft(found[4_000:12_000] * np.hanning(8_000))) / 2_000
    assert spectrum.argmax() == 500
    assert spectrum.max() == pytest.approx(0.5, rel=0.04)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_resampling_keeps_frequency_level_and_duration(rate: int) -> None:
    heard = read_recording(io.BytesIO(encoded(tone(1.0, 1_000, 0.5, rate), rate=rate)), 16_000, 1)
    found = heard.samples / 32_768
    assert heard.source_sample_rate == rate
    assert abs(len(found) - 16_000) <= 1
    spectrum = np.abs(np.fft.rfft(found[4_000:12_000] * np.hanning(8_000))) / 2_000
    assert spectrum.argmax() == 500
    assert spectrum.max() == pytest.approx(0.5, rel=0.005)
    assert np.delete(spectrum, range(495, 506)).max() < 1e-3


def test_what_lies_above_8_khz_does_not_fold_back() -> None:
    found = read(encoded(tone(1.0, 11_000, 0.5, 48_000), rate=48_000))
    assert np.abs(found[1_000:-1_000]).max() < 33  # -60 dB


def test_channels_are_mixed_to_their_mean() -> None:
    left, right = tone(0.2, 400, 0.4), noise(0.2, 0.05)
    found = read(encoded(np.stack([left, right], axis=1), "c.wav"), "c.wav")
    assert np.abs(found - np.rint((left + right) / 2 * 32_768)).max() <= 1


def test_samples_driven_past_full_scale_are_clipped_and_counted() -> None:
    heard = read_recording(io.BytesIO(encoded(tone(0.1, 400, 1.5), "c.wav")), 16_000, 1)
    assert heard.clipped > 100
    assert (heard.samples.max(), heard.samples.min()) == (32_767, -32_768)


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_a_long_file_read_in_blocks_sounds_like_one_block(rate: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(speechlike(2.0, 3, rate), rate=rate)
    whole = read(data)
    monkeypatch.setattr(module, "BLOCK_FRAMES", 7_001)
    pieces = read(data)
    assert len(pieces) == len(whole)
    assert np.abs(pieces.astype(int) - whole).max() <= 1


def test_resampling_in_a_stream_is_soxr_s_resampling_at_once() -> None:
    wave = speechlike(1.3, 5, 44_100).astype(np.float32)
    expected, _ = to_int16(soxr.resample(wave, 44_100, 16_000, quality="HQ"))
    found = read(encoded(wave, "c.wav", 44_100), "c.wav")
    assert len(found) == len(expected)
    assert np.abs(found.astype(int) - expected).max() <= 1


GOOD = encoded(tone(0.3))
BAD = {
    "empty.wav": (b"", "empty file (0 bytes)"),
    "text.wav": (b"These are words, not waves, and quite a few of them.", "not audio (no known header)"),
    "random.wav": (bytes(np.random.default_rng(1).integers(1, 128, 4_000, np.uint8)), "not audio (no known header)"),
    "pointer.wav": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
        "not audio (a pointer of Git LFS: fetch",
    ),
    "annex.wav": (b"/annex/objects/SHA256E-s1--0.wav", "not audio (a pointer of git-annex: fetch"),
    "page.wav": (b"<!DOCTYPE html><title>404</title>", "not audio (a web page)"),
    "cut.sph": (encoded(tone(0.3), "o.sph")[:5_000], "truncated: header promises 9600 bytes of audio, 3976 are"),
    "cut.wav": (GOOD[:5_000], "truncated: header promises 9600 bytes of audio, 4956 are there"),
    "cut-by-one.wav": (GOOD[:-1], "truncated: header promises 9600 bytes of audio, 9599 are there"),
    "header-only.wav": (GOOD[:44], "truncated: header promises 9600 bytes of audio, 0 are there"),
    "cut-header.wav": (GOOD[:30], "truncated inside its header"),
    "riff-only.wav": (GOOD[:12], "truncated: no audio data after its header"),
    "0-bytes.wav": (wav(fmt(), bytes(99), 0), "length of 0 in its header: 99 bytes of audio follow"),
    "old.voc": (b"Creative Voice File\x1a" + bytes(99), "not audio (VOC, which is not read: convert it)"),
    "no-samples.wav": (wav(fmt(), b""), "no samples"),
    "0-hz.wav": (wav(fmt(rate=0), b"\0\0" * 99), "sample rate of 0 Hz in its header"),
    "4-ghz.wav": (wav(fmt(rate=4_000_000_000), b"\0\0" * 99), "sample rate of 4000000000 Hz in its header"),
    "0-channels.wav": (wav(fmt(channels=0), b"\0\0" * 99), "0 channels in its header"),
    "no-format.wav": (b"RIFF\0\0\0\0WAVEdata\4\0\0\0\1\0\1\0", "no format before its data"),
    "nan.wav": (encoded(np.array([0, np.nan, 0] * 99), "c.wav"), "holds NaN or infinite samples"),
    "inf.wav": (encoded(np.array([0, np.inf, 0] * 99), "c.wav"), "holds NaN or infinite samples"),
    "cut.flac": (encoded(noise(1.0), "g.flac")[:9_000], "not decodable"),
    "flac-head.flac": (encoded(noise(1.0), "g.flac")[:40], "not decodable"),
    "cut.ogg": (encoded(noise(1.0), "h.ogg")[:-10], "truncated: its last page is missing"),
    "cut-half.opus": (encoded(noise(2.0), "i.opus")[:-3_000], "truncated: its last page is missing"),
    "cut.aiff": (encoded(tone(0.3), "k.aiff")[:5_000], "truncated: header promises"),
    "cut.au": (encoded(tone(0.3), "l.au")[:5_000], "truncated: header promises"),
    "cut-rf64.wav": (encoded(tone(0.3), "e.wav")[:5_000], "truncated: header promises"),
}


@pytest.mark.parametrize("name", BAD)
def test_every_kind_of_bad_file_gets_its_reason(name: str) -> None:
    data, reason = BAD[name]
    assert refused(data, name).startswith(reason)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("share", [0.02, 0.4, 0.95])
def test_a_file_cut_short_is_never_taken_for_a_shorter_one(name: str, share: float) -> None:
    data = encoded(speechlike(1.0), name)
    refused(data[: int(share * len(data))], name)


def test_the_reason_for_a_file_is_the_same_every_time() -> None:
    data = encoded(noise(1.0), "g.flac")[:9_000]
    kept_alive = [io.BytesIO(data) for _ in range(3)]
    reasons = set()
    for file in kept_alive:
        with pytest.raises(BadAudioError) as caught:
            read_recording(file, 16_000, 1)
        reasons.add(str(caught.value))
    assert len(reasons) == 1
    assert "0x" not in reasons.pop()


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFF000])
def test_a_wav_whose_writer_did_not_know_the_length_is_taken_whole(size: int) -> None:
    samples = np.arange(-500, 500, dtype=np.int16)
    assert np.array_equal(read(wav(fmt(), samples.tobytes(), promised=size)), samples)


def test_a_flac_that_does_not_say_its_length_is_read_to_its_end() -> None:
    """As encoders write it into a pipe."""
    whole = encoded(noise(1.0), "g.flac")
    data = bytearray(whole)
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    assert np.array_equal(read(bytes(data), "a.flac"), read(whole, "a.flac"))
    assert refused(bytes(data[: len(data) // 2])).startswith("not decodable: Error : flac decoder lost sync")


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("tags", [1, 2])
def test_what_a_file_is_its_content_decides_whatever_its_name_or_tags(name: str, tags: int) -> None:
    data = encoded(speechlike(0.5), name)
    tagged = b"ID3\x03\0\0\0\0\x01\x0a" + bytes(138)
    for other in ("x.wav", "x.flac", "x.mp3", "x"):
        assert np.array_equal(read(tags * tagged + data, other), read(data, name))


def test_chunks_before_and_after_the_sound_are_passed_over() -> None:
    samples = np.arange(100, dtype=np.int16)
    body = b"WAVELIST\3\0\0\0abc\0fmt " + struct.pack("<I", 16) + fmt()
    body += b"data" + struct.pack("<I", 200) + samples.tobytes() + b"LIST\2\0\0\0zz"
    assert np.array_equal(read(b"RIFF" + struct.pack("<I", len(body)) + body), samples)


SMALL = {name: encoded(tone(0.02, level=0.9), name) for name in FORMATS}
SMALL["tagged"] = b"ID3\x03\0\0\0\0\x01\x0a" + bytes(138) + SMALL["g.flac"]
SMALL["joined"] = 2 * SMALL["h.ogg"]


@settings(max_examples=300)
@given(st.sampled_from(sorted(SMALL)), st.data())
def test_whatever_is_in_a_file_it_is_sound_or_a_reason(name: str, data: st.DataObject) -> None:
    content = bytearray(SMALL[name])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, min(len(content), 200) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content
    try:
        found = read_recording(io.BytesIO(bytes(content)), 16_000, 1)
    except BadAudioError as error:
        assert str(error)
        assert "\n" not in str(error)
    else:
        assert found.samples.dtype == np.int16
        assert len(found.samples) > 0


def outcome(data: bytes) -> object:
    """Everything that is said of a recording, or the reason why it is none."""
    try:
        found = read_recording(io.BytesIO(data), 16_000, 1)
    except BadAudioError as error:
        return str(error)
    return found.samples.tolist(), found.source_sample_rate, found.clipped, found.concerns


def both_ways(data: bytes) -> tuple[object, object]:
    """Of a plain WAV read here, and by the library."""
    with pytest.MonkeyPatch.context() as patch:
        here = outcome(data)
        patch.setattr(module, "plain_wav", lambda head, size: None)
        return here, outcome(data)


@settings(max_examples=200)
@given(
    hnp.arrays(np.int16, st.tuples(st.integers(0, 300), st.integers(1, 2)), elements=st.integers(-32_768, 32_767)),
    st.sampled_from([999, 1_000, 8_000, 16_000, 44_100, 768_000, 768_001]),
    st.integers(-3, 3),
    st.data(),
)
def test_a_plain_wav_is_what_the_library_makes_of_it(
    wave: np.ndarray, rate: int, cut: int, data: st.DataObject
) -> None:
    content = bytearray(wav(fmt(channels=wave.shape[1], rate=rate), wave.tobytes()))
    content = content[:cut] if cut < 0 else content + bytes(cut)
    if data.draw(st.booleans()):
        content[data.draw(st.integers(0, 43))] = data.draw(st.integers(0, 255))
    here, library = both_ways(bytes(content))
    assert here == library


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [16_000, 22_050])
def test_a_plain_wav_of_several_blocks_is_what_the_library_makes_of_it(
    channels: int, rate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK_FRAMES", 1_000)
    samples = np.random.default_rng(0).integers(-32_768, 32_768, (3_500, channels), np.int16)
    data = wav(fmt(channels=channels, rate=rate), samples.tobytes())
    assert plain_wav(data[:44], len(data)) == PlainWav(channels, rate, 3_500)
    here, library = both_ways(data)
    assert here == library and not isinstance(here, str)


def test_a_plain_wav_that_ends_while_it_is_read_is_truncated() -> None:
    file = io.BytesIO(wav(fmt(), bytes(2_000)))
    decoder = module.Decoder(file, 16_000, 1)
    file.truncate(1_044)
    with pytest.raises(BadAudioError, match="truncated: header promises 1000 samples, 500 are there"):
        list(decoder.blocks())


@pytest.mark.parametrize(
    ("name", "found"), [("a/b.WAV", "wav"), ("a.b/c", ""), ("x.tar.gz", "gz"), ("a", ""), ("a/.wav", "wav")]
)
def test_extensions(name: str, found: str) -> None:
    assert extension(name) == found


def test_every_extension_named_here_is_one_that_a_library_knows() -> None:
    assert set(EXTENSIONS.values()) - {*KINDS} <= set(soundfile.available_formats())


def test_real_recordings_keep_their_length(corpora: Path) -> None:
    for path in sorted((corpora / "fsdd/recordings").glob("*_0.wav"))[:10]:
        with path.open("rb") as file:
            found = read_recording(file, 16_000, 1)
        assert found.source_sample_rate == 8_000
        assert abs(len(found.samples) - 2 * soundfile.info(path).frames) <= 2


def heard(wave: np.ndarray, name: str = "c.wav", **kind: Any) -> Recording:
    return read_recording(io.BytesIO(encoded(wave, name, **kind)), 16_000, 1)


@pytest.mark.parametrize("scale", [2**15, 2**23, 2**31])
def test_floating_point_samples_of_an_integer_s_range_are_brought_back(scale: int) -> None:
    wave = np.rint(speechlike(0.5) / np.abs(speechlike(0.5)).max() * 0.9 * 2**15) * (scale / 2**15)
    found = heard(wave, subtype="DOUBLE")
    assert found.clipped == 0 and np.abs(found.samples - wave * 2**15 / scale).max() <= 1
    (concern,) = found.concerns
    assert "integer's range" in concern.what and concern.amount == 1 / scale


def test_samples_of_no_known_range_are_refused() -> None:
    assert refused(encoded(tone(0.1) * 1.23456e6, "c.wav"), "c.wav").startswith(
        "beyond any full scale: samples up to 617280 in floating point"
    )


def test_what_conversion_does_to_a_sound_is_told() -> None:
    wave = noise(0.5)
    (loud,) = heard(tone(0.1, 400, 1.5)).concerns
    assert loud.what == "samples past full scale in the file: clipped" and loud.amount > 100
    (cancelled,) = heard(np.stack([wave, -wave], 1)).concerns
    assert cancelled.what.startswith("channels cancel each other") and cancelled.amount == -200
    assert heard(np.stack([wave, wave, noise(0.5, seed=1)], 1)).concerns == ()
    (silent,) = heard(np.zeros(99)).concerns
    assert silent.what.startswith("silence")
    square = np.sign(tone(0.5, 100, rate=44_100)) * 0.999
    (ringing,) = heard(square, "a.wav", rate=44_100).concerns
    assert ringing.what == "samples past full scale after resampling: clipped" and ringing.amount > 10


@pytest.mark.parametrize("name", ["a.wav", "g.flac", "h.ogg", "j.mp3", "k.aiff"])
def test_a_file_that_was_joined_to_another_is_told_of(name: str) -> None:
    first, second = encoded(speechlike(0.5), name), encoded(speechlike(0.7, 1), name)
    found = read_recording(io.BytesIO(first + second), 16_000, 1)
    assert np.array_equal(found.samples, read(first))
    assert [(each.what.partition(",")[0], each.amount) for each in found.concerns] == [
        ("another file was joined to it", len(first))
    ]


def test_memory_does_not_grow_with_a_recording(tmp_path: Path) -> None:
    """Ten minutes and forty, each in a process of its own."""
    program = (
        "import io, resource, sys; from invertone.audio.recording.decoder import Decoder\n"
        "with open(sys.argv[1], 'rb') as file: print(sum(map(len, Decoder(file, 16_000, 1).blocks())))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = []
    for minutes in (10, 40):
        path = tmp_path / f"{minutes}.wav"
        with soundfile.SoundFile(path, "w", 44_100, 1, "PCM_16") as sound:
            for _ in range(minutes):
                sound.write(np.zeros(44_100 * 60, np.int16))
        done = subprocess.run(
            [sys.executable, "-c", program, path], cwd=ROOT, capture_output=True, text=True, check=True
        )
        samples, peak = map(int, done.stdout.split())
        assert samples == minutes * 60 * 16_000
        peaks.append(peak)
    assert peaks[1] < 1.05 * peaks[0]


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100])
def test_stereo_is_both_channels_each_as_alone(rate: int) -> None:
    """At its own rate to the bit; resampled, each channel as it would be by itself."""
    left, right = (np.asarray(tone(0.5, hz, level, rate)) for hz, level in ((440, 0.5), (1_000, 0.25)))
    data = encoded(np.stack([left, right], 1), rate=rate)
    found = read_recording(io.BytesIO(data), rate, 2).samples
    alone = [read_recording(io.BytesIO(encoded(each, rate=rate)), rate, 1).samples for each in (left, right)]
    assert found.shape == (len(left), 2) and np.array_equal(found, np.stack(alone, 1))
    found = read_recording(io.BytesIO(data), 16_000, 2).samples
    alone = [read_recording(io.BytesIO(encoded(each, rate=rate)), 16_000, 1).samples for each in (left, right)]
    assert np.abs(found.astype(int) - np.stack(alone, 1)).max() <= 1


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_not_stereo_is_in_both_channels(channels: int, rng: np.random.Generator) -> None:
    wave = rng.uniform(-0.3, 0.3, (4_000, channels))
    data = encoded(wave if channels > 1 else wave[:, 0])
    found, mono = (read_recording(io.BytesIO(data), 16_000, each).samples for each in (2, 1))
    assert np.array_equal(found, np.stack([mono, mono], 1))


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
def test_a_recording_comes_at_the_rate_that_is_asked_for(rate: int) -> None:
    found = read_recording(io.BytesIO(encoded(tone(1.0, 1_000, 0.5, 22_050), rate=22_050)), rate, 1).samples
    assert abs(len(found) - rate) <= 1
    half = found[rate // 4 : rate // 4 + rate // 2] / 32_768
    spectrum = np.abs(np.fft.rfft(half * np.hanning(len(half)))) / (len(half) / 4)
    assert spectrum.argmax() == 500 and spectrum.max() == pytest.approx(0.5, rel=0.04)
