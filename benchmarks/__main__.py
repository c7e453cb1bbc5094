"""`make bench` or `python -m benchmarks [overhead|memory|units] [clips]`: every benchmark, or one."""

from __future__ import annotations

import sys

from benchmarks import memory, overhead, units


def main() -> None:
    words = sys.argv[1:]
    chosen = [word for word in words if not word.isdigit()] or ["overhead", "memory", "units"]
    clips = [int(word) for word in words if word.isdigit()]
    for name in chosen:
        {"overhead": overhead.run, "memory": memory.run, "units": units.run}[name](*clips)


if __name__ == "__main__":
    main()
