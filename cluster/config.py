"""Strict, typed, frozen configuration: a YAML names a job, `key=value` changes it, a typo gets a suggestion."""

from __future__ import annotations

import dataclasses
import difflib
import importlib.resources
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from cluster.errors import UserError
from cluster.shipped import is_shipped

REQUIRED: Any = "???"
Config = TypeVar("Config")
_FILES = (".yaml", ".yml")


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
) -> Any:
    """A documented config key. `REQUIRED` as default means the user must give it; `path` makes local values absolute
    (and leaves `package.module:Class` as it is);
    `paths_within`: dotted names in a mapping of another job's keys whose values are paths;
    `neutral` keys (worker counts, batch sizes, places) do not change a job's result and stay out of its fingerprint."""
    metadata = {
        "help": help,
        "choices": tuple(choices),
        "minimum": minimum,
        "maximum": maximum,
        "path": path,
        "paths_within": tuple(paths_within),
        "neutral": neutral,
    }
    if isinstance(default, (list, dict)):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Catalogue:
    """The configs of one stage: which key selects the schema, and the schema (a frozen dataclass) of each value.

    `positional` names the key that a bare third word sets (`invertone corpus fetch sc09`).
    """

    stage: str
    selector: str
    schemas: Mapping[str, type]
    positional: str = ""


def names(stage: str) -> list[str]:
    """Names of the configs shipped for `stage`."""
    folder = importlib.resources.files("configs").joinpath(stage)
    return sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml"))


def load(catalogue: Catalogue, name: str, overrides: Sequence[str] = (), *, paths_as_written: bool = False) -> Any:
    """The frozen dataclass that `name` (a shipped config or a YAML file) and `overrides` (`key=value`) describe.

    paths_as_written: local paths are not made absolute, for a job that another machine runs.
    Raises UserError, naming the file or the key, for whatever is unknown, missing, of the wrong type or out of range.
    """
    values, where = _read_with_bases(catalogue, name, ())
    schema = _selected(catalogue, values, where)
    parsed = _parse_overrides(catalogue, schema, overrides)
    return build(schema, values, parsed, where, paths_as_written=paths_as_written)


def files(catalogue: Catalogue, name: str) -> list[str]:
    """The YAML files of the user that `name` is made of: itself, and those it extends."""
    if not name.endswith(_FILES):
        return []
    base = _read(catalogue.stage, name)[0].get("extends")
    return [name, *(files(catalogue, _base(name, base)) if isinstance(base, str) else [])]


def load_with(catalogue: Catalogue, name: str, values: Mapping[str, Any]) -> Any:
    """As `load`, with values by dotted key instead of words."""
    base, where = _read_with_bases(catalogue, name, ())
    nested: dict[str, Any] = {}
    for dotted, value in values.items():
        *groups, last = dotted.split(".")
        place = nested
        for group in groups:
            place = place.setdefault(group, {})
            if not isinstance(place, dict):
                raise UserError(f"{dotted!r} goes into {group!r}, which has a value", fix="give one of the two")
        place[last] = value
    return build(_selected(catalogue, base, where), base, nested, where)


def from_words(schema: type[Config], words: Sequence[str], values: Mapping[str, Any]) -> Config:
    """`schema` from the command line alone: `key=value` words over `values`. Raises UserError as `load` does."""
    return build(schema, values, _parsed(words), "command line")


def schema_of(catalogue: Catalogue, name: str) -> type:
    """The schema that the config `name` selects, for `--help`."""
    return _selected(catalogue, *_read_with_bases(catalogue, name, ()))


def _selected(catalogue: Catalogue, values: Mapping[str, Any], where: str) -> type:
    kind = values.get(catalogue.selector)
    if not isinstance(kind, str) or kind not in catalogue.schemas:
        raise UserError(
            f"{catalogue.selector} is {kind!r}, not one of {', '.join(catalogue.schemas)}",
            where=where,
            fix=f"write `{catalogue.selector}: …` into the file{did_you_mean(str(kind), list(catalogue.schemas))}",
        )
    return catalogue.schemas[kind]


