"""How loops become machine code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(**options: Any) -> Callable[[Any], Any]:
    """Machine code without the interpreter's lock, kept on disk for the next process. Where neither this package's folder nor
    the user's cache can be written (a container that only reads), it is compiled in every process: some seconds."""

    def decorate(function: Any) -> Any:
        try:
            return njit(cache=True, nogil=True, **options)(function)
        except RuntimeError:
            return njit(nogil=True, **options)(function)

    return decorate
