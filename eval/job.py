"""The eval job: sums per unit, merged by the ledger, made into a table."""

from __future__ import annotations

from eval import classifier, reconstruction
from eval.config import ClassifierTableConfig, EvalConfig, ReconstructionConfig


def plan(config: EvalConfig) -> list[str]:
    """What --dry-run prints."""
    if isinstance(config, ReconstructionConfig):
        return reconstruction.plan(config)
    assert isinstance(config, ClassifierTableConfig)
    return classifier.plan(config)


def run(name: str, config: EvalConfig) -> None:
    """Makes the table, prints it and says where it lies."""
    if isinstance(config, ReconstructionConfig):
        reconstruction.run(name, config)
    else:
        assert isinstance(config, ClassifierTableConfig)
        classifier.run(name, config)
