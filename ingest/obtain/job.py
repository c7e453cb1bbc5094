"""The stage `corpus`: makes a corpus offline, or fetches a published one."""

from __future__ import annotations

from typing import Any

from invertone.ingest.obtain.config import TASKS


def plan(config: Any) -> list[str]:
    """What `--dry-run` prints."""
    return list(TASKS.implementation(config.task).plan(config))


def run(name: str, config: Any) -> None:
    """Makes or fetches the corpus; what is already there is kept. Raises UserError for what the user can mend."""
    TASKS.implementation(config.task).run(config)
