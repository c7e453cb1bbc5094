"""One idiom for whatever there are several of (corpora, objectives, methods, tables, …): an entry names a schema and an
implementation, and both are loaded when they are used, so that help loads neither torch nor Ray.

To add one: write the two, and add a line to the registry of its kind.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Entry:
    """name: what a config's selector key says. schema: `module:Class`, a frozen dataclass of `key(…)`s, or empty for what has
    no keys. implementation: `module:name`, or a whole module."""

    name: str
    schema: str
    implementation: str


class Registry(Mapping[str, Any]):
    """Schemas by name, as a `Catalogue` takes them, and implementations by name.

    >>> tables = Registry(Entry("sums", "invertone.cluster.config.shared:BulkConfig", "invertone.cluster.jobs.sums:Sum"))
    >>> "sums" in tables, list(tables)
    (True, ['sums'])
    """

    def __init__(self, *entries: Entry) -> None:
        self._entries = {entry.name: entry for entry in entries}
        assert len(self._entries) == len(entries), "two entries of one name"

    def add(self, entry: Entry) -> None:
        """For one that comes from elsewhere. It is known in this process alone."""
        assert entry.name not in self._entries, f"{entry.name} is there already"
        self._entries[entry.name] = entry

    def remove(self, name: str) -> None:
        """Takes back what `add` added."""
        del self._entries[name]

    def __getitem__(self, name: str) -> Any:
        """The schema of that name."""
        return resolved(self._entries[name].schema)

    def implementation(self, name: str) -> Any:
        """What does it."""
        return resolved(self._entries[name].implementation)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def resolved(place: str) -> Any:
    """What `module:name` names, or `module` alone."""
    module, _, name = place.partition(":")
    found = importlib.import_module(module)
    return getattr(found, name) if name else found
