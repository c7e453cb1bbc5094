"""What a worker process says of itself while it works, in memory that outlives it: a flight recorder.

The process that does the work may be killed at any instruction. What it wrote into a shared file mapping before stays
readable: which items it had in hand, and that it still made progress.
"""

from __future__ import annotations

import json
import mmap
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, TypeVar

Item = TypeVar("Item")
SLOT_BYTES = 4 * 2**20
_HEADER = struct.Struct("<QIII")  # progress, which slot is whole, length of either slot


class Recorder:
    """A small open file, in memory if it can be. Two slots: one is whole while the other is written."""

    def __init__(self, file: IO[bytes], *, create: bool = False) -> None:
        if create:
            file.truncate(_HEADER.size + 2 * SLOT_BYTES)
        self._memory = mmap.mmap(file.fileno(), 0)

    @property
    def progress(self) -> int:
        return int(_HEADER.unpack_from(self._memory)[0])

    def read(self) -> list[str]:
        """The items in hand when the worker last said so."""
        _, slot, *lengths = _HEADER.unpack_from(self._memory)
        if not lengths[slot]:
            return []
        start = _HEADER.size + slot * SLOT_BYTES
        return [str(each) for each in json.loads(self._memory[start : start + lengths[slot]])]

    def write(self, items: Sequence[str]) -> None:
        progress, slot, *lengths = _HEADER.unpack_from(self._memory)
        slot, data = 1 - slot, json.dumps(items).encode() if items else b""
        assert len(data) <= SLOT_BYTES, "too many items in hand at once"
        start = _HEADER.size + slot * SLOT_BYTES
        self._memory[start : start + len(data)] = data
        lengths[slot] = len(data)
        _HEADER.pack_into(self._memory, 0, progress + 1, slot, *lengths)

    def beat(self) -> None:
        progress, *rest = _HEADER.unpack_from(self._memory)
        _HEADER.pack_into(self._memory, 0, progress + 1, *rest)

    def close(self) -> None:
        self._memory.close()


class Watch:
    """How a stage says which items it works on, and learns which it must leave alone.

    excluded: items that killed their worker, with what to write as their error. suspects: items that were in hand when a
    worker died; they are worked on alone, so that the next death tells which one it was.
    """

    def __init__(self, recorder: Recorder | None = None) -> None:
        self.excluded: Mapping[str, str] = {}
        self.suspects: frozenset[str] = frozenset()
        self._recorder, self._lock = recorder, threading.Lock()
        self._in_hand: dict[str, int] = {}
        self._raised_in: list[str] = []

    def start(self, excluded: Mapping[str, str], suspects: frozenset[str]) -> None:
        """A new unit of work begins."""
        self.excluded, self.suspects = excluded, suspects
        with self._lock:
            self._in_hand, self._raised_in = {}, []
            self._record()

    def batches(self, items: Sequence[Item], size: int, key: Callable[[Item], str]) -> Iterator[list[Item]]:
        """Items that are not excluded, `size` at a time; suspects come last, each alone."""
        usual = [item for item in items if key(item) not in self.excluded and key(item) not in self.suspects]
        for first in range(0, len(usual), size):
            yield usual[first : first + size]
        for item in items:
            if key(item) in self.suspects and key(item) not in self.excluded:
                yield [item]

    @contextmanager
    def on(self, items: Sequence[str]) -> Iterator[None]:
        """While inside, `items` are in hand. Threads may overlap."""
        with self._lock:
            for item in items:
                self._in_hand[item] = self._in_hand.get(item, 0) + 1
            self._record()
        try:
            yield
        except Exception:
            self._raised_in = self._raised_in or list(items)
            raise
        finally:
            with self._lock:
                for item in items:
                    self._in_hand[item] -= 1
                    if not self._in_hand[item]:
                        del self._in_hand[item]
                self._record()

    def beat(self) -> None:
        """Work goes on. Called inside long work on the same items, such as once per gradient step."""
        with self._lock:
            if self._recorder is not None:
                self._recorder.beat()

    @property
    def raised_in(self) -> list[str]:
        """The items in hand where an exception left `on` first."""
        return self._raised_in

    def _record(self) -> None:
        if self._recorder is not None:
            self._recorder.write(list(self._in_hand))
