"""The eval job: sums or features per unit, gathered by the ledger, made into a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from invertone.cluster.errors import UserError, did_you_mean
from invertone.cluster.storage.addresses import absolute
from invertone.cluster.storage.folder import Folder
from invertone.eval.config import TABLES
from invertone.eval.schemas.shared import COLUMNS as MEASURED
from invertone.eval.schemas.shared import EvalConfig, JudgedConfig


@dataclass(frozen=True)
class Need:
    """An input, whether it is there, and the command that makes it. row: the row it is for; None: the whole table needs it.
    for_others: the table does not read it, other inputs are made of it."""

    key: str
    place: str
    there: bool
    command: str
    row: str | None
    for_others: bool = False


def _check_published(config: EvalConfig) -> None:
    """A paper's figure that has no column would be lost, or found out after all the work."""
    if not isinstance(config, JudgedConfig):
        return
    for row, figures in config.published.items():
        for name, found in figures.items():
            if not 1 <= len(found) <= 2:
                raise UserError(f"published.{row}.{name} is no figure", fix="write a number, or [number, its spread]")
            if name not in MEASURED:
                fix = f"choose one of {', '.join(MEASURED)}{did_you_mean(name, MEASURED)}"
                raise UserError(f"published.{row}.{name} is no column", fix=fix)


def plan(config: EvalConfig) -> list[str]:
    """What --dry-run prints: what would be done, or what is missing and how to make it."""
    _check_published(config)
    needs = _needs(config)
    missing = _missing(config, needs)
    lines = []
    for need in needs:
        if need.for_others and not missing:
            continue
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
    missing = _missing(config, needs)
    if missing:
        more = f" (and {len(missing) - 1} more: see --dry-run)" if len(missing) > 1 else ""
        raise UserError(
            f"{missing[0].key} is not there yet{more}", where=missing[0].place, fix=f"make it by `{missing[0].command}`"
        )
    for need in needs:
        if _left_out(config, need):
            print(f"left out: {need.key} = {need.place}")
    TABLES.implementation(config.table).run(name, _reduced(config, needs))


def _needs(config: EvalConfig) -> list[Need]:
    """What the config says how to make, in its order."""
    needs = []
    for key, command in config.needs.items():
        if "/" in key and not hasattr(config, key.partition(".")[0]):
            place = absolute(key)
            needs.append(Need(key, place, Folder.at(place).exists(), _filled(command, place, 0), None, for_others=True))
            continue
        for row, place, number in _places(config, key):
            needs.append(Need(key, place, Folder.at(place).exists(), _filled(command, place, number), row))
    return needs


def _missing(config: EvalConfig, needs: Sequence[Need]) -> list[Need]:
    """What has to be made, in the order of making. What only others are made of counts where any of them is missing."""
    absent = [need for need in needs if not need.there and not _left_out(config, need)]
    return absent if any(not need.for_others for need in absent) else []


def _filled(command: str, place: str, number: int) -> str:
    return command.replace("{name}", place.rpartition("/")[2]).replace("{number}", str(number))


def _left_out(config: EvalConfig, need: Need) -> bool:
    return config.partial and need.row is not None and not need.there


def _reduced(config: EvalConfig, needs: Sequence[Need]) -> EvalConfig:
    """The config without the runs that are not there, and the rows that have none."""
    for need in needs:
        if _left_out(config, need):
            name = need.key.partition(".")[0]
            value: Any = getattr(config, name)
            if isinstance(value, dict):
                others = {
                    row: [place for place in each if (row, place) != (need.row, need.place)]
                    for row, each in value.items()
                }
                value = {row: each for row, each in others.items() if each}
            else:
                value = [each for each in value if each != need.row]
            kept: Any = value
            config = dataclasses.replace(config, **{name: kept})
    return config


def _places(config: EvalConfig, key: str) -> list[tuple[str | None, str, int]]:
    """The paths that a key or an entry of it holds, each with the row that it is for: a mapping's entry (`generated.GAAE 5 %`),
    or the path itself in a list, where an entry is the end of a path (`latents.hybrid-50`), and those without an entry of their
    own are the key's; None for what the whole table needs. Last, which of its row's it is."""
    name, _, entry = key.partition(".")
    if not hasattr(config, name):
        raise UserError(f"needs.{key} is no key of the table", fix="name one of its keys, or a path with a slash")
    value = getattr(config, name)
    if isinstance(value, dict):
        chosen = {entry: value[entry]} if entry in value else {} if entry else value
        return [(row, each, number) for row, found in chosen.items() for number, each in enumerate(found)]
    if isinstance(value, list):
        named = [need.partition(".")[2] for need in config.needs if need.startswith(f"{name}.")]
        ends = {each: each.rpartition("/")[2] for each in value}
        return [(each, each, 0) for each, end in ends.items() if (end == entry if entry else end not in named)]
    return [(None, value, 0)] if value else []
