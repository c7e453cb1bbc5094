"""A generator that is a class on the path, `package.module:Class`: imported, constructed, identified."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from invertone.cluster import user_folder
from invertone.cluster.errors import UserError, did_you_mean
from invertone.cluster.storage.folder import sha256
from invertone.models.guests.guest import KEYS, Guest, described
from invertone.models.guests.programs import first_line


def load_class(name: str) -> tuple[Guest, str]:
    """An instance of the class `package.module:Class`, on the CPU, and its digest: name, source file, weights."""
    made = _constructed(name)
    values = {key: getattr(made, key) for key in KEYS if hasattr(made, key)}
    description = described(values, name, "attribute")
    if not callable(made):
        raise UserError("its instances cannot be called", where=name, fix="give it forward(latent) or __call__(latent)")
    digest = hashlib.sha256(json.dumps([name, sha256(_source(type(made))), description.as_dict()]).encode())
    if isinstance(made, nn.Module):
        for key, value in sorted(made.state_dict().items()):
            digest.update(f"{key} {_identity(value)}".encode())
        return Guest(description, made), digest.hexdigest()
    return _Object(description, made), digest.hexdigest()


def _constructed(name: str) -> Any:
    module_name, _, class_name = name.partition(":")
    here = Path.cwd()
    try:
        importlib.invalidate_caches()
        with user_folder.first():
            module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = f"no module named {error.name!r}"
        if error.name and not (module_name + ".").startswith(error.name + "."):
            raise UserError(f"{module_name} needs {error.name!r}, which is not installed", where=name,
                            fix=f"install it where the job runs, or mend the import in {module_name}") from None  # fmt: skip
        package = sys.modules.get(module_name.partition(".")[0])
        if package is not None:  # a folder of the user's may be called as a package of ours
            missing += f" in {getattr(package, '__file__', None)}"
        raise UserError(
            missing,
            where=name,
            fix=f"type the command in the folder that holds it (now {here}), install it, or set PYTHONPATH",
        ) from None
    except Exception as error:
        raise UserError(
            f"importing {module_name} raised {first_line(error)}", where=name, fix="mend the module"
        ) from None
    made_by = getattr(module, class_name, None)
    if made_by is None:
        known = [each for each, value in vars(module).items() if inspect.isclass(value)]
        raise UserError(
            f"{module_name} ({getattr(module, '__file__', None)}) has no {class_name!r}",
            where=name,
            fix=f"name a class that it has{did_you_mean(class_name, known)}",
        )
    if not inspect.isclass(made_by):
        raise UserError(f"{class_name} is a {type(made_by).__name__}, not a class", where=name, fix="name a class")
    try:
        with (
            user_folder.first(),
            torch.random.fork_rng(devices=[]),
        ):  # what it seeds or draws is not for the networks that come after it
            return made_by()
    except Exception as error:
        raise UserError(
            f"constructing it without arguments raised {first_line(error)}", where=name, fix="mend its __init__"
        ) from None


def _source(kind: type) -> bytes:
    """The file a class is written in; of a class without one, nothing."""
    module = sys.modules.get(kind.__module__)
    file = getattr(module, "__file__", None)
    return Path(file).read_bytes() if file and Path(file).is_file() else b""


def _identity(value: Any) -> str:
    if not isinstance(value, Tensor):
        return repr(value)
    raw = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return f"{value.dtype} {list(value.shape)} {sha256(raw)}"


class _Object(Guest):
    """An object that is no Module: it moves by its own `to(device)`, if it has one."""

    def to(self, *place: Any, **options: Any) -> Any:
        move = getattr(self.call, "to", None)
        if callable(move):
            changed = move(*place, **options)
            self.call = self.call if changed is None else changed
        return self
