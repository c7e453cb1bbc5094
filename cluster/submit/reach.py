"""Which places named in a config a cluster sees: addresses do, paths of this machine do not, unless they are shared."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from invertone.cluster.config.checks import is_class
from invertone.cluster.errors import UserError
from invertone.cluster.storage.addresses import is_remote
from invertone.cluster.storage.shipped import is_shipped

_ADDRESS = "give an address such as s3://bucket/folder"


def places(config: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every path of a config as it was written, with its dotted key; lists and mappings one by one."""
    for each in dataclasses.fields(config):
        value, name = getattr(config, each.name), prefix + each.name
        if dataclasses.is_dataclass(value):
            yield from places(value, name + ".")
        elif each.metadata.get("path") and value:
            yield from ((keyed, place) for keyed, place in _single(name, value) if place)
        elif each.metadata.get("paths_within") and value:
            known = {f"{name}.{within}" for within in each.metadata["paths_within"]}
            yield from ((keyed, place) for keyed, place in _single(name, value) if keyed in known and place)


def _single(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for entry, each in value.items():
            yield from _single(f"{name}.{entry}", each)
    elif isinstance(value, list):
        for each in value:
            yield from _single(name, each)
    else:
        yield name, str(value)


def classes(config: Any) -> list[tuple[str, str]]:
    """The keys that name a class of the user (`generator=mygan:Net`), with its module."""
    return [(name, place.partition(":")[0]) for name, place in places(config) if is_class(place)]


def refuse_relative(config: Any) -> None:
    """Raises UserError for the first path that means something on this machine only, wherever the cluster is."""
    for name, place in places(config):
        if is_class(place) or is_shipped(place) or _is_absolute(place):
            continue
        where = f"{name}={place}"
        if place.startswith("memory://"):
            raise UserError("lies in this process's memory, which no cluster sees", where=where, fix=_ADDRESS)
        if not is_remote(place):
            raise UserError(
                "is a folder or file of this machine, which the cluster does not see",
                where=where,
                fix=f"{_ADDRESS}, or an absolute path on a file system that the cluster shares, with --shared",
            )


def refuse_unseen(config: Any, shared: Sequence[str], same_machine: bool) -> None:
    """Raises UserError for the first absolute path that the cluster does not see: not below `shared`, on another machine."""
    if same_machine:
        return
    folders = [_normal(folder) for folder in shared]
    for name, place in places(config):
        if _is_absolute(place) and not any(_normal(place).is_relative_to(folder) for folder in folders):
            raise UserError(
                "is a path of this machine, and the cluster is another",
                where=f"{name}={place}",
                fix=f"{_ADDRESS}; if the cluster sees the same files there, say so by --shared {_top(place)}",
            )


def checked_shared(folder: str) -> str:
    """What `--shared` was given, if it is an absolute path."""
    if not Path(folder).is_absolute():
        raise UserError(
            "is not an absolute path", where=f"--shared {folder}", fix="write for example --shared /mnt/data"
        )
    return folder


def _is_absolute(place: str) -> bool:
    return Path(place.removeprefix("file://")).is_absolute()


def _normal(place: str) -> Path:
    """Without `..`, so that /mnt/data/../../home is not below /mnt/data."""
    return Path(os.path.normpath(place.removeprefix("file://")))


def _top(place: str) -> str:
    parts = _normal(place).parts
    return str(Path(*parts[: min(3, max(2, len(parts) - 1))]))
