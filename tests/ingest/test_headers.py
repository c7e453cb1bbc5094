"""A look at a source: what a dry run says of it, by the headers of some of its recordings."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from invertone.ingest import job
from invertone.ingest.plan import headers, planning
from tests.ingest.layouts import CONTAINERS, configured, packed
from tests.sounds import tone, write_sound


def corpus(root: Path) -> Path:
    for number in range(6):
        write_sound(root / f"a/{number}.wav", tone(1.0 + number % 2, rate=16_000))
    for number in range(3):
        write_sound(root / f"b/{number}.flac", np.stack([tone(0.5, rate=44_100)] * 2, 1), 44_100)
    (root / "b/not.wav").write_bytes(b"RIFF and nothing else")
    return root


@pytest.mark.parametrize("container", [*CONTAINERS, ".tar.xz"])
def test_a_small_source_is_told_as_it_is(tmp_path: Path, container: str) -> None:
    source = packed(corpus(tmp_path / "c"), ".tar" if container == ".tar.xz" else container)
    if container == ".tar.xz":
        import lzma

        (tmp_path / "c.tar.xz").write_bytes(lzma.compress(source.read_bytes()))
        source = tmp_path / "c.tar.xz"
    lines = job.plan(configured("folder", source, tmp_path / "out"))
    assert lines[3:7] == [
        "by their headers (all): WAV 67 %, FLAC 33 %; 16,000 Hz 67 %, 44,100 Hz 33 %; mono 67 %, stereo 33 %",
        "sound: 10.5 s; 0.5 to 2.0 s each, 1.2 s on average",
        "as clips (16,384 mono samples at 16,000 Hz, 1.024 s): 33 % mixed to mono; 33 % resampled to 16,000 Hz: 33 % from "
        "44,100 Hz, which lose what lies above 8,000 Hz; 67 % shorter than a clip, and padded; they hold 72 % of the sound",
        "1 of 10 headers cannot be read: not audio (no known header)",
    ]
    assert not (tmp_path / "out").exists()


def test_of_a_large_one_some_are_read_and_it_says_that_it_is_an_estimate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(60):
        write_sound(tmp_path / f"c/a/{number}.wav", tone(0.5 + number / 60))
    monkeypatch.setattr(planning, "READ", 20)
    read: list[str] = []
    monkeypatch.setattr(
        headers,
        "_read",
        lambda opener, member, *rest, before=headers._read: (read.append(member.name), before(opener, member, *rest))[
            1
        ],
    )
    for limit in (0, 5):  # what the source holds is not a question of how much of it is done
        read.clear()
        lines = job.plan(configured("folder", tmp_path / "c", tmp_path / "out", f"limit={limit}"))
        assert lines[0].startswith(f"would read: {limit or 60} recordings")
        assert lines[3] == "by their headers (an estimate, of 20 of 60): WAV; 16,000 Hz; mono"
        said = re.fullmatch(r"sound: about ([\d.]+) s ± (\d+) %; .* s on average", lines[4])
        assert said and abs(float(said[1]) / 59.5 - 1) < 2 * float(said[2]) / 100
        assert len(read) == len(set(read)) == 20
        # drawn at random: neither the first nor the last ones
        numbers = sorted(int(name.split("/")[1].split(".")[0]) for name in read)
        assert numbers[0] < 15 and numbers[-1] > 45


def test_lengths_are_shown_in_the_unit_that_fits_them() -> None:
    assert headers._duration(59.94) == "59.9 s"
    assert headers._duration(3_600) == "60.0 min"
    assert headers._duration(7_200_000) == "2,000.0 h"


def test_many_kinds_are_not_all_shown() -> None:
    assert headers.shares([str(n) for n in range(8)]).endswith("4 12 %, and 3 others")
