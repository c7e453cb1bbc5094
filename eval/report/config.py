"""Keys of `invertone report`. Imports neither torch nor Jinja."""

from __future__ import annotations

from dataclasses import dataclass

from invertone.cluster.config.schema import REQUIRED, key

MOST_CLIPS = 200


@dataclass(frozen=True)
class ReportConfig:
    """What `invertone report RUN… [key=value …]` takes."""

    runs: list[str] = key(REQUIRED, "run folders: the operands of the command", path=True)
    out: str = key("report.html", "the file to write; an older report is replaced, nothing else is", path=True)
    title: str = key("", "heading of the page; empty means one made of the runs")
    clips: int = key(
        12, "clips shown per run; of an infer the best, the median, the worst and some by chance", minimum=0, maximum=MOST_CLIPS
    )  # fmt: skip
    seed: int = key(0, "decides the clips that are shown by chance", minimum=0)


CONFIG = ReportConfig
