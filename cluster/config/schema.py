"""What a config can hold: documented keys of frozen dataclasses, and what such a dataclass says of itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

REQUIRED: Any = "???"
_GIVEN = "_given"


def key(
    default: Any,
    help: str,
    *,
    choices: Sequence[str] = (),
    minimum: float | None = None,
    maximum: float | None = None,
    path: bool = False,
    neutral: bool = False,
    paths_within: Sequence[str] = (),
    checkpoint: str = "",
    former: Mapping[str, Mapping[Any, Any]] | None = None,
) -> Any:
    """A documented config key. `REQUIRED` as default means the user must give it; `path` makes local values absolute
    (and leaves `package.module:Class` as it is);
    `checkpoint`: the value is a path to a checkpoint of this kind (`generator`, `classifier`, `mapper`, …; see
    `checkpoints_of`); `paths_within`: dotted names in a mapping of another job's keys whose values are paths;
    `neutral` keys (worker counts, batch sizes, places) do not change a job's result and stay out of its fingerprint;
    `former`: keys of older versions that this one has taken the place of, with what their values are called now."""
    metadata = {
        "help": help,
        "choices": tuple(choices),
        "minimum": minimum,
        "maximum": maximum,
        "path": path or bool(checkpoint),
        "checkpoint": checkpoint,
        "paths_within": tuple(paths_within),
        "neutral": neutral,
        "former": former or {},
    }
    if isinstance(default, (list, dict)):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Catalogue:
    """The configs of one stage: which key selects the schema, and the schema (a frozen dataclass) of each value.

    `positional` names the key that a bare third word sets (`invertone corpus fetch sc09`); `former` says of the
    names that configs of older versions had what they are called now, and why: {old: "new (why)"}.
    """

    stage: str
    selector: str
    schemas: Mapping[str, type]
    positional: str = ""
    former: Mapping[str, str] = field(default_factory=dict)


def describe(schema: type, prefix: str = "") -> list[tuple[str, str, str, str]]:
    """One row per key: name, type, default, help; nested groups flattened with dots."""
    rows: list[tuple[str, str, str, str]] = []
    for each in dataclasses.fields(schema):
        default = each.default_factory() if each.default_factory is not dataclasses.MISSING else each.default
        if dataclasses.is_dataclass(default):
            rows += describe(type(default), f"{prefix}{each.name}.")
            continue
        shown = "required" if default == REQUIRED else "none" if default is None else str(default)
        text = each.metadata.get("help", "")
        if each.metadata.get("choices"):
            text += f" ({' | '.join(each.metadata['choices'])})"
        rows.append((prefix + each.name, str(each.type).replace(" | None", "?"), shown, text))
    return rows


def path_keys(schema: type, prefix: str = "") -> list[str]:
    """Dotted names of the keys of `schema` that are paths."""
    found = []
    for each in dataclasses.fields(schema):
        if dataclasses.is_dataclass(each.default_factory):
            found += path_keys(each.default_factory, f"{prefix}{each.name}.")
        elif each.metadata.get("path"):
            found.append(prefix + each.name)
    return found


def note_given(config: Any, names: Iterable[str]) -> None:
    """Keeps with a config which of its keys a file or the command line gave. No key, no part of its value or fingerprint."""
    object.__setattr__(config, _GIVEN, frozenset(names))


def given(config: Any, name: str) -> bool:
    """Whether a file or the command line gave this key a value, be it the usual one. Of a config that was not loaded nothing
    was given."""
    return name in getattr(config, _GIVEN, ())


def as_dict(config: Any) -> dict[str, Any]:
    """The resolved config as plain values, for `run.json` and fingerprints."""
    return dataclasses.asdict(config)


def as_yaml(config: Any) -> str:
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.create(as_dict(config)))


def decisive(config: Any, prefix: str = "") -> dict[str, Any]:
    """The values that change the result, by dotted key: what a fingerprint is made of."""
    values: dict[str, Any] = {}
    for each in dataclasses.fields(config):
        value = getattr(config, each.name)
        if dataclasses.is_dataclass(value):
            values |= decisive(value, f"{prefix}{each.name}.")
        elif not each.metadata.get("neutral", False):
            values[prefix + each.name] = value
    return values


def neutral(config: Any, prefix: str = "") -> set[str]:
    """The dotted keys of what does not change the result."""
    keys: set[str] = set()
    for each in dataclasses.fields(config):
        value = getattr(config, each.name)
        if dataclasses.is_dataclass(value):
            keys |= neutral(value, f"{prefix}{each.name}.")
        elif each.metadata.get("neutral", False):
            keys.add(prefix + each.name)
    return keys


def untouched(config: Any, prefix: str = "") -> set[str]:
    """The dotted keys that have their schema's own value."""
    keys: set[str] = set()
    for each in dataclasses.fields(config):
        value = getattr(config, each.name)
        if dataclasses.is_dataclass(value):
            keys |= untouched(value, f"{prefix}{each.name}.")
            continue
        if value == _default(each):
            keys.add(prefix + each.name)
    return keys


def _default(each: dataclasses.Field[Any]) -> Any:
    if each.default is dataclasses.MISSING and each.default_factory is not dataclasses.MISSING:
        return each.default_factory()
    return each.default


def renamed(schema: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of an older version under the keys, and as the values, that they have now. schema: or a config of it."""
    now = dict(values)
    for each in dataclasses.fields(schema):
        for name, meanings in each.metadata.get("former", {}).items():
            if name in now:
                before = now.pop(name)
                now.setdefault(each.name, meanings.get(before, before))
    return now


def all_keys(schema: type) -> list[str]:
    return [row[0] for row in describe(schema)]


def choices_of(schema: type, dotted: str) -> tuple[str, ...]:
    """The values that a key may have, where they are few; of a yes-or-no key, true and false."""
    name, _, rest = dotted.partition(".")
    found = next((each for each in dataclasses.fields(schema) if each.name == name), None)
    if found is None:
        return ()
    if rest:
        return choices_of(found.default_factory, rest) if dataclasses.is_dataclass(found.default_factory) else ()
    if str(found.type) == "bool":
        return ("true", "false")
    return tuple(found.metadata.get("choices") or ())


def checkpoints_of(config: Any) -> dict[str, tuple[str, str]]:
    """The checkpoints that a config names, by key: kind and place. Those that it does not name are left out."""
    found = {}
    for each in dataclasses.fields(config):
        kind, place = each.metadata.get("checkpoint"), getattr(config, each.name)
        if kind and place:
            found[each.name] = (kind, place)
    return found
