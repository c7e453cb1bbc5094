"""Models that come with the package: `generator=shipped:digits`. Every place that takes a checkpoint takes such an address.

The files lie in the models' room; nothing of it is imported for that.
"""

from __future__ import annotations

import importlib.resources
from pathlib import Path

from invertone.cluster.errors import UserError

PREFIX = "shipped:"
_MODELS = "*/*/checkpoint.json"


def is_shipped(uri: str) -> bool:
    """Whether `uri` names a model of the package: it means the same on every machine that has this version."""
    return uri.startswith(PREFIX)


def root() -> Path:
    """Where the package keeps its models: a folder per family, in it a checkpoint per role."""
    return Path(str(importlib.resources.files("invertone.models"))) / "shipped"


def families() -> list[str]:
    """Names of the families, such as `digits`."""
    return sorted({each.parent.parent.name for each in root().glob(_MODELS)})


def models() -> list[str]:
    """Addresses of all models, `shipped:FAMILY/ROLE`."""
    return sorted(PREFIX + each.parent.relative_to(root()).as_posix() for each in root().glob(_MODELS))


def shipped_folder(uri: str) -> str:
    """The folder on this machine of `shipped:FAMILY` or `shipped:FAMILY/ROLE`. Raises UserError where there is none."""
    known = sorted([*(PREFIX + family for family in families()), *models()])
    if uri.rstrip("/") not in known:
        raise UserError("no such model comes with the package", where=uri, fix=f"choose one of {', '.join(known)}")
    return str(root() / uri.removeprefix(PREFIX).rstrip("/"))
