"""One engine for bulk work: a list of units, an actor that turns one unit into published files, a ledger.

Runs on Ray Data. A unit's outputs have names fixed by the plan and are committed last, so running it twice, on two
workers or after a crash, gives the same files once. Ray retries a unit whose worker died; the ledger counts.
"""

from __future__ import annotations

import logging
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from cluster.errors import JobIncompleteError, UserError, cause_of_type
from cluster.ledger import Ledger, committed, merge
from cluster.progress import Progress
from cluster.session import session
from cluster.storage import Folder, sha256

MAX_BLOCKS = 2_000


@dataclass(frozen=True)
class Unit:
    """One piece of work: a name unique in the plan, and what the stage needs to know (plain JSON values)."""

    name: str
    work: Mapping[str, Any]
    items: int = 1


@dataclass
class UnitResult:
    """What a unit made: files by name inside the run folder, and numbers that merge by summing."""

    outputs: dict[str, bytes] = field(default_factory=dict)
    statistics: dict[str, Any] = field(default_factory=dict)


@runtime_checkable
class UnitStage(Protocol):
    """What a stage gives the engine. Picklable; `open` runs once per worker and loads what every unit needs."""

    def open(self, threads: int) -> Callable[[Mapping[str, Any]], UnitResult]: ...


@dataclass(frozen=True)
class Resources:
    """`workers` 0 means one per GPU where `device` (auto, cpu, cuda) lets GPUs be used, else one per CPU."""

    workers: int = 0
    device: str = "cpu"


@dataclass(frozen=True)
class Outcome:
    """A finished job: how many units there were, how many this run did, and the merged statistics of all."""

    units: int
    new: int
    statistics: dict[str, Any]


def run_units(
    folder: Folder,
    stage: UnitStage,
    units: Sequence[Unit],
    *,
    what: str,
    items: str = "clips",
    resources: Resources | None = None,
    max_attempts: int = 3,
    plan: Mapping[str, Any] | None = None,
) -> Outcome:
    """Does every unit that is not committed yet. Raises JobIncompleteError, listing them, if some could not be done."""
    ledger = Ledger(folder, session=uuid.uuid4().hex[:12])
    ledger.fix_plan([unit.name for unit in units], plan or {})
    done = ledger.done()
    missing = [unit for unit in units if unit.name not in done]
    if missing:
        total = sum(unit.items for unit in units)
        finished = total - sum(unit.items for unit in missing)
        with session() as capacity, Progress(what, total, items, start=finished) as progress:
            failed = 0
            for result in _on_ray(
                ledger, stage, missing, resources or Resources(), capacity.cpus, capacity.gpus, max_attempts
            ):
                finished += result["items"]
                failed += result["state"] != "done"
                progress.update(finished, note=f"{failed} units failed" if failed else "")
    left = ledger.failed()
    if left:
        listed = "; ".join(f"{unit} ({entry['state']}: {entry['error']})" for unit, entry in sorted(left.items())[:3])
        raise JobIncompleteError(
            f"{len(left)} of {len(units)} units were not done: {listed}{'; …' if len(left) > 3 else ''}",
            where=folder.uri,
            fix="everything else is committed; mend the cause and run the same command again",
        )
    statistics = merge(commit["statistics"] for commit in committed(folder))
    return Outcome(units=len(units), new=len(missing), statistics=statistics)


def _on_ray(
    ledger: Ledger,
    stage: UnitStage,
    units: Sequence[Unit],
    resources: Resources,
    cpus: int,
    gpus: int,
    max_attempts: int,
) -> Iterator[dict[str, Any]]:
    import ray
    from ray.data import ActorPoolStrategy, DataContext

    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    gpu = resources.device == "cuda" or (resources.device == "auto" and gpus > 0)
    if gpu and gpus == 0:
        raise UserError("device=cuda, and the cluster has no GPU", fix="choose device=auto")
    workers = min(resources.workers or (gpus if gpu else cpus), len(units), gpus if gpu else cpus)
    threads = max(1, cpus // workers)
    rows = [{"name": unit.name, "items": unit.items, "work": _Sealed(unit.work)} for unit in units]
    dataset = ray.data.from_items(rows, override_num_blocks=min(len(rows), MAX_BLOCKS)).map_batches(
        _Worker,
        fn_constructor_args=(ledger, stage, threads, max_attempts),
        batch_size=1,
        batch_format="numpy",
        compute=ActorPoolStrategy(size=workers),
        num_cpus=threads,
        num_gpus=1 if gpu else None,
    )
    try:
        for batch in dataset.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0):
            for name, state, items, said in zip(
                batch["name"], batch["state"], batch["items"], batch["error"], strict=True
            ):
                if state == "refused":
                    raise UserError(str(said))
                yield {"name": str(name), "state": str(state), "items": int(items), "error": str(said)}
    except UserError:
        raise
    except Exception as error:
        user_error = cause_of_type(error, UserError)
        if user_error is not None:
            raise user_error from error
        raise


@dataclass(frozen=True)
class _Sealed:
    """Keeps a unit's work an opaque object: Arrow would otherwise unify the fields of all units."""

    work: Mapping[str, Any]


class _Worker:
    """The actor. The stage is opened at the first unit, inside its attempt: a failure to open is reported, and an
    opening that kills the worker is counted, where Ray alone would start the actor again for ever."""

    def __init__(self, ledger: Ledger, stage: UnitStage, threads: int, max_attempts: int) -> None:
        self.ledger, self.stage, self.threads, self.max_attempts = ledger, stage, threads, max_attempts
        self.process: Callable[[Mapping[str, Any]], UnitResult] | None = None

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        rows = [self._one(str(name), sealed.work) for name, sealed in zip(batch["name"], batch["work"], strict=True)]
        return {
            "name": list(batch["name"]),
            "state": [state for state, _ in rows],
            "items": list(batch["items"]),
            "error": [error for _, error in rows],
        }

    def _one(self, name: str, work: Mapping[str, Any]) -> tuple[str, str]:
        attempt = self.ledger.attempts(name)
        if attempt >= self.max_attempts:  # each earlier attempt killed its worker, else it would have said how it ended
            error = f"its worker died in each of {attempt} attempts"
            self.ledger.fail(name, "quarantined", error, "")
            return "quarantined", error
        while True:
            attempt += 1
            self.ledger.begin(name, attempt)
            try:
                process = self._opened()
            except UserError as refusal:
                return "refused", str(refusal)
            try:
                self._publish(name, process(work))
                return "done", ""
            except Exception as raised:
                error = f"{type(raised).__name__}: {raised}"
                # A damaged input stays damaged: trying again helps against storage that fails for a moment only.
                if attempt >= self.max_attempts or isinstance(raised, UserError):
                    self.ledger.fail(name, "failed", error, traceback.format_exc())
                    return "failed", error

    def _opened(self) -> Callable[[Mapping[str, Any]], UnitResult]:
        if self.process is None:
            self.process = self.stage.open(self.threads)
        return self.process

    def _publish(self, name: str, result: UnitResult) -> None:
        outputs = {}
        for output, data in result.outputs.items():
            self.ledger.folder.publish_bytes(output, data)
            outputs[output] = {"bytes": len(data), "sha256": sha256(data)}
        self.ledger.commit(name, outputs, result.statistics)
