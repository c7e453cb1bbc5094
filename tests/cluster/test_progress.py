"""Progress: plain lines with rate and time left where there is no terminal, a bar where there is one."""

from __future__ import annotations

import io

import pytest

from invertone.cluster import progress as module
from invertone.cluster.progress import Progress, duration


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(module.time, "monotonic", lambda: self.now)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_lines_say_share_rate_time_left_and_note(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, file = Clock(monkeypatch), io.StringIO()
    with Progress("ingest sc09", 10_000, "clips", start=2_000, file=file) as progress:
        clock.now += 20
        progress.update(4_000, note="1 units failed")
        clock.now += 20
        progress.update(10_000)
    assert file.getvalue().splitlines() == [
        "ingest sc09: 4,000 of 10,000 clips, 100.0/s, 1m00s left, 1 units failed",
        "ingest sc09: 10,000 of 10,000 clips in 40s (200.0/s)",
    ]


def test_lines_are_rare_and_carry_no_control_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, file = Clock(monkeypatch), io.StringIO()
    with Progress("x", 1_000, "units", file=file) as progress:
        for done in range(1_000):
            clock.now += 0.05
            progress.update(done)
    lines = file.getvalue().splitlines()
    assert 4 <= len(lines) <= 6
    assert "\r" not in file.getvalue()
    assert "\x1b" not in file.getvalue()


def test_before_anything_is_done_the_time_left_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, file = Clock(monkeypatch), io.StringIO()
    with Progress("x", 10, "units", start=3, file=file) as progress:
        clock.now += 20
        progress.update(3)
    assert "time left unknown" in file.getvalue()


def test_a_job_that_failed_does_not_say_it_ended() -> None:
    file = io.StringIO()
    with pytest.raises(RuntimeError), Progress("x", 10, "units", file=file):
        raise RuntimeError
    assert file.getvalue() == ""


def test_a_terminal_gets_a_bar_that_starts_where_the_job_was() -> None:
    file = Terminal()
    with Progress("ingest", 10, "clips", start=5, file=file) as progress:
        progress.update(10, note="fine")
    last = file.getvalue().split("\r")[-1]
    assert "10/10" in last
    assert "fine" in last
    assert "ingest: " in last


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0s"), (59.6, "1m00s"), (75, "1m15s"), (3_599, "59m59s"), (7_260, "2h01m")]
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_of_what_is_done_at_once_nothing_is_said() -> None:
    for total, said in ((64, ""), (65, "decode: 65 of 65 clips in ")):
        out = io.StringIO()
        with Progress("decode", total, "clips", least=65, file=out) as progress:
            progress.update(total)
        assert out.getvalue().startswith(said) and bool(out.getvalue()) == bool(said)
