"""What an actor does with a unit: attempts, each recorded before it starts; blame; a commit, or a failure that is listed.

Blame works by narrowing down. The worker process leaves behind which items it had in hand when it died. From then on
those are worked on alone, so that the next death names one. An item that is alone in hand when the attempts are used
up is left out: it becomes an error row, its unit goes on and gets as many attempts again. A unit whose worker dies with
nothing in hand is quarantined.
"""

from __future__ import annotations

import dataclasses
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from invertone.cluster.errors import without_addresses
from invertone.cluster.formats.ledger import EXCLUDED, FAILED, QUARANTINED, Attempt, Commit, Failure, Ledger, Unit
from invertone.cluster.jobs.driver import Term
from invertone.cluster.jobs.worker_process import Answer, Died, Finished, Raised, Refused, Task, WorkerProcess
from invertone.cluster.secrets import without_secrets
from invertone.cluster.storage.folder import storage_failed

MAX_EXCLUDED = 16
"""A unit that loses more items than that has another trouble than its items, and is quarantined."""
REFUSED = "refused"


@dataclass(frozen=True)
class Fate:
    """How a unit ended: done (with its commit), failed, quarantined, or refused (which ends the job)."""

    state: str
    items: int
    error: str = ""
    commit: Commit | None = None


@dataclass(frozen=True)
class Supervisor:
    """Picklable; `started` makes it work beside a worker process of its own, `working` does so for a while. `stage` is
    pickled."""

    ledger: Ledger
    term: Term
    stage: bytes
    max_attempts: int
    stall_timeout: float

    def started(self, threads: int) -> Callable[[Unit], Fate]:
        process = WorkerProcess(self.term, self.stage, threads, self.stall_timeout)
        return lambda unit: self.fate(unit, process.run)

    @contextmanager
    def working(self, threads: int) -> Iterator[Callable[[Unit], Fate]]:
        """What does a unit; its worker process ends at the end."""
        process = WorkerProcess(self.term, self.stage, threads, self.stall_timeout)
        try:
            yield lambda unit: self.fate(unit, process.run)
        finally:
            process.stop()

    def fate(self, unit: Unit, work: Callable[[Task], Answer]) -> Fate:
        """As `do`; storage that takes no record of an attempt leaves the unit as it was: still to be done."""
        try:
            return self.do(unit, work)
        except Exception as error:
            if not storage_failed(error):
                raise
            told = without_addresses(without_secrets(f"{type(error).__name__}: {error}"))
            return Fate(FAILED, unit.items, told)

    def do(self, unit: Unit, work: Callable[[Task], Answer]) -> Fate:
        """Tries `unit` until it is committed or given up."""
        known: Attempt | None = None
        traceback = ""
        while True:
            attempt, again = self.ledger.begin(unit.name, f"{socket.gethostname()}:{os.getpid()}", known)
            if again and known is None:
                commit = self.ledger.committed(unit.name)  # by a worker that was lost after it, or a slower rival
                if commit is not None:
                    return Fate("done", unit.items, commit=commit)
                if attempt.deaths >= self.max_attempts:
                    return self._give_up(unit, attempt, QUARANTINED, f"its worker was lost {attempt.deaths} times", "")
            answer = work(Task(unit.work, attempt.excluded, frozenset(attempt.suspects)))
            if isinstance(answer, Refused):
                return Fate(REFUSED, unit.items, answer.error)
            if isinstance(answer, Finished):
                return self._commit(unit, attempt, answer, traceback)
            traceback = answer.traceback
            if isinstance(answer, Raised) and answer.lasting:
                return self._give_up(unit, attempt, FAILED, answer.error, traceback)
            lesson = self._learnt(attempt, answer)
            if lesson is None or len(lesson.excluded) > MAX_EXCLUDED:
                state = QUARANTINED if isinstance(answer, Died) else FAILED
                return self._give_up(unit, attempt, state, answer.error, traceback)
            known = lesson

    def _learnt(self, attempt: Attempt, answer: Died | Raised) -> Attempt | None:
        """What the next attempt is to know; None where there is none to be made."""
        deaths = attempt.deaths + 1
        in_hand = () if isinstance(answer, Raised) and answer.storage else answer.in_hand
        if len(in_hand) == 1 and deaths >= self.max_attempts:
            excluded = {**attempt.excluded, in_hand[0]: answer.error}
            return dataclasses.replace(attempt, excluded=excluded, deaths=0)
        if len(in_hand) > 1:
            suspects = tuple(sorted({*attempt.suspects, *in_hand}))
            if suspects != attempt.suspects:  # more is known than before, so that this must end
                return dataclasses.replace(attempt, suspects=suspects, deaths=deaths)
        if deaths >= self.max_attempts:
            return None
        return dataclasses.replace(attempt, deaths=deaths)

    def _commit(self, unit: Unit, attempt: Attempt, answer: Finished, traceback: str) -> Fate:
        """Listed first, so that a commit with excluded items is never without its entry."""
        excluded = {**answer.failed, **attempt.excluded}
        commit = Commit(unit.name, unit.items, answer.outputs, answer.statistics, excluded)
        if excluded:
            listed = f"{len(excluded)} of {unit.items} items have an error in place of a result"
            self.ledger.fail(Failure(unit.name, EXCLUDED, listed, traceback, attempt.number, unit.items, excluded))
        if not self.ledger.commit(commit):
            commit = self.ledger.committed(unit.name) or commit
        return Fate("done", unit.items, commit=commit)

    def _give_up(self, unit: Unit, attempt: Attempt, state: str, error: str, traceback: str) -> Fate:
        self.ledger.fail(Failure(unit.name, state, error, traceback, attempt.number, unit.items))
        return Fate(state, unit.items, error)
