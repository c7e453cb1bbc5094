"""`make bench`, or `python -m benchmarks NAME [clips] [key=value …]` for one of those below."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from benchmarks import (
    hybrid_study,
    ingest,
    inversion,
    judging,
    long_recordings,
    memory,
    overhead,
    pghi,
    simulate,
    units,
)

BENCHMARKS: dict[str, Callable[..., Any]] = {
    "overhead": overhead.run,
    "ingest": ingest.run,
    "memory": memory.run,
    "units": units.run,
    "inversion": inversion.run,
    "judging": judging.run,
}
STUDIES: dict[str, Callable[..., Any]] = {
    "hybrid-study": hybrid_study.run,
    "pghi": pghi.run,
    "simulate": simulate.run,
    "long-recordings": long_recordings.run,
}
"""Not part of `make bench`: they need trained models, environments or gigabytes of their own, or measure no machine."""


def main() -> None:
    words = sys.argv[1:]
    given = dict(word.split("=", 1) for word in words if "=" in word)
    clips = [int(word) for word in words if word.isdigit()]
    known = BENCHMARKS | STUDIES
    for name in [word for word in words if word in known] or list(BENCHMARKS):
        known[name](*clips, **given)


if __name__ == "__main__":
    main()
