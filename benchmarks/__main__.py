"""`make bench`, or `python -m benchmarks NAME [clips] [key=value …]` for one of those below."""

from __future__ import annotations

import importlib
import sys

BENCHMARKS = ("overhead", "memory", "units", "inversion", "judging", "peers")
STUDIES = ("hybrid-study", "pghi", "simulate", "long-recordings", "gpu")
"""Not part of `make bench`: they need trained models, environments, a GPU or gigabytes of their own, or measure no machine."""


def main() -> None:
    words = sys.argv[1:]
    given = dict(word.split("=", 1) for word in words if "=" in word)
    clips = [int(word) for word in words if word.isdigit()]
    for name in [word for word in words if word in BENCHMARKS + STUDIES] or BENCHMARKS:
        # loaded alone: what one of them needs, the machine for another may not have
        importlib.import_module(f"benchmarks.{name.replace('-', '_')}").run(*clips, **given)


if __name__ == "__main__":
    main()
