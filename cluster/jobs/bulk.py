"""The frame of every bulk job: a run folder with one driver, units, a summary, what is said, and what has no result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from invertone.cluster.config.shared import BulkConfig
from invertone.cluster.formats.ledger import Unit
from invertone.cluster.formats.runs import SUMMARY, open_run
from invertone.cluster.jobs.driver import Driver, driving
from invertone.cluster.jobs.engine import Outcome, UnitStage, run_units
from invertone.cluster.storage.folder import Folder


@dataclass
class BulkJob:
    """A bulk job while its run folder is open. what: stage and name, as progress shows it. outcome: of its units, once they
    are done. said: lines that are printed when the folder is closed again."""

    what: str
    config: BulkConfig
    driver: Driver
    outcome: Outcome | None = None
    said: list[str] = field(default_factory=list)

    @property
    def folder(self) -> Folder:
        """The run folder."""
        return self.driver.term.folder

    def run_units(self, stage: UnitStage, units: Sequence[Unit], items: str = "clips") -> Outcome:
        """Does every unit that is not committed yet, as the config says, on its `device` if it has one. Raises as the engine
        does. items: what the user counts."""
        device = getattr(self.config, "device", "cpu")
        self.outcome = run_units(
            self.driver, stage, units, what=self.what, items=items, settings=self.config, device=device
        )
        return self.outcome

    def summarise(self, totals: Mapping[str, Any]) -> None:
        """Publishes the summary: of the units, and `totals`."""
        assert self.outcome is not None, "before the units are done"
        self.folder.publish_json(SUMMARY, self.outcome.summary() | dict(totals))

    def say(self, *lines: str) -> None:
        """Has them printed at the end, where the job came to it."""
        self.said += lines


@contextmanager
def bulk_job(stage: str, name: str, config: BulkConfig, digests: Mapping[str, str]) -> Iterator[BulkJob]:
    """The run folder `config.out`, new or continued, for this process alone. What the job has to say is printed after it,
    and last of all JobIncompleteError raised if items have no result.

    digests: of all that the job reads, by role. Raises UserError where the folder is another run's, or another driver's.

    >>> with bulk_job("infer", "encoder", config, digests) as job:  # doctest: +SKIP
    ...     outcome = job.run_units(stage, units)
    ...     job.summarise(outcome.statistics)
    ...     job.say(f"{outcome.items:,} clips: {job.folder.uri}")
    """
    folder = open_run(stage, name, config, digests)
    with driving(folder) as driver:
        job = BulkJob(f"{stage} {name}", config, driver)
        yield job
    for line in job.said:
        print(line)
    assert job.outcome is not None, "a bulk job without units"
    job.outcome.check()
