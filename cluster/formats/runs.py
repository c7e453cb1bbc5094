"""The run folder of every stage: `run.json` says what ran and refuses to be continued as something else."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
from collections.abc import Mapping
from typing import Any

from invertone.cluster.config.schema import as_dict, decisive, neutral, renamed, untouched
from invertone.cluster.errors import UserError
from invertone.cluster.formats import checkpoints, ledger, shards
from invertone.cluster.formats import latents as tables
from invertone.cluster.storage.folder import Folder
from invertone.cluster.storage.layout import OURS, laid_out

RUN = f"{OURS}/run.json"
SUMMARY = f"{OURS}/summary.json"
FORMATS = (
    f"ledger {ledger.VERSION}, shards {shards.VERSION}, checkpoints {checkpoints.VERSION}, tables {tables.VERSION}"
)
PACKAGES = ("ray", "torch", "torchaudio", "pyarrow", "webdataset", "numpy", "soundfile", "soxr", "scikit-learn")


def open_run(
    stage: str, name: str, config: Any, inputs: Mapping[str, str], because: Mapping[str, str] | None = None
) -> Folder:
    """The run folder `config.out`, new or continued.

    inputs: digests of what the run reads (shards, checkpoints), by role. They and the config's decisive keys are the
    fingerprint. because: of some roles, why another value is another run. Raises UserError, naming the differing field,
    where the folder belongs to another run.
    """
    folder = _existing(Folder.at(config.out))
    fingerprint = {
        **{k: _plain(v) for k, v in decisive(config).items()},
        **{f"input.{k}": v for k, v in inputs.items()},
    }
    fingerprint |= {"stage": stage, "formats": FORMATS}
    previous = _previous(folder)
    if previous is None:
        if folder.folders() or folder.names():
            raise UserError("out is neither empty nor a run of ours", where=folder.uri, fix="give a new folder as out")
        record = {
            "stage": stage,
            "name": name,
            "config": as_dict(config),
            "fingerprint": fingerprint,
            "versions": versions(),
            "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }
        try:
            mine = folder.create_json(RUN, record)
        except OSError as error:
            raise UserError(
                f"cannot be written: {error.strerror or error}", where=folder.uri, fix="give another out"
            ) from None
        if mine:
            return folder
        previous = _previous(folder) or {}  # another driver began here at the same moment
    previous = renamed(config, previous)
    # what decided the result for an older version and does so no more is no difference
    keys = {*previous, *fingerprint} - neutral(config)
    # and a key that an older version did not have: its usual value is what was done before
    keys -= untouched(config) - previous.keys()
    differing = sorted(key for key in keys if previous.get(key) != fingerprint.get(key))
    if differing:
        changes = ", ".join(f"{key}: {previous.get(key)!r} → {fingerprint.get(key)!r}" for key in differing[:3])
        roles = [key.removeprefix("input.") for key in differing]
        reasons = "".join(f" ({because[role]})" for role in roles if because and role in because)
        raise UserError(
            f"out holds a run that differs in {changes}{reasons}",
            where=folder.uri,
            fix="give another out, or the same values to continue it",
        )
    return folder


def _existing(folder: Folder) -> Folder:
    """As it is laid out. What cannot be read is said by whoever reads it."""
    try:
        return laid_out(folder)
    except PermissionError:
        return folder


def recorded(folder: Folder) -> dict[str, Any]:
    """run.json. Raises UserError where there is no run, or a damaged one."""
    try:
        return dict(laid_out(folder).read_json(RUN))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError("no run here (no run.json)", where=folder.uri, fix="give the out of a job") from None
    except (ValueError, TypeError):
        raise UserError("run.json is damaged", where=folder.uri, fix="give another run") from None


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("invertone", *PACKAGES):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def _previous(folder: Folder) -> dict[str, Any] | None:
    try:
        return dict(folder.read_json(RUN)["fingerprint"])
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        raise UserError("out is a file", where=folder.uri, fix="give a folder") from None
    except PermissionError as error:
        raise UserError(
            f"out cannot be read: {error.strerror or error}", where=folder.uri, fix="give another out"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise UserError("run.json is damaged", where=folder.uri, fix="give another out") from None


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
