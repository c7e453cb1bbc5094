"""Named configs of the package and YAML files of the user, with what they extend."""

from __future__ import annotations

import importlib.resources
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from invertone.cluster.config.schema import Catalogue
from invertone.cluster.errors import UserError, did_you_mean

YAML_FILES = (".yaml", ".yml")


def names(stage: str) -> list[str]:
    """Names of the configs shipped for `stage`."""
    folder = importlib.resources.files("invertone.configs").joinpath(stage)
    return sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml"))


def files(catalogue: Catalogue, name: str) -> list[str]:
    """The YAML files of the user that `name` is made of: itself, and those it extends."""
    if not name.endswith(YAML_FILES):
        return []
    base = _read(catalogue, name)[0].get("extends")
    return [name, *(files(catalogue, _base(name, base)) if isinstance(base, str) else [])]


def read_with_bases(catalogue: Catalogue, name: str, seen: tuple[str, ...]) -> tuple[dict[str, Any], str]:
    """The file's values over those of the config that its `extends:` names."""
    values, where = _read(catalogue, name)
    base = values.pop("extends", None)
    if base is None:
        return values, where
    if isinstance(base, str):
        base = _base(name, base)
    if not isinstance(base, str) or base in (*seen, name):
        raise UserError(f"extends {base!r} runs in a circle or is no name", where=where, fix="name another config")
    inherited, _ = read_with_bases(catalogue, base, (*seen, name))
    from omegaconf import OmegaConf

    merged = OmegaConf.to_container(
        OmegaConf.merge(OmegaConf.create(inherited), OmegaConf.create(values)), resolve=False
    )
    return {str(k): v for k, v in merged.items()}, where  # type: ignore[union-attr]


def _base(name: str, base: str) -> str:
    """A base that is a file is named relative to the file that extends it."""
    if base.endswith(YAML_FILES) and name.endswith(YAML_FILES):
        return os.path.normpath(Path(name).parent / base)
    return base


def _read(catalogue: Catalogue, name: str) -> tuple[dict[str, Any], str]:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    if name.endswith(YAML_FILES):
        file, where = Path(name), name
        if not file.is_file():
            raise UserError("no such file", where=name, fix="check the path")
        text = file.read_text(encoding="utf-8", errors="replace")
    else:
        stage = catalogue.stage
        if name in catalogue.former:
            raise UserError(f"{name} is now {catalogue.former[name]}")
        known, where = names(stage), f"configs/{stage}/{name}.yaml"
        if name not in known:
            raise UserError(
                f"no config named {name!r} for {stage}",
                fix=f"choose one of {', '.join(known)} or give a .yaml file{did_you_mean(name, known)}",
            )
        text = (
            importlib.resources.files("invertone.configs").joinpath(stage, f"{name}.yaml").read_text(encoding="utf-8")
        )
    try:
        values = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    except (YAMLError, OmegaConfBaseException, ValueError) as error:
        raise UserError(
            f"not readable as YAML: {' '.join(str(error).split())}", where=where, fix="mend the file"
        ) from None
    if not isinstance(values, dict):
        raise UserError("holds no keys", where=where, fix="write `key: value` lines")
    return {str(k): v for k, v in values.items()}, where


def refuse_resolvers(value: Any, where: str) -> None:
    """`${key}` may name another key. `${name:…}` calls a function: `oc.env` would bring secrets into `run.json`."""
    if isinstance(value, Mapping):
        for each in value.values():
            refuse_resolvers(each, where)
    elif isinstance(value, (list, tuple)):
        for each in value:
            refuse_resolvers(each, where)
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


def first_comment(stage: str, name: str) -> str:
    """What a named config says of itself in its first line."""
    if name.endswith(YAML_FILES):
        return ""
    first = shipped_text(stage, name).partition("\n")[0]
    return first.lstrip("# ") if first.startswith("#") else ""


def shipped_text(stage: str, name: str) -> str:
    """The YAML of a config of the package."""
    return importlib.resources.files("invertone.configs").joinpath(stage, f"{name}.yaml").read_text(encoding="utf-8")
