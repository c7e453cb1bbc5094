"""Strict, typed, frozen configuration: a YAML names a job, `key=value` changes it, a typo gets a suggestion."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from invertone.cluster.config.checks import checked
from invertone.cluster.config.files import read_with_bases, refuse_resolvers
from invertone.cluster.config.schema import Catalogue, all_keys, note_given, renamed
from invertone.cluster.errors import UserError, did_you_mean

Config = TypeVar("Config")


def load(catalogue: Catalogue, name: str, overrides: Sequence[str] = (), *, paths_as_written: bool = False) -> Any:
    """The frozen dataclass that `name` (a shipped config or a YAML file) and `overrides` (`key=value`) describe.

    paths_as_written: local paths are not made absolute, for a job that another machine runs.
    Raises UserError, naming the file or the key, for whatever is unknown, missing, of the wrong type or out of range.
    """
    values, where = read_with_bases(catalogue, name, ())
    schema = _selected(catalogue, values, where)
    parsed = _parse_overrides(catalogue, schema, overrides)
    return build(schema, values, parsed, where, paths_as_written=paths_as_written)


def load_with(catalogue: Catalogue, name: str, values: Mapping[str, Any]) -> Any:
    """As `load`, with values by dotted key instead of words."""
    base, where = read_with_bases(catalogue, name, ())
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
    return _selected(catalogue, *read_with_bases(catalogue, name, ()))


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
    kinds = {each.name: str(each.type) for each in dataclasses.fields(schema)}  # type: ignore[arg-type]
    groups: dict[str, Any] = {each.name: each.default_factory for each in dataclasses.fields(schema)}  # type: ignore[arg-type]
    for source, layer in ((where, values), ("command line", overrides)):
        refuse_resolvers(layer, source)
        for name, value in layer.items():
            if hasattr(groups.get(name), "from_one") and not isinstance(value, Mapping):
                value = groups[name].from_one(value)
            value = _in_lists(kinds.get(name, ""), value)
            try:
                config = OmegaConf.merge(config, OmegaConf.create({name: value}))
            except ConfigKeyError as error:
                unknown = str(error.full_key or name)
                now = renamed(schema, {unknown: value})
                if unknown not in now:
                    written = " ".join(f"{key}={new}" for key, new in now.items())
                    raise UserError(f"{unknown} is a key no more", where=source, fix=f"write {written}") from None
                raise UserError(
                    f"unknown key {unknown!r}",
                    where=source,
                    fix=f"see --help for the keys{did_you_mean(unknown, all_keys(schema))}",
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
    made = checked(result, where, paths_as_written=paths_as_written)
    note_given(made, {*values, *overrides})
    return made


def _in_lists(kind: str, value: Any) -> Any:
    """`value` for a key of this type, in which one of something is a list of one: `splits=test`, `classifiers.CNN=runs/cnn`,
    `published: {GAAE: {accuracy: 0.9459}}`."""
    if kind.startswith("dict[str, ") and isinstance(value, Mapping):
        within = kind.removeprefix("dict[str, ").removesuffix("]")
        return {entry: _in_lists(within, each) for entry, each in value.items()}
    single = (str, int, float) if kind == "list[str]" else (int, float) if kind == "list[float]" else ()
    return [value] if isinstance(value, single) and not isinstance(value, bool) else value


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def _parse_overrides(catalogue: Catalogue, schema: type, overrides: Sequence[str]) -> dict[str, Any]:
    words = list(overrides)
    if catalogue.positional and words and "=" not in words[0] and catalogue.positional in all_keys(schema):
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
