"""`make chaos`, or `python -m tests.chaos [trials] [seed]`: the whole suite, with its table."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["HOME"] = tempfile.mkdtemp(prefix="invertone-home-")

from tests.chaos.servers import s3_server
from tests.chaos.suite import HEADER, scene, trial, undisturbed


def main() -> int:
    count, seed = (int(word) for word in [*sys.argv[1:], *("25", "1")[len(sys.argv) - 1 :]])
    good = 0
    with (
        tempfile.TemporaryDirectory(prefix="invertone-chaos-") as place,
        s3_server() as server,
        scene(Path(place), server.endpoint, server.bucket, seed) as stage,
    ):
        print(f"three nodes; S3: {server.name}; seed {seed}\n{HEADER}", flush=True)
        expected = undisturbed(stage)
        for number in range(1, count + 1):
            try:
                told = trial(stage, number, "s3" if number % 2 else "local", 1_000 * seed + number, expected)
            except subprocess.TimeoutExpired:
                print((Path(place) / "driver.log").read_text()[-3_000:])
                raise
            print(told.line(), flush=True)
            good += told.good
    print(f"{good} of {count} trials ended with every row once and no value differing")
    return 0 if good == count else 1


if __name__ == "__main__":
    sys.exit(main())
