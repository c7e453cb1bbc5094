"""The eval job: sums or features per unit, gathered by the ledger, made into a table."""

from __future__ import annotations

import dataclasses
import importlib
from types import ModuleType
from typing import Any

from cluster.errors import UserError
from cluster.storage import Folder
from eval.config import EvalConfig

TABLES = {
    "reconstruction": "eval.reconstruction",
    "generation": "eval.generation",
    "accuracy": "eval.accuracy",
    "classifier": "eval.classifier",
    "deepfake": "eval.deepfake",
    "probes": "eval.probes",
    "latent-space": "eval.latent_space",
}
"""The module of each table, with its `plan(config)` and `run(name, config)`; only the one that is made is loaded."""


def plan(config: EvalConfig) -> list[str]:
    """What --dry-run prints: what would be done, or what is missing and how to make it."""
    config, lines, missing = _inputs(config)
    if missing:
        return [
            *lines,
            f"{len(missing)} missing: make them first, in this order; or give partial=true for the rows there are",
        ]
    return lines + list(_module(config).plan(config))


def run(name: str, config: EvalConfig) -> None:
    """Makes the table, prints it and says where it lies."""
    config, lines, missing = _inputs(config)
    if missing:
        key, place, command = missing[0]
        more = f" (and {len(missing) - 1} more: see --dry-run)" if len(missing) > 1 else ""
        raise UserError(f"{key} is not there yet{more}", where=place, fix=f"make it by `{command}`")
    for line in lines:
        if line.startswith(LEFT_OUT):
            print(line)
    _module(config).run(name, config)


def _module(config: EvalConfig) -> ModuleType:
    return importlib.import_module(TABLES[config.table])


LEFT_OUT = "left out: "


def _inputs(config: EvalConfig) -> tuple[EvalConfig, list[str], list[tuple[str, str, str]]]:
    """The config, without the rows that are not there where `partial` allows it; a line for each input that the config says
    how to make; and those of them that are missing: key, place, command."""
    lines, missing = [], []
    for key, command in config.needs.items():
        for entry, place in _places(config, key):
            told, there = command.replace("{name}", place.rpartition("/")[2]), Folder.at(place).exists()
            if there:
                lines.append(f"there:    {key} = {place}")
            elif config.partial and entry is not None:
                lines.append(f"{LEFT_OUT}{key} = {place} ← {told}")
                config = _without(config, key.partition(".")[0], entry)
            else:
                lines.append(f"missing:  {key} = {place} ← {told}")
                missing.append((key, place, told))
    return config, lines, missing


def _places(config: EvalConfig, key: str) -> list[tuple[str | None, str]]:
    """The paths that a key or an entry of a mapping (`generated.GAAE 5 %`) holds, each with the row that it is for: a
    mapping's entry, or the path itself in a list; None for what the whole table needs."""
    name, _, entry = key.partition(".")
    value = getattr(config, name, None)
    if isinstance(value, dict):
        chosen = {entry: value[entry]} if entry in value else {} if entry else value
        return [(row, each) for row, found in chosen.items() for each in ([found] if isinstance(found, str) else found)]
    if isinstance(value, list):
        return [(each, each) for each in value]
    return [(None, value)] if value else []


def _without(config: EvalConfig, name: str, entry: str) -> EvalConfig:
    value: Any = getattr(config, name)
    kept: Any = (
        {row: each for row, each in value.items() if row != entry}
        if isinstance(value, dict)
        else [each for each in value if each != entry]
    )
    return dataclasses.replace(config, **{name: kept})
