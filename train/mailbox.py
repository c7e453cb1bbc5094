"""How rank 0 tells the driver how far it is, what it validated, and why it ended if it was for a reason of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from invertone.cluster.jobs.driver import Driver
from invertone.cluster.progress import Progress

POLL_S = 0.5
OnValidation = Callable[[int, Mapping[str, float]], None]
"""Hears of every validation, once each, with its step and metrics."""


@runtime_checkable
class Mail(Protocol):
    """What rank 0 may say."""

    def put(self, step: int, note: str) -> None:
        """How far it is."""

    def validated(self, step: int, metrics: dict[str, float]) -> None: ...

    def fail(self, kind: str, message: str) -> None:
        """kind: `user`, or `loss` for one that is not finite."""


@dataclass(frozen=True)
class News:
    """What rank 0 has told: step and losses of late, validations not heard of yet, why it ended (kind, message)."""

    step: int
    note: str
    validations: list[tuple[int, dict[str, float]]]
    error: tuple[str, str]


class Mailbox:
    """Keeps what rank 0 says until it is asked for: an actor of Ray's, or an object of the process that trains."""

    def __init__(self) -> None:
        self._step, self._note, self._error = 0, "", ("", "")
        self._validations: list[tuple[int, dict[str, float]]] = []

    def put(self, step: int, note: str) -> None:
        self._step, self._note = step, note

    def validated(self, step: int, metrics: dict[str, float]) -> None:
        self._validations.append((step, metrics))

    def fail(self, kind: str, message: str) -> None:
        self._error = (kind, message)

    def get(self) -> News:
        validations, self._validations = self._validations, []
        return News(self._step, self._note, validations, self._error)


class LocalMail(Mailbox):
    """Of a training in this very process: validations are heard of at once."""

    def __init__(self, on_validation: OnValidation | None) -> None:
        super().__init__()
        self._on_validation = on_validation

    def validated(self, step: int, metrics: dict[str, float]) -> None:
        if self._on_validation is not None:
            self._on_validation(step, metrics)


@dataclass(frozen=True)
class RemoteMail:
    """Mail to the actor `mailbox`. Progress is sent off; what is rare, and must not be lost, is waited for."""

    mailbox: Any

    def put(self, step: int, note: str) -> None:
        self.mailbox.put.remote(step, note)

    def validated(self, step: int, metrics: dict[str, float]) -> None:
        import ray

        ray.get(self.mailbox.validated.remote(step, metrics))

    def fail(self, kind: str, message: str) -> None:
        import ray

        ray.get(self.mailbox.fail.remote(kind, message))


def remote_mailbox() -> Any:
    """On the driver's node: without a CPU to ask for, Ray would put it anywhere, and it would be lost with a worker's node."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor: Any = ray.remote(num_cpus=0)(Mailbox)
    return actor.options(scheduling_strategy=here).remote()


class Watcher:
    """A thread that shows what is in the mailbox."""

    def __init__(self, mailbox: Any, progress: Progress, driver: Driver, on_validation: OnValidation | None) -> None:
        self._mailbox, self._progress, self._driver, self._over = mailbox, progress, driver, threading.Event()
        self._on_validation = on_validation
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.wait(POLL_S):
            self._look()

    def _look(self) -> None:
        import ray

        with suppress(ray.exceptions.RayError):
            news = ray.get(self._mailbox.get.remote())
            if self._on_validation is not None:
                for step, metrics in news.validations:
                    self._on_validation(step, metrics)
            if news.step:
                self._progress.update(news.step, news.note)
                rate = self._progress.rate
                self._driver.tell(items=news.step, of_items=self._progress.total, what="updates", rate=rate)

    def stop(self) -> None:
        self._over.set()
        self._thread.join()
        self._look()
