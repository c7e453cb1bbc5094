"""Too little of what `ulimit` sets is said in one line, before anything starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("ulimit -v 8000000", "this shell allows 8.2 GB of address space, and a job needs 16 GB of it"),
        ("ulimit -n 64", "this shell allows 64 open files, and a job needs 512; type `ulimit -n 512` first"),
    ],
)
def test_a_job_under_a_low_limit_is_refused(limit: str, said: str, tmp_path: Path) -> None:
    words = f"{sys.executable} -m invertone ingest folder source={tmp_path} out={tmp_path}/out"
    done = subprocess.run(["bash", "-c", f"{limit}; {words}"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr.startswith(f"invertone: {said}") and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_open_files_are_raised_to_what_is_needed_where_one_may(tmp_path: Path) -> None:
    program = "from invertone.cluster.limits import *; refuse_low_limits(); "
    program += "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    done = subprocess.run(
        ["bash", "-c", f"ulimit -S -n 100; exec {sys.executable} -c '{program}'"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("512\n", "")
