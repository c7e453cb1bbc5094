"""`make bench`, or `python -m benchmarks NAME [size] [key=value …]` for one of those below."""

from __future__ import annotations

import importlib
import sys

BENCHMARKS = ("bulk", "ingest", "listing", "memory", "units", "inversion", "judging", "peers")
STUDIES = ("hybrid-study", "spectrogram-study", "pghi", "simulate", "long-recordings", "gpu")
"""Not part of `make bench`: they need trained models, environments, a GPU or gigabytes of their own, or measure no machine."""


def main() -> None:
    words = sys.argv[1:]
    known = BENCHMARKS + STUDIES
    given = dict(word.split("=", 1) for word in words if "=" in word)
    sizes = [int(word) if word.isdigit() else word for word in words if "=" not in word and word not in known]
    names = [word for word in words if word in known]
    if not names and any(isinstance(size, str) for size in sizes):
        raise SystemExit(f"benchmarks: no such one; there are {', '.join(known)}")
    for name in names or BENCHMARKS:
        # loaded alone: what one of them needs, the machine for another may not have
        importlib.import_module(f"benchmarks.{name.replace('-', '_')}").run(*sizes, **given)


if __name__ == "__main__":
    main()