def build(
    schema: type[Config],
    values: Mapping[str, Any],
    overrides: Mapping[str, Any],
    where: str,
    *,
    paths_as_written: bool = False,
) -> Config:
    """Merges file values and command-line values into `schema` and checks every key."""
    from omegaconf import OmegaConf
    from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

    config = OmegaConf.structured(schema)
    lists = {each.name for each in dataclasses.fields(schema) if str(each.type).startswith("list")}  # type: ignore[arg-type]
    of_lists = {each.name for each in dataclasses.fields(schema) if str(each.type) == "dict[str, list[str]]"}  # type: ignore[arg-type]
    groups: dict[str, Any] = {each.name: each.default_factory for each in dataclasses.fields(schema)}  # type: ignore[arg-type]
    for source, layer in ((where, values), ("command line", overrides)):
        _refuse_resolvers(layer, source)
        for name, value in layer.items():
            if hasattr(groups.get(name), "from_one") and not isinstance(value, Mapping):
                value = groups[name].from_one(value)
            if name in lists and isinstance(value, str):
                value = [value]  # one of something is a list of one: `splits=test`
            if name in of_lists and isinstance(value, dict):
                value = {entry: [each] if isinstance(each, str) else each for entry, each in value.items()}
            try:
                config = OmegaConf.merge(config, OmegaConf.create({name: value}))
            except ConfigKeyError as error:
                unknown = str(error.full_key or name)
                raise UserError(
                    f"unknown key {unknown!r}",
                    where=source,
                    fix=f"see --help for the keys{did_you_mean(unknown, _all_keys(schema))}",
                ) from None
            except (OmegaConfBaseException, TypeError) as error:
                at = getattr(error, "full_key", None) or name
                raise UserError(
                    _first_line(error), where=f"{source}, key {at}", fix="see --help for its type"
                ) from None
    try:
        missing = sorted(str(each) for each in OmegaConf.missing_keys(config))
        result: Any = None if missing else OmegaConf.to_object(config)
    except (OmegaConfBaseException, ValueError) as error:
        raise UserError(_first_line(error), where=where, fix="write the value out, see --help for its type") from None
    if missing:
        typed = " ".join(f"{each}=…" for each in missing)
        raise UserError(f"{', '.join(missing)} not given", where=where, fix=f"add {typed}")
    return checked(result, where, paths_as_written=paths_as_written)


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
        if rules["paths_within"] and value and not paths_as_written:
            changes[each.name] = _places_within(value, rules["paths_within"])
    return dataclasses.replace(config, **changes)


def path_keys(schema: type, prefix: str = "") -> list[str]:
    """Dotted names of the keys of `schema` that are paths."""
    found = []
    for each in dataclasses.fields(schema):
        if dataclasses.is_dataclass(each.default_factory):
            found += path_keys(each.default_factory, f"{prefix}{each.name}.")
        elif each.metadata.get("path"):
            found.append(prefix + each.name)
    return found


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


def _place(value: str) -> str:
    from cluster.storage import absolute

    return value if is_class(value) or is_shipped(value) else absolute(value)


def as_dict(config: Any) -> dict[str, Any]:
    """The resolved config as plain values, for `run.json` and fingerprints."""
    return dataclasses.asdict(config)


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
        usual = each.default
        if usual is dataclasses.MISSING and each.default_factory is not dataclasses.MISSING:
            usual = each.default_factory()
        if value == usual:
            keys.add(prefix + each.name)
    return keys


def as_yaml(config: Any) -> str:
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.create(as_dict(config)))


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


