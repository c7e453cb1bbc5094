"""The eval job: sums or features per unit, gathered by the ledger, made into a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from invertone.cluster.errors import UserError, did_you_mean
from invertone.cluster.storage.folder import Folder
from invertone.eval.config import TABLES
from invertone.eval.schemas.shared import COLUMNS as MEASURED
from invertone.eval.schemas.shared import EvalConfig, JudgedConfig


@dataclass(frozen=True)
class Need:
    """An input, whether it is there, and the command that makes it. row: the row it is for; None: the whole table needs it."""

    key: str
    place: str
    there: bool
    command: str
    row: str | None


def _check_published(config: EvalConfig) -> None:
    """A paper's figure that has no column would be lost, or found out after all the work."""
    if not isinstance(config, JudgedConfig):
        return
    for row, figures in config.published.items():
        for name in figures:
            if name not in MEASURED:
                fix = f"choose one of {', '.join(MEASURED)}{did_you_mean(name, MEASURED)}"
                raise UserError(f"published.{row}.{name} is no column", fix=fix)


def plan(config: EvalConfig) -> list[str]:
    """What --dry-run prints: what would be done, or what is missing and how to make it."""
    _check_published(config)
    needs = _needs(config)
    missing = [need for need in needs if not need.there and not _left_out(config, need)]
    lines = []
    for need in needs:
        state = "there:" if need.there else "missing:" if need in missing else "left out:"
        lines.append(f"{state:9} {need.key} = {need.place}{'' if need.there else f' ← {need.command}'}")
    if missing:
        rows = any(need.row is not None for need in missing)
        otherwise = "; or give partial=true for the rows there are" if rows else ""
        return [*lines, f"{len(missing)} missing: make them first, in this order{otherwise}"]
    return lines + list(TABLES.implementation(config.table).plan(_reduced(config, needs)))


def run(name: str, config: EvalConfig) -> None:
    """Makes the table, prints it and says where it lies."""
    _check_published(config)
    needs = _needs(config)
    missing = [need for need in needs if not need.there and not _left_out(config, need)]
    if missing:
        more = f" (and {len(missing) - 1} more: see --dry-run)" if len(missing) > 1 else ""
        raise UserError(
            f"{missing[0].key} is not there yet{more}", where=missing[0].place, fix=f"make it by `{missing[0].command}`"
        )
    for need in needs:
        if not need.there:
            print(f"left out: {need.key} = {need.place}")
    TABLES.implementation(config.table).run(name, _reduced(config, needs))


def _needs(config: EvalConfig) -> list[Need]:
    """What the config says how to make, in its order."""
    return [
        Need(key, place, Folder.at(place).exists(), command.replace("{name}", place.rpartition("/")[2]), row)
        for key, command in config.needs.items()
        for row, place in _places(config, key)
    ]


def _left_out(config: EvalConfig, need: Need) -> bool:
    return config.partial and need.row is not None and not need.there


def _reduced(config: EvalConfig, needs: Sequence[Need]) -> EvalConfig:
    """The config without the rows that are not there."""
    for need in needs:
        if _left_out(config, need):
            name = need.key.partition(".")[0]
            value: Any = getattr(config, name)
            if isinstance(value, dict):
                value = {row: each for row, each in value.items() if row != need.row}
            else:
                value = [each for each in value if each != need.row]
            kept: Any = value
            config = dataclasses.replace(config, **{name: kept})
    return config


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
