"""The eval job: sums per unit, merged by the ledger's commits, made into a table."""

from __future__ import annotations

import dataclasses
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
    config, lines, missing = _inputs(config)
    if missing:
        return [
            *lines,
            f"{len(missing)} missing: make them first, in this order; or give partial=true for the rows there are",
        ]
    return lines + list(TABLES[config.table].plan(config))


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
    TABLES[config.table].run(name, config)


LEFT_OUT = "left out: "


def _inputs(config: EvalConfig) -> tuple[EvalConfig, list[str], list[tuple[str, str, str]]]:
    """The config, without the rows that are not there where `partial` allows it; a line for each input that the config says
    how to make; and those of them that are missing: key, place, command."""
    if not isinstance(config, JudgedConfig):
        return config, [], []
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


def _without(config: JudgedConfig, name: str, entry: str) -> JudgedConfig:
    value = getattr(config, name)
    if isinstance(value, dict):
        return dataclasses.replace(config, **{name: {row: each for row, each in value.items() if row != entry}})
    return dataclasses.replace(config, **{name: [each for each in value if each != entry]})
