"""What a run folder says of its job, from a handful of listings: how far it is, what failed and why.

Nothing here is read per unit: a hundred thousand units are two listings and the journal.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from invertone.cluster.formats.ledger import EXCLUDED, FAILED, QUARANTINED, Failure, Ledger
from invertone.cluster.formats.runs import SUMMARY, recorded
from invertone.cluster.jobs.driver import Seen, latest
from invertone.cluster.progress import duration
from invertone.cluster.storage.folder import Folder
from invertone.cluster.storage.layout import laid_out


@dataclass(frozen=True)
class Status:
    """A job at this moment. Units that were started and are neither done nor given up are `running` if the driver lives.

    items: what the user counts (clips, recordings, rows, updates). rate: items per second of the latest driver. bytes:
    of the committed files.
    """

    stage: str
    name: str
    uri: str
    state: str
    what: str
    units: dict[str, int]
    items: dict[str, int]
    bytes: int
    rate: float | None
    eta_s: float | None
    driver: dict[str, Any]
    items_excluded: int

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def lines(self) -> list[str]:
        """One screen."""
        lines = [f"{self.stage} {self.name}: {self.state}   {self.uri}"]
        done, total = self.items["done"], self.items["total"]
        share = f" ({done / total:.1%})" if total else ""
        lines.append(f"  {self.what:9} {done:,} of {total:,}{share}")
        if self.units["total"]:
            counts = ", ".join(f"{count:,} {name}" for name, count in self.units.items() if name != "total" and count)
            lines.append(f"  units     {counts or 'none started'}, of {self.units['total']:,}")
            lines.append(f"  written   {self.bytes / 1e6:,.1f} MB")
        if self.rate and self.state == "running":
            left = f", {duration(self.eta_s)} left" if self.eta_s is not None else ""
            lines.append(f"  rate      {self.rate:,.1f} {self.what}/s{left}")
        if self.driver:
            at = f"process {self.driver['pid']} on {self.driver['host']}"
            seen = f", last sign of it {duration(self.driver['last_sign_s'])} ago" if self.state == "running" else ""
            lines.append(f"  driver    {at}{seen}")
        if self.units.get(FAILED) or self.units.get(QUARANTINED) or self.items_excluded:
            if self.items_excluded:
                lines.append(f"  failed    {self.items_excluded:,} {self.what} have an error in place of a result")
            lines.append(f"`invertone failed {self.uri}` says why, `invertone retry {self.uri}` tries them again.")
        elif self.state == "stopped":
            lines.append("Stopped before its end: the command that started it continues from here.")
        return lines


def status(folder: Folder) -> Status:
    """Raises UserError where there is no run."""
    folder = laid_out(folder)
    record = recorded(folder)
    ledger, seen = Ledger(folder), latest(folder)
    told = dict(seen.beat) if seen else {}
    if ledger.plan() is None:
        items = {"done": int(told.get("items", 0)), "total": int(told.get("of_items", 0))}
        finished = folder.exists(SUMMARY)
        return _status(folder, record, seen, {"total": 0}, items, 0, 0, str(told.get("what", "items")), finished)
    failures = ledger.failures()
    done = ledger.done()
    given_up = {each.unit: each.state for each in failures if each.state != EXCLUDED}
    started = set(ledger.attempted(seen.record["session"])) - done - set(given_up) if seen and seen.alive else set()
    planned = ledger.planned()
    total = planned.num_rows
    counts = {"total": total, "done": len(done), "running": len(started)}
    counts |= {state: sum(each == state for each in given_up.values()) for state in (FAILED, QUARANTINED)}
    counts["waiting"] = total - sum(counts[name] for name in ("done", "running", FAILED, QUARANTINED))
    size = excluded = done_items = 0
    for commit in ledger.commits(done):
        size += sum(output.bytes for output in commit.outputs)
        excluded += len(commit.excluded)
        done_items += commit.items
    items = {"done": done_items, "total": int(pc.sum(planned["items"]).as_py() or 0)}
    return _status(
        folder, record, seen, counts, items, size, excluded, str(told.get("what", "items")), len(done) == total
    )


def _status(
    folder: Folder,
    record: dict[str, Any],
    seen: Seen | None,
    units: dict[str, int],
    items: dict[str, int],
    size: int,
    excluded: int,
    what: str,
    finished: bool,
) -> Status:
    alive = seen is not None and seen.alive
    broken = units.get(FAILED, 0) + units.get(QUARANTINED, 0)
    whole = "done, with failed items" if excluded else "done"
    state = "running" if alive else whole if finished else "ended incomplete" if broken else "stopped"
    rate = float(seen.beat.get("rate", 0.0)) if seen else 0.0
    left = (items["total"] - items["done"]) / rate if rate > 0 else None
    driver: dict[str, Any] = {}
    if seen:
        driver = {name: seen.record[name] for name in ("host", "pid", "started")}
        driver |= {"alive": alive, "last_sign_s": max(0.0, time.time() - seen.beat.get("at", seen.record["started"]))}
    names = str(record["stage"]), str(record["name"]), folder.uri
    return Status(*names, state, what, units, items, size, rate or None, left, driver, excluded)


def failed(folder: Folder) -> list[Failure]:
    """Every unit that failed or was quarantined, and every item of a committed unit that has an error in place of a result."""
    folder = laid_out(folder)
    recorded(folder)
    return Ledger(folder).failures()


def failure_lines(failures: list[Failure]) -> list[str]:
    """For people: which, why, and the last traceback."""
    lines = []
    for each in failures:
        lines.append(f"{each.unit}: {each.state} after {each.attempts} attempts ({each.items:,} items): {each.error}")
        lines += [f"    {key}: {error}" for key, error in sorted(each.excluded.items())]
        lines += [f"    | {line}" for line in each.traceback.strip().splitlines()[-30:]]
    return lines or ["nothing failed"]
