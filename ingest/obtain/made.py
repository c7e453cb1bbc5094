"""A folder that a made corpus lies in, or a part of it: what it was made by, and its files one by one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from invertone.cluster.errors import UserError
from invertone.cluster.storage.addresses import is_remote
from invertone.cluster.storage.folder import Folder, json_bytes

SETTINGS = "corpus.json"


def local_folder(out: str, what: str) -> Path:
    """Raises UserError for a place that is not on this machine. what: the corpus is called."""
    if is_remote(out):
        raise UserError(f"a {what} is written to local disk only", where=out, fix="give a local folder, copy it later")
    return Path(out)


def publish_file(target: Path, data: bytes) -> None:
    """Atomic, but not synced to disk file by file (2.5 ms each): one emptied by a power cut has the wrong size."""
    part = target.with_name(f".{target.name}.part")
    part.write_bytes(data)
    part.replace(target)


def check_settings(folder: Path, settings: Mapping[str, Any], what: str) -> None:
    """Raises UserError where `folder` holds something else than this very corpus or a part of it. settings: everything that
    decides its files' bytes."""
    here = Folder(str(folder))
    if folder.is_file():
        raise UserError("out is a file", where=str(folder), fix="give a folder")
    if not here.exists(SETTINGS):
        if here.folders() or here.names():
            raise UserError(f"out is neither empty nor a {what}", where=str(folder), fix="give a new folder as out")
        return
    try:
        there = dict(here.read_json(SETTINGS))
    except ValueError:
        raise UserError(f"{SETTINGS} is damaged", where=str(folder), fix="give another out") from None
    if json_bytes(there) == json_bytes(dict(settings)):
        return
    differing = [key for key in {**settings, **there} if settings.get(key) != there.get(key)]
    changes = ", ".join(f"{key}: {there.get(key)!r} → {settings.get(key)!r}" for key in differing)
    raise UserError(
        f"out holds a {what} that differs in {changes}", where=str(folder), fix="give another out, or the same values"
    )
