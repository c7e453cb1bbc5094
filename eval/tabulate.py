"""What all tables have in common: a run folder with one driver, the table and its summary published, printed, checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from invertone.cluster.jobs.bulk import bulk_job
from invertone.cluster.jobs.driver import Driver
from invertone.cluster.jobs.engine import Outcome
from invertone.eval.schemas.shared import EvalConfig
from invertone.eval.table import MARKDOWN, Table

Make = Callable[[Driver], tuple[Table, Outcome]]


def tabulate(name: str, config: EvalConfig, digests: Mapping[str, str], make: Make) -> None:
    """Opens or continues `config.out`, publishes the table that `make` gives, prints it and says where it lies. Raises
    JobIncompleteError at the end if items had to be left out.

    digests: of all that is read, by role; `make` does the units and finds the run folder in the driver's term.
    """
    with bulk_job("eval", name, config, digests) as job:
        table, job.outcome = make(job.driver)
        table.publish(job.folder)
        job.summarise({})
        job.say(table.markdown(), job.folder.path_of(MARKDOWN))
