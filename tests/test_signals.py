"""Real jobs that are told to stop, while they start, work and end. The whole table: `python -m tests.signals`."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.signals import main, makers, right, tell


def test_a_training_says_that_it_was_stopped_and_leaves_no_process(tmp_path: Path) -> None:
    """The kind of job in which a library puts a handler of its own in place of ours."""
    told = tell(makers(tmp_path)["train"](tmp_path / "out"), "work", signal.SIGINT, group=False)
    assert right(told, "work", signal.SIGINT), told


@pytest.mark.long
@pytest.mark.timeout(1_800)
def test_every_signal_in_each_phase_of_each_kind_of_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["signals"])
    assert main() == 0
