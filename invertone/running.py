"""Stages from Python: what their commands do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from invertone.cluster import user_folder
from invertone.cluster.limits import refuse_low_limits
from invertone.stages import stage_named


def run(stage: str, name: str, **values: Any) -> str:
    """Does what `invertone STAGE NAME key=value …` does, and returns the run folder (`out`), absolute.

    stage: ingest, train, tune, infer, join, eval, generate, corpus, import or demo. name: a named config of it, or a YAML file.
    values: keys of the config; a nested one as `weights={"features": 1.0}` or `**{"weights.features": 1.0}`. Run again with
    the same values, it continues what was stopped. Progress goes to stderr, what a command prints to stdout.

    Raises UserError for a mistake, before anything is written, and JobIncompleteError where some of the work stayed undone.

    >>> run("infer", "encoder", shards="runs/shards", generator="runs/gan", mapper="runs/mapper", out="runs/latents")
    ... # doctest: +SKIP
    '/home/me/runs/latents'
    """
    chosen = stage_named(stage)
    user_folder.use(str(Path.cwd()))
    job, config = chosen.configured(name, values)
    refuse_low_limits()
    chosen.run(job, config)
    return str(config.out)


def plan(stage: str, name: str, **values: Any) -> list[str]:
    """What `run` with the same arguments would do, in lines: what `--dry-run` prints after the config. Raises UserError."""
    chosen = stage_named(stage)
    user_folder.use(str(Path.cwd()))
    return chosen.plan(chosen.configured(name, values)[1])
