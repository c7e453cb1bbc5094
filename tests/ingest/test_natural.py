"""What a dry run says of clips that a source would give, and of keys that suit it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from invertone.audio.recording.headers import Header
from invertone.cluster.formats.signals import USUAL, ClipFormat
from invertone.ingest import job
from invertone.ingest.plan.natural import as_clips, natural_keys
from tests.ingest.layouts import configured
from tests.sounds import noise, write_sound


def headers(count: int, rate: int = 16_000, channels: int = 1, seconds: float | None = 1.0) -> list[Header]:
    return [Header("WAV", rate, channels, seconds)] * count


def test_a_source_that_suits_its_keys_is_told_no_others() -> None:
    assert natural_keys(headers(10), USUAL, "first") == ""
    assert natural_keys(headers(3, seconds=None), USUAL, "first") == ""
    # a tenth of others changes nothing, more of them do: then no rate is the source's own
    assert natural_keys(headers(9, 44_100) + headers(2), USUAL, "all") == ""
    assert "sample_rate=44100" in natural_keys(headers(9, 44_100) + headers(1), USUAL, "all")


def test_stereo_at_another_rate_is_told_the_keys_that_keep_it(tmp_path: Path) -> None:
    for number in range(3):
        write_sound(tmp_path / f"c/a/{number}.wav", np.stack([noise(5.0, rate=44_100)] * 2, 1), 44_100)
    before = job.plan(configured("folder", tmp_path / "c", tmp_path / "out"))
    keys = ["sample_rate=44100", "clip_samples=65536", "channels=2"]
    assert before[6] == (
        "to know: 100 % are 44,100 Hz and 100 % stereo, which sample_rate=44100 channels=2 would keep; clip_samples=65536 are "
        "1.486 s of that; half last 5.0 s or more, which window=all would take whole"
    )
    after = job.plan(configured("folder", tmp_path / "c", tmp_path / "out", *keys, "window=all"))
    assert after[5] == "as clips (65,536 stereo samples at 44,100 Hz, 1.486 s): none changed: all stereo at 44,100 Hz"
    assert not any(line.startswith("to know") for line in after)


def test_mono_that_would_be_stereo_and_short_sounds() -> None:
    clips = ClipFormat(8_000, 8_192, 2)
    assert natural_keys(headers(4, 8_000, 1, 0.3), clips, "first") == (
        "to know: 100 % mono, which channels=1 would keep; half last 0.3 s or less, which clip_samples=4096 would pad less"
    )
    assert as_clips(headers(4, 8_000, 1, 0.3), clips, "first").endswith(
        ": 100 % mono put into both channels; 100 % shorter than a clip, and padded; they hold 100 % of the sound"
    )
    # six channels are no format of clips
    assert natural_keys(headers(4, 16_000, 6), USUAL, "first") == ""


@given(
    st.sampled_from([8_000, 16_000, 22_050, 44_100, 48_000]),
    st.sampled_from([1, 2]),
    st.floats(0.05, 60),
    st.sampled_from(["first", "random", "all"]),
)
def test_the_keys_that_are_told_are_told_no_others(rate: int, channels: int, seconds: float, window: str) -> None:
    """Whoever follows them is not sent on."""
    line, clips = natural_keys(headers(5, rate, channels, seconds), USUAL, window), USUAL
    for _ in range(2):
        given = dict(word.split("=") for word in line.replace(";", "").split() if "=" in word)
        window = given.get("window", window)
        clips = ClipFormat(
            int(given.get("sample_rate", clips.sample_rate)),
            int(given.get("clip_samples", clips.samples)),
            int(given.get("channels", clips.channels)),
        )
        line = natural_keys(headers(5, rate, channels, seconds), clips, window)
    assert line == ""
