"""Real jobs that are told to stop, while they start, work and end. The whole table: `python -m tests.signals`."""

from __future__ import annotations

import pytest

from tests.signals import main


@pytest.mark.long
@pytest.mark.timeout(1_800)
def test_every_signal_in_each_phase_of_each_kind_of_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["signals"])
    assert main() == 0
