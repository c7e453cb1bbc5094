"""Choices, ranges and paths of a config, checked; local paths made absolute."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from invertone.cluster.config.schema import REQUIRED
from invertone.cluster.errors import UserError, did_you_mean
from invertone.cluster.storage.shipped import is_shipped


def checked(config: Any, where: str, prefix: str = "", *, paths_as_written: bool = False) -> Any:
    """`config` with local paths absolute (or as they were written), after its choices and ranges held."""
    changes: dict[str, Any] = {}
    for each in dataclasses.fields(config):
        value, rules, name = getattr(config, each.name), each.metadata, prefix + each.name
        if dataclasses.is_dataclass(value):
            changes[each.name] = checked(value, where, name + ".", paths_as_written=paths_as_written)
            continue
        if value is None or not rules:
            continue
        if each.default == REQUIRED and value == "":
            raise UserError(f"{name} not given", where=where, fix=f"add {name}=…")
        if rules["choices"]:
            for item in value if isinstance(value, list) else [value]:
                if item not in rules["choices"]:
                    raise UserError(
                        f"{name}={item} is not one of {', '.join(rules['choices'])}",
                        where=where,
                        fix=f"choose one{did_you_mean(str(item), rules['choices'])}",
                    )
        if rules["minimum"] is not None and not value >= rules["minimum"]:
            raise UserError(f"{name}={value} is below {rules['minimum']}", where=where, fix="give a larger one")
        if rules["maximum"] is not None and not value <= rules["maximum"]:
            raise UserError(f"{name}={value} is above {rules['maximum']}", where=where, fix="give a smaller one")
        if rules["path"] and value and not paths_as_written:
            changes[each.name] = _places(value)
            _refuse_unserved(changes[each.name], name)
        if rules["paths_within"] and value and not paths_as_written:
            changes[each.name] = _places_within(value, rules["paths_within"])
    return dataclasses.replace(config, **changes)


def is_class(value: str) -> bool:
    """Whether `value` names a class as `package.module:Class`; a path that looks so is written ./package.module:Class."""
    module, colon, name = value.partition(":")
    return not is_shipped(value) and bool(colon) and all(part.isidentifier() for part in (*module.split("."), name))


def _places_within(values: Mapping[str, Any], names: Sequence[str], prefix: str = "") -> dict[str, Any]:
    """`values` with the paths that `names` names made absolute."""
    changed = dict(values)
    for name, value in values.items():
        if isinstance(value, Mapping):
            changed[name] = _places_within(value, names, f"{prefix}{name}.")
        elif f"{prefix}{name}" in names and value:
            changed[name] = _places(value)
    return changed


def _places(value: Any) -> Any:
    """A path, or a list or mapping of paths, made absolute."""
    if isinstance(value, dict):
        return {name: _places(each) for name, each in value.items()}
    return [_place(each) for each in value] if isinstance(value, list) else _place(value)


def _refuse_unserved(value: Any, name: str) -> None:
    from invertone.cluster.storage.addresses import refuse_unserved

    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]:
        for place in each if isinstance(each, list) else [each]:
            refuse_unserved(place, to_write=name.rpartition(".")[2] == "out")


def _place(value: str) -> str:
    from invertone.cluster.storage.addresses import absolute

    return value if is_class(value) or is_shipped(value) else absolute(value)
