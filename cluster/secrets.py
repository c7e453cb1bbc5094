"""Credentials never leave the process that was given them: not in a log, an error, a config or a run folder."""

from __future__ import annotations

import os
import re
from pathlib import Path

_NAMES = re.compile(r"SECRET|TOKEN|PASSWORD|ACCESS_KEY|CREDENTIAL", re.IGNORECASE)
_LEAST = 8
"""Shorter values would blot out ordinary words."""


def without_secrets(text: str) -> str:
    """`text` without the values of this process's credential variables (keys, secrets, tokens)."""
    values = {value for name, value in os.environ.items() if _NAMES.search(name) and len(value) >= _LEAST}
    for value in sorted(values, key=len, reverse=True):
        if not _is_file(value):
            text = text.replace(value, "•••")
    return text


def _is_file(value: str) -> bool:
    """The name of a file that holds a token is no secret itself."""
    try:
        return Path(value).exists()
    except OSError:
        return False
