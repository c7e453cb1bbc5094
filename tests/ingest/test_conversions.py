"""What ingest says of the sound that it changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from invertone.audio.recording import mpeg4
from invertone.cluster.jobs.sums import merge
from invertone.ingest.conversions import conversion_line, converted
from tests.ingest.layouts import ingested, rejects_of
from tests.sounds import noise, tone, write_sound


def test_the_closing_line_counts_what_was_mixed_and_resampled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, (rate, channels) in enumerate([(44_100, 2), (44_100, 1), (48_000, 2), (8_000, 1), (16_000, 1)]):
        wave = np.stack([tone(0.3, rate=rate)] * channels, 1)
        write_sound(tmp_path / f"c/a/{number}.wav", wave, rate)
    (tmp_path / "c/a/bad.wav").write_bytes(b"RIFF")
    ingested("folder", tmp_path / "c", tmp_path / "out")
    assert capsys.readouterr().out.splitlines()[-1] == (
        "of 5 recordings 2 were mixed to mono and 4 resampled to 16,000 Hz: 2 from 44,100 Hz, 1 from 48,000 Hz, which lose "
        "what lies above 8,000 Hz; 1 from 8,000 Hz, which hold nothing above 4,000 Hz"
    )


def test_it_says_so_where_nothing_was_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sound(tmp_path / "c/a/1.wav", noise(0.3))
    ingested("folder", tmp_path / "c", tmp_path / "out")
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "of 1 recordings none had to be mixed or resampled: mono, 16,000 Hz"


def test_counts_add_up_and_nothing_is_said_of_nothing() -> None:
    total = merge([converted(2, 16_000, 16_000), converted(1, 22_050, 16_000), {}])
    assert total == {"recordings": 2, "mixed": 1, "resampled": {"22050": 1}}
    assert conversion_line(merge([]), 16_000) == ""
    mixed_alone = conversion_line(converted(2, 24_000, 24_000), 24_000)
    assert mixed_alone == "of 1 recordings 1 were mixed to mono and 0 resampled to 24,000 Hz"


def test_mpeg_4_without_its_library_is_listed_with_the_extra_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mpeg4, "library", lambda: None)
    write_sound(tmp_path / "c/a/1.wav", noise(0.3))
    for name in ("2.m4a", "3.M4A", "4.aac", "5.wav"):
        head = b"\xff\xf1" if name.endswith("aac") else b"\0\0\0\x20ftypM4A "
        (tmp_path / "c/a" / name).write_bytes(head + bytes(99))
    (clip,) = ingested("folder", tmp_path / "c", tmp_path / "out")
    assert clip.info.key == "a/1"
    told = [each["reason"] for each in rejects_of(tmp_path / "out")]
    assert told == ["MPEG-4 sound (m4a, AAC), which needs the extra m4a: pip install 'invertone[m4a]'"] * 4
    assert "4  MPEG-4 sound (m4a, AAC), which needs the extra m4a" in capsys.readouterr().out
