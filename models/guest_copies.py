"""Guests that several threads call at once: each thread has a copy, because a class may keep in itself what it computes."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import Any, cast

from torch import nn

from invertone.models.generator import Generator
from invertone.models.guests.guest import Description, Guest


def for_threads(generator: Generator) -> Generator:
    """A generator that any number of threads may call at once. Networks of ours and programs keep nothing of a call. Of an
    instance of a user's class each thread gets a copy with the same weights; where copying fails, each thread its turn."""
    if not isinstance(generator, Guest) or not generator.keeps_state:
        return generator
    description = Description(generator.latent_size, generator.prior, generator.label_names)
    return cast(Generator, Guest(description, _Copies(generator.call)))


class _Copies:
    def __init__(self, first: Callable[..., Any]) -> None:
        self._first, self._own, self._turn = first, threading.local(), threading.Lock()
        try:
            _copied(first)
            self._copyable = True
        except Exception:  # whatever a user's class does when it is copied
            self._copyable = False

    def __call__(self, *inputs: Any) -> Any:
        if not self._copyable:
            with self._turn:
                return self._first(*inputs)
        if not hasattr(self._own, "call"):
            with self._turn:
                self._own.call = _copied(self._first)
        return self._own.call(*inputs)


def _copied(call: Callable[..., Any]) -> Callable[..., Any]:
    """Frozen weights are shared: only what may change is copied."""
    weights = call.parameters() if isinstance(call, nn.Module) else ()
    return copy.deepcopy(call, {id(each): each for each in weights})
