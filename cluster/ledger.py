"""What is done, tried and given up, as files in the run folder; a unit counts only when its commit is there.

ledger/plan.json              the units, fixed once per run folder
ledger/attempts/UNIT.N.json   written before attempt N starts
ledger/commits/UNIT.json      written last: outputs with bytes and sha256, statistics
ledger/failures/UNIT.json     last error of a unit that raised or kept killing its worker; gone once it commits
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from cluster.errors import UserError
from cluster.storage import Folder, json_bytes, sha256

PLAN = "ledger/plan.json"
ATTEMPTS, COMMITS, FAILURES = "ledger/attempts", "ledger/commits", "ledger/failures"


@dataclass(frozen=True)
class Ledger:
    """The ledger of one run folder, for driver and workers. `session` tells one driver's attempts from another's."""

    folder: Folder
    session: str = ""

    def fix_plan(self, names: Iterable[str], details: Mapping[str, Any]) -> None:
        """Writes the plan once; refuses another plan in the same folder (the inputs changed under the run)."""
        plan = {"units": sorted(names), **details}
        if not self.folder.exists(PLAN):
            self.folder.publish_json(PLAN, plan)
            return
        if sha256(json_bytes(self.folder.read_json(PLAN))) != sha256(json_bytes(plan)):
            raise UserError(
                "the run's inputs have changed since it was planned", where=self.folder.uri, fix="give another out"
            )

    def done(self) -> set[str]:
        return {name.removesuffix(".json") for name in self.folder.names(COMMITS)}

    def failed(self) -> dict[str, dict[str, Any]]:
        """Units that raised or were quarantined and have not committed since, with their last error."""
        listed = (name.removesuffix(".json") for name in self.folder.names(FAILURES))
        done = self.done()
        return {unit: self.folder.read_json(f"{FAILURES}/{unit}.json") for unit in listed if unit not in done}

    def attempts(self, unit: str) -> int:
        """How often this session has started `unit`. That an earlier driver was killed is not the unit's fault."""
        prefix = f"{unit}.{self.session}."
        return sum(name.startswith(prefix) for name in self.folder.names(f"{ATTEMPTS}/{unit}"))

    def begin(self, unit: str, attempt: int) -> None:
        self.folder.publish_json(f"{ATTEMPTS}/{unit}/{unit}.{self.session}.{attempt}.json", {"attempt": attempt})

    def commit(self, unit: str, outputs: Mapping[str, Mapping[str, Any]], statistics: Mapping[str, Any]) -> None:
        self.folder.publish_json(f"{COMMITS}/{unit}.json", {"outputs": outputs, "statistics": statistics})

    def fail(self, unit: str, state: str, error: str, details: str) -> None:
        self.folder.publish_json(f"{FAILURES}/{unit}.json", {"state": state, "error": error, "traceback": details})


def committed(folder: Folder) -> list[dict[str, Any]]:
    """Every commit of a run folder, ordered by unit name."""
    names = folder.names(COMMITS)
    if folder.local is not None:
        return [folder.read_json(f"{COMMITS}/{name}") for name in names]
    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(lambda name: folder.read_json(f"{COMMITS}/{name}"), names))


def merge(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Sums statistics field by field: numbers, lists and nested groups. The order of `parts` fixes the rounding."""
    total: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            total[name] = value if name not in total else _add(total[name], value)
    return total


def _add(a: Any, b: Any) -> Any:
    if isinstance(a, Mapping):
        return merge([a, b])
    if isinstance(a, list):
        return [_add(x, y) for x, y in zip(a, b, strict=True)]
    return a + b
