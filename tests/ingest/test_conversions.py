"""What ingest says of the sound that it changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from invertone.audio.recording import mpeg4
from invertone.cluster.formats.signals import USUAL, ClipFormat
from invertone.cluster.jobs.sums import merge
from invertone.ingest.conversions import conversion_line, converted
from invertone.ingest.job import ShardStage, plan
from invertone.ingest.plan.entries import ShardWork
from invertone.ingest.recordings import SOUND
from tests.ingest.layouts import configured, ingested, rejects_of
from tests.sounds import noise, tone, write_sound


def test_the_closing_line_counts_what_was_mixed_and_resampled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, (rate, channels) in enumerate([(44_100, 2), (44_100, 1), (48_000, 2), (8_000, 1), (16_000, 1)]):
        wave = np.stack([tone(0.3, rate=rate)] * channels, 1)
        write_sound(tmp_path / f"c/a/{number}.wav", wave, rate)
    (tmp_path / "c/a/bad.wav").write_bytes(b"RIFF")
    ingested("folder", tmp_path / "c", tmp_path / "out", "clips_per_shard=2")
    assert capsys.readouterr().out.splitlines()[-1] == (
        "of 5 recordings 2 mixed to mono; 4 resampled to 16,000 Hz: 2 from 44,100 Hz, 1 from 48,000 Hz, which lose what lies "
        "above 8,000 Hz, 1 from 8,000 Hz, which hold nothing above 4,000 Hz"
    )
    ingested("folder", tmp_path / "c", tmp_path / "two", "channels=2", "sample_rate=44100", "clip_samples=256")
    assert capsys.readouterr().out.splitlines()[-1] == (
        "of 5 recordings 3 mono put into both channels; 3 resampled to 44,100 Hz: 1 from 48,000 Hz, which lose what lies above "
        "22,050 Hz, 1 from 16,000 Hz, which hold nothing above 8,000 Hz, 1 from 8,000 Hz, which hold nothing above 4,000 Hz"
    )


def test_more_than_two_channels_are_counted_as_mixed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sound(tmp_path / "c/a/6.wav", np.stack([noise(0.3, seed=each) for each in range(6)], 1))
    write_sound(tmp_path / "c/a/2.wav", np.stack([noise(0.3, seed=each) for each in range(2)], 1))
    ingested("folder", tmp_path / "c", tmp_path / "out", "channels=2")
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "of 2 recordings 1 with more than two channels mixed, the mix put into both"


@pytest.mark.parametrize(("channels", "said"), [(1, "mono"), (2, "stereo")])
def test_it_says_so_where_nothing_was_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], channels: int, said: str
) -> None:
    write_sound(tmp_path / "c/a/1.wav", np.stack([noise(0.3)] * channels, 1))
    ingested("folder", tmp_path / "c", tmp_path / "out", f"channels={channels}")
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"of 1 recordings none changed: all {said} at 16,000 Hz"


def test_counts_add_up_whoever_made_them_and_nothing_is_said_of_nothing() -> None:
    older = {"recordings": 3, "mixed": 1, "resampled": {"8000": 1}}  # as the first version that counted did
    total = merge([converted(2, 16_000, USUAL), older, converted(1, 22_050, USUAL), {}])
    assert total == {"recordings": 5, "mixed": 2, "repeated": 0, "resampled": {"22050": 1, "8000": 1}}
    assert conversion_line(merge([]), USUAL, 0) == conversion_line({"units": 2}, USUAL, 3) == ""
    one = {"units": 1} | converted(2, 24_000, ClipFormat(24_000))
    assert conversion_line(one, ClipFormat(24_000), 1) == "of 1 recordings 1 mixed to mono"


@given(
    st.lists(st.tuples(st.integers(1, 8), st.sampled_from([8_000, 16_000, 44_100])), min_size=1),
    st.sampled_from([1, 2]),
    st.sampled_from([16_000, 44_100]),
)
def test_no_recording_is_counted_twice_or_left_out(
    recordings: list[tuple[int, int]], channels: int, sample_rate: int
) -> None:
    clips = ClipFormat(sample_rate, channels=channels)
    total = merge(converted(*each, clips) for each in recordings)
    kept = sum(each == channels for each, _ in recordings)
    assert total["recordings"] == len(recordings) == kept + total["mixed"] + total["repeated"]
    assert sum(total["resampled"].values()) == sum(rate != sample_rate for _, rate in recordings)


def test_shards_that_an_older_version_made_are_said_to_be_uncounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(6):
        write_sound(tmp_path / f"c/a/{number}.wav", noise(0.3, seed=number))
    counted = ShardStage._shard
    made: list[str] = []

    def as_before(stage: ShardStage, work: ShardWork, *rest: Any) -> Any:
        made.append(work.name)
        result = counted(stage, work, *rest)
        if len(made) > 1:
            return result
        return replace(result, statistics={k: v for k, v in result.statistics.items() if k != SOUND})

    monkeypatch.setattr(ShardStage, "_shard", as_before)
    ingested("folder", tmp_path / "c", tmp_path / "out", "clips_per_shard=2")
    last = capsys.readouterr().out.splitlines()[-1]
    rest = f"; 1 of {len(made)} units of work are of an earlier version, which did not count"
    assert len(made) > 2 and last.startswith("of ") and last.endswith(rest)
    assert int(last.split()[1]) < 6


def test_mpeg_4_without_its_library_is_listed_with_the_extra_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mpeg4, "library", lambda: None)
    write_sound(tmp_path / "c/a/1.wav", noise(0.3))
    for name in ("2.m4a", "3.M4A", "4.aac", "5.wav"):
        head = b"\xff\xf1" if name.endswith("aac") else b"\0\0\0\x20ftypM4A "
        (tmp_path / "c/a" / name).write_bytes(head + bytes(99))
    needs = "MPEG-4 sound (m4a, AAC), which needs the extra m4a: pip install 'invertone[m4a]'"
    assert f"4 of 5 headers cannot be read: {needs}" in plan(configured("folder", tmp_path / "c", tmp_path / "out"))
    (clip,) = ingested("folder", tmp_path / "c", tmp_path / "out")
    assert clip.info.key == "a/1"
    told = [each["reason"] for each in rejects_of(tmp_path / "out")]
    assert told == [needs] * 4
    assert "4  MPEG-4 sound (m4a, AAC), which needs the extra m4a" in capsys.readouterr().out
