"""A small part of the suite: a trial on three nodes whose storage fails requests, and one poison clip."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from invertone.cluster.ray.resources import Capacity
from tests.chaos.poison import infer_with_poison

ROOT = Path(__file__).parents[2]


@pytest.mark.long
@pytest.mark.timeout(900)
def test_every_row_once_through_kills_and_failing_requests() -> None:
    """In a process of its own, which has not imported Ray yet."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RAY_"))}
    command = [sys.executable, "-m", "tests.chaos", "1", "3"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=840)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 1 trials ended with every row once and no value differing" in done.stdout


@pytest.mark.long
@pytest.mark.parametrize("deed", ["segfault", "hang"])
def test_one_clip_that_kills_or_hangs_its_worker_costs_one_row(
    deed: str, tmp_path: Path, ray_session: Capacity
) -> None:
    # A worker that starts on a busy machine has not hung: it loads torch for ten seconds and more.
    patience = "stall_timeout=25" if deed == "hang" else "stall_timeout=120"
    outcome, guilty = infer_with_poison(tmp_path, 24, 8, deed, patience, "max_attempts=1")
    counts = {name: outcome.statistics[name] for name in ("clips", "failed")}
    assert (outcome.items, outcome.excluded, counts) == (24, 1, {"clips": 24, "failed": 1})
    rows = pq.read_table([str(path) for path in sorted((tmp_path / deed).glob("*.parquet"))]).to_pylist()
    assert len({row["key"] for row in rows}) == len(rows) == 24
    bad = [row for row in rows if row["status"] != "ok"]
    assert [row["key"] for row in bad] == [guilty] and "its worker" in bad[0]["error"]
