"""Pipelines: the commands a user would type, one after the other."""

from __future__ import annotations

import os
from dataclasses import dataclass

from invertone.cluster.config.schema import REQUIRED, Catalogue, key

PIPELINES = ("spoken-digits", "shipped-models")


@dataclass(frozen=True)
class DemoConfig:
    """A pipeline: the same commands a user would type, one after the other."""

    pipeline: str = key("spoken-digits", "which pipeline this is", choices=PIPELINES)
    out: str = key("runs/demo", "folder that takes every step's run folder", path=True)
    steps: list[str] = key(REQUIRED, "the commands, `{out}` standing for the folder above")
    ending: str = key("", "what is said at the end, `{out}` as above")


CATALOGUE = Catalogue(stage="demo", selector="pipeline", schemas=dict.fromkeys(PIPELINES, DemoConfig))


def plan(config: DemoConfig) -> list[str]:
    """What `demo --dry-run` prints."""
    return [f"would run: invertone {step}" for step in _steps(config)]


def run(name: str, config: DemoConfig) -> None:
    """Runs the pipeline's commands in one Ray session; each continues what an earlier, interrupted demo left."""
    from invertone.cluster.ray.session import session
    from invertone.command_line import execute

    steps = _steps(config)
    with session():
        for number, step in enumerate(steps, 1):
            print(f"\n[{number}/{len(steps)}] invertone {step}", flush=True)
            execute(step.split())
    print(_placed(config, config.ending).rstrip())


def _steps(config: DemoConfig) -> list[str]:
    return [_placed(config, step) for step in config.steps]


def _placed(config: DemoConfig, text: str) -> str:
    here = os.path.relpath(config.out)
    return text.replace("{out}", config.out if here.startswith("..") else here)
