"""Credentials never leave the process that was given them: not in a log, an error, a config or a run folder."""

from __future__ import annotations

import os
import re
from pathlib import Path

from invertone.cluster.errors import UserError

_NAMES = re.compile(r"SECRET|TOKEN|PASSWORD|ACCESS_KEY|CREDENTIAL", re.IGNORECASE)
_SHAPES = (
    (re.compile(r"(?<![A-Z0-9])(AKIA|ASIA)[A-Z0-9]{16}(?![A-Z0-9])"), "an access key"),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY"), "a private key"),
    (re.compile(r"://[^/\s@]*:[^/\s@]*@"), "a user and password in an address"),
    (re.compile(r"X-Amz-(Signature|Credential|Security-Token)=|[?&](sig|token)=", re.IGNORECASE), "a signed address"),
)
_FILES = ("AWS_CONFIG_FILE", "KUBECONFIG", "NETRC", "PGPASSFILE", "SSH_IDENTITY", "BOTO_CONFIG", "DOCKER_CONFIG")
_LEAST = 8
"""Shorter values would blot out ordinary words."""


def without_secrets(text: str) -> str:
    """`text` without the values of this process's credential variables (keys, secrets, tokens)."""
    values = {value for name, value in os.environ.items() if _NAMES.search(name) and len(value) >= _LEAST}
    for value in sorted(values, key=len, reverse=True):
        if not _is_file(value):
            text = text.replace(value, "•••")
    return text


def credential_in(data: bytes) -> str:
    """The name of a credential variable of this process whose value is in `data`, empty if there is none."""
    for name, value in os.environ.items():
        if _NAMES.search(name) and len(value) >= _LEAST and os.fsencode(value) in data and not _is_file(value):
            return name
    return ""


def credential_files() -> frozenset[Path]:
    """The files that this process's environment names as holding credentials (RAY_AUTH_TOKEN_PATH, KUBECONFIG, …)."""
    found = set()
    for name, value in os.environ.items():
        if value and (_NAMES.search(name) or name in _FILES) and _is_file(value) and not Path(value).is_dir():
            found.add(Path(value).resolve())
    return frozenset(found)


def refuse_secret(word: str) -> None:
    """Raises UserError, without repeating it, for a `key=value` word that holds or looks like a credential."""
    name, equals, value = word.partition("=")
    variable = credential_in(os.fsencode(word))
    kind = f"the value of {variable}" if variable else next((kind for shape, kind in _SHAPES if shape.search(word)), "")
    if not kind and equals and _NAMES.search(name) and value:
        kind = "a credential"
    if kind:
        raise UserError(
            f"looks like {kind}, which would end up in the cluster's logs",
            where=f"{name}=…" if equals and not _holds(name) else "command line",
            fix="let the cluster have credentials of its own, by a role",
        )


def _holds(text: str) -> bool:
    return bool(credential_in(os.fsencode(text))) or any(shape.search(text) for shape, _ in _SHAPES)


def _is_file(value: str) -> bool:
    """The name of a file that holds a token is no secret itself."""
    try:
        return Path(value).exists()
    except OSError:
        return False