def did_you_mean(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


def _refuse_resolvers(value: Any, where: str) -> None:
    """`${key}` may name another key. `${name:…}` calls a function: `oc.env` would bring secrets into `run.json`."""
    if isinstance(value, Mapping):
        for each in value.values():
            _refuse_resolvers(each, where)
    elif isinstance(value, (list, tuple)):
        for each in value:
            _refuse_resolvers(each, where)
    elif isinstance(value, str) and "${" in value:
        depth = 0
        for at, sign in enumerate(value):
            depth += value.startswith("${", at) - (sign == "}" and depth > 0)
            if sign == ":" and depth:
                raise UserError(
                    f"{value!r} calls a function, and only `${{key}}` is allowed",
                    where=where,
                    fix="write the value out",
                )


def _all_keys(schema: type) -> list[str]:
    return [row[0] for row in describe(schema)]


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def _read_with_bases(catalogue: Catalogue, name: str, seen: tuple[str, ...]) -> tuple[dict[str, Any], str]:
    """The file's values over those of the config that its `extends:` names."""
    values, where = _read(catalogue.stage, name)
    base = values.pop("extends", None)
    if base is None:
        return values, where
    if isinstance(base, str):
        base = _base(name, base)
    if not isinstance(base, str) or base in (*seen, name):
        raise UserError(f"extends {base!r} runs in a circle or is no name", where=where, fix="name another config")
    inherited, _ = _read_with_bases(catalogue, base, (*seen, name))
    from omegaconf import OmegaConf

    merged = OmegaConf.to_container(
        OmegaConf.merge(OmegaConf.create(inherited), OmegaConf.create(values)), resolve=False
    )
    return {str(k): v for k, v in merged.items()}, where  # type: ignore[union-attr]


def _base(name: str, base: str) -> str:
    """A base that is a file is named relative to the file that extends it."""
    if base.endswith(_FILES) and name.endswith(_FILES):
        return os.path.normpath(Path(name).parent / base)
    return base


def _read(stage: str, name: str) -> tuple[dict[str, Any], str]:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    if name.endswith(_FILES):
        file, where = Path(name), name
        if not file.is_file():
            raise UserError("no such file", where=name, fix="check the path")
        text = file.read_text(encoding="utf-8", errors="replace")
    else:
        known, where = names(stage), f"configs/{stage}/{name}.yaml"
        if name not in known:
            raise UserError(
                f"no config named {name!r} for {stage}",
                fix=f"choose one of {', '.join(known)} or give a .yaml file{did_you_mean(name, known)}",
            )
        text = importlib.resources.files("configs").joinpath(stage, f"{name}.yaml").read_text(encoding="utf-8")
    try:
        values = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    except (YAMLError, OmegaConfBaseException, ValueError) as error:
        raise UserError(
            f"not readable as YAML: {' '.join(str(error).split())}", where=where, fix="mend the file"
        ) from None
    if not isinstance(values, dict):
        raise UserError("holds no keys", where=where, fix="write `key: value` lines")
    return {str(k): v for k, v in values.items()}, where


def _parse_overrides(catalogue: Catalogue, schema: type, overrides: Sequence[str]) -> dict[str, Any]:
    words = list(overrides)
    if catalogue.positional and words and "=" not in words[0] and catalogue.positional in _all_keys(schema):
        words[0] = f"{catalogue.positional}={words[0]}"
    parsed = _parsed(words)
    if catalogue.selector in parsed:
        raise UserError(
            f"{catalogue.selector} is what the config's name chose",
            where="command line",
            fix="name another config instead",
        )
    return parsed


def _parsed(words: Sequence[str]) -> dict[str, Any]:
    """`key=value` words as nested values."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    for word in words:
        name = word.split("=", 1)[0]
        if "=" not in word or not name:
            raise UserError(
                f"{word!r} is not of the form key=value", where="command line", fix="write for example seed=1"
            )
    try:
        parsed = OmegaConf.to_container(OmegaConf.from_dotlist(list(words)), resolve=False)
    except (YAMLError, OmegaConfBaseException, ValueError) as error:
        raise UserError(f"not readable: {_first_line(error)}", where="command line", fix="quote the value") from None
    assert isinstance(parsed, dict)
    return {str(k): v for k, v in parsed.items()}
