"""The eval job: sums or features per unit, gathered by the ledger, made into a table."""

from __future__ import annotations

import importlib
from types import ModuleType

from eval.config import (
    ClassifierTableConfig,
    DeepfakeConfig,
    EvalConfig,
    LatentSpaceConfig,
    ProbesConfig,
    ReconstructionConfig,
)

TABLES: dict[type[EvalConfig], str] = {
    ReconstructionConfig: "eval.reconstruction",
    ClassifierTableConfig: "eval.classifier",
    DeepfakeConfig: "eval.deepfake",
    ProbesConfig: "eval.probes",
    LatentSpaceConfig: "eval.latent_space",
}
"""The module of each table, with its `plan(config)` and `run(name, config)`; only the one that is made is loaded."""


def plan(config: EvalConfig) -> list[str]:
    """What --dry-run prints."""
    return list(_module(config).plan(config))


def run(name: str, config: EvalConfig) -> None:
    """Makes the table, prints it and says where it lies."""
    _module(config).run(name, config)


def _module(config: EvalConfig) -> ModuleType:
    return importlib.import_module(TABLES[type(config)])
