"""`python -m tests.collection`: the same tests are collected whenever, wherever and in whatever process.

pytest-xdist refuses to run where two of its processes see different tests, and a name that holds the time of day, a hash or
something of the machine cannot be found again. So they are collected twice: in other seconds, with other seeds of Python's
hashes, in another time zone and language, with another home, on fewer processors. Exit 1, and the difference, where it shows.
"""

from __future__ import annotations

import difflib
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
COMMAND = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "", "-p", "no:xdist"]
COMMAND += ["-p", "no:cacheprovider"]


def collected(program: list[str] = COMMAND, **environment: str) -> list[str]:
    """Names of all tests, in their order."""
    done = subprocess.run(
        program, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    names = [line for line in done.stdout.splitlines() if "::" in line]
    if done.returncode or not names:
        raise SystemExit(f"collection failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return names


def main() -> int:
    one_cpu = [sys.executable, "-c", _ON_ONE_CPU, *COMMAND[1:]]
    with ThreadPoolExecutor(1) as beside, tempfile.TemporaryDirectory() as home:
        first = beside.submit(collected, PYTHONHASHSEED="1")
        time.sleep(1.1)
        elsewhere = collected(
            one_cpu, PYTHONHASHSEED="2", TZ="Asia/Kolkata", LC_ALL="C", HOME=home, TMPDIR=home, COLUMNS="40"
        )
        here = first.result()
    if here != elsewhere:
        print("\n".join(difflib.unified_diff(here, elsewhere, "here", "elsewhere", n=0, lineterm="")))
        return 1
    print(f"{len(here)} tests, the same in both collections")
    return 0


_ON_ONE_CPU = (
    "import os, sys\n"
    "if hasattr(os, 'sched_setaffinity'): os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])\n"
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)

if __name__ == "__main__":
    sys.exit(main())
