"""`make chaos`, or `python -m tests.chaos [trials] [seed]`: the whole suite, with its table."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

os.environ["HOME"] = tempfile.mkdtemp(prefix="invertone-home-")

from tests.chaos.suite import HEADER, scene, trial, undisturbed
from tests.servers import ceph_server, moto_server, no_ceph


def main() -> int:
    count, seed = (int(word) for word in [*sys.argv[1:], *("25", "1")[len(sys.argv) - 1 :]])
    good = 0
    with (
        tempfile.TemporaryDirectory(prefix="invertone-chaos-") as place,
        _s3_server() as (bucket, environment),
        _environment(environment),
        scene(Path(place), environment["AWS_ENDPOINT_URL"], bucket, seed) as stage,
    ):
        print(f"three nodes; S3: {(no_ceph() and 'moto') or 'Ceph'}; seed {seed}\n{HEADER}", flush=True)
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


@contextmanager
def _s3_server() -> Iterator[tuple[str, dict[str, str]]]:
    """A real server where there is one."""
    if no_ceph():
        with moto_server() as (bucket, environment):
            yield bucket, environment
    else:
        with ceph_server() as server:
            yield server.bucket, server.environment


@contextmanager
def _environment(added: dict[str, str]) -> Iterator[None]:
    os.environ.update(added)
    yield
    for name in added:
        os.environ.pop(name, None)


if __name__ == "__main__":
    sys.exit(main())
