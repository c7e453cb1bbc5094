"""The eval job: sums per unit, merged by the ledger's commits, made into a table."""

from __future__ import annotations

from types import ModuleType

from cluster.errors import UserError
from cluster.storage import Folder
from eval import accuracy, classifier, generation, reconstruction
from eval.config import EvalConfig, JudgedConfig

TABLES: dict[str, ModuleType] = {
    "reconstruction": reconstruction,
    "generation": generation,
    "accuracy": accuracy,
    "classifier": classifier,
}
"""The module that makes each kind of table: its `plan(config)` and `run(name, config)`."""


def plan(config: EvalConfig) -> list[str]:
    """What --dry-run prints: what would be done, or what is missing and how to make it."""
    lines, missing = _inputs(config)
    if missing:
        return [*lines, f"{len(missing)} missing: make them first, in this order"]
    return lines + list(TABLES[config.table].plan(config))


def run(name: str, config: EvalConfig) -> None:
    """Makes the table, prints it and says where it lies."""
    _, missing = _inputs(config)
    if missing:
        key, place, command = missing[0]
        more = f" (and {len(missing) - 1} more: see --dry-run)" if len(missing) > 1 else ""
        raise UserError(f"{key} is not there yet{more}", where=place, fix=f"make it by `{command}`")
    TABLES[config.table].run(name, config)


def _inputs(config: EvalConfig) -> tuple[list[str], list[tuple[str, str, str]]]:
    """A line for each input that the config says how to make, and those of them that are missing: key, place, command."""
    needs = config.needs if isinstance(config, JudgedConfig) else {}
    lines, missing = [], []
    for key, command in needs.items():
        for place in _places(config, key):
            there = Folder.at(place).exists()
            lines.append(f"{'there:  ' if there else 'missing:'} {key} = {place}{'' if there else f' ← {command}'}")
            if not there:
                missing.append((key, place, command))
    return lines, missing


def _places(config: EvalConfig, key: str) -> list[str]:
    """The paths that a key, or an entry of a mapping (`generated.GAAE 5 %`), holds."""
    name, _, entry = key.partition(".")
    value = getattr(config, name, None)
    if isinstance(value, dict):
        value = value.get(entry)
    return list(value) if isinstance(value, list) else [value] if value else []
