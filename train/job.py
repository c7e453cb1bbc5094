"""The training job: a Ray Train run around the loop, with progress in the driver."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from invertone.cluster.errors import JobIncompleteError, UserError, as_user_error
from invertone.cluster.formats.checkpoints import resolve
from invertone.cluster.formats.runs import SUMMARY, open_run
from invertone.cluster.formats.trainings import VALIDATION
from invertone.cluster.jobs.driver import Driver, driving
from invertone.cluster.progress import Progress
from invertone.cluster.ray.resources import Capacity, Need
from invertone.cluster.ray.session import session
from invertone.cluster.ray.staffing import staffed
from invertone.cluster.stopping import handlers_kept
from invertone.cluster.storage.addresses import is_remote
from invertone.cluster.storage.folder import Folder
from invertone.train.build import check, inputs
from invertone.train.schemas.shared import TrainConfig

POLL_S = 0.5
COSINE = "its learning rate is half a cosine over all its steps: with another number of them each step would have been another"
Told = Callable[[int, Mapping[str, float]], None]
WORKER_FAILURES = 3
"""Lost nodes and other failures that one `fit` bears. Another begins if there was a checkpoint meanwhile."""
RESERVED = ".ray/reserved.json"
RELEASE_S = 10.0


def plan(config: TrainConfig) -> list[str]:
    """What --dry-run prints."""
    manifest = check(config)
    clips = sum(each.count for each in manifest.of_splits(config.splits))
    checkpoints = -(-config.steps // config.checkpoint_every)
    return [
        f"would train: {config.objective} for {config.steps:,} updates of {config.batch} clips "
        f"({config.steps * config.batch / clips:,.1f} passes over {clips:,} clips of {manifest.corpus})",
        f"would write: {checkpoints:,} checkpoints, the latest {config.keep_checkpoints} and the best kept, into {config.out}",
    ]


def run(name: str, config: TrainConfig, told: Told | None = None, here: bool = False) -> None:
    """Trains to `config.steps`, from where an earlier run of the same config in the same folder stopped.

    told: hears of every validation, once each, with its step and metrics. here: in this process, instead of by Ray Train.
    """
    manifest = check(config)
    digests = inputs(config) | {"shards": manifest.digest}
    if getattr(config, "schedule", "constant") != "constant":
        digests["steps"] = str(config.steps)  # the learning rate at every step depends on how many there will be
    folder = open_run("train", name, config, digests, {"steps": COSINE})
    with driving(folder) as driver:
        if _finished(folder) < config.steps and here:
            _fit_here(config, folder, told)
        elif _finished(folder) < config.steps:
            with session() as capacity:
                _fit(name, config, driver, capacity, told)
        checkpoint, found = resolve(folder.uri, "out")
        folder.publish_json(SUMMARY, {"steps": _finished(folder), "best_step": found.step, "metrics": found.metrics})
    metrics = ", ".join(f"{key} {value:.4g}" for key, value in sorted(found.metrics.items()))
    print(f"{config.objective} at step {found.step:,}{': ' + metrics if metrics else ''}\n{checkpoint.uri}")


def _finished(folder: Folder) -> int:
    """Steps done so far, by the newest complete checkpoint."""
    from invertone.train.loop.state import newest

    latest = newest(folder)
    return latest[0] if latest else 0


@dataclass(frozen=True)
class News:
    """What rank 0 has told: step and losses of late, validations not heard of yet, why it ended (kind, message)."""

    step: int
    note: str
    validations: list[tuple[int, dict[str, float]]]
    error: tuple[str, str]


class Mailbox:
    """An actor by which rank 0 tells the driver how far it is, and how it ended if it did so for a reason of its own."""

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


def _fit(name: str, config: TrainConfig, driver: Driver, capacity: Capacity, told: Told | None) -> None:
    import ray
    from ray.train import TrainingFailedError

    least, most = config.workers.min, config.workers.max
    need = staffed(config, most, most, config.device, capacity, least)[1]
    if least < most:
        # After a loss Ray believes for up to 20 s that the node is there, and waits that long for a place on it.
        os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "10")
    mailbox, folder = _mailbox(), driver.term.folder
    scratch = RayFolder(folder)
    scratch.release()
    try:
        with Progress(f"train {name}", config.steps, "updates", start=_finished(folder)) as progress:
            watcher = _Watcher(mailbox, progress, driver, told)
            try:
                while True:
                    start = _finished(folder)
                    try:
                        with handlers_kept():
                            _trainer(config, need, mailbox, scratch).fit()
                        break
                    except TrainingFailedError:
                        if _finished(folder) <= start:
                            raise
            finally:
                watcher.stop()
    finally:
        scratch.remove()
    _raise(ray.get(mailbox.get.remote()).error, folder)


def _mailbox() -> Any:
    """On the driver's node: without a CPU to ask for, Ray would put it anywhere, and it would be lost with a worker's node."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor: Any = ray.remote(num_cpus=0)(Mailbox)
    return actor.options(scheduling_strategy=here).remote()


def _trainer(config: TrainConfig, need: Need, mailbox: Any, scratch: RayFolder) -> Any:
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    least, most = config.workers.min, config.workers.max
    trainer: Any = TorchTrainer(
        _train_on_worker,
        train_loop_config={"config": config, "mailbox": mailbox, "threads": int(need.cpus)},
        scaling_config=ScalingConfig(
            num_workers=most if least == most else (least, most),  # type: ignore[arg-type]
            use_gpu=need.gpus > 0,
            resources_per_worker=need.for_ray(),
        ),
        run_config=RunConfig(
            name=uuid.uuid4().hex[:12],
            storage_path=scratch.path,
            storage_filesystem=scratch.filesystem,
            failure_config=FailureConfig(max_failures=WORKER_FAILURES),
        ),
    )
    scratch.reserve(f"train-{trainer.train_run_context.run_id}")
    return trainer


def _fit_here(config: TrainConfig, folder: Folder, told: Told | None) -> None:
    """The one worker is this process, with what Ray gave it: a trial of a sweep, which so needs no processes of its own."""
    import torch

    gpu = config.device != "cpu" and torch.cuda.is_available()
    heard = Mailbox()

    def tell(what: str, *values: Any) -> None:
        getattr(heard, what)(*values)
        if what == "validated" and told is not None:
            told(*values)

    threads = config.cpus_per_worker or torch.get_num_threads()
    _train(config, 0, 1, torch.device("cuda" if gpu else "cpu"), threads, tell)
    _raise(heard.get().error, folder)


def _raise(error: tuple[str, str], folder: Folder) -> None:
    """Why rank 0 ended, if it was for a reason of its own."""
    kind, message = error
    if kind == "user":
        raise UserError(message)
    if kind:
        saved = _finished(folder)
        kept = f"the last checkpoint, of step {saved:,}, is from before; " if saved else ""
        raise JobIncompleteError(message, where=folder.uri, fix=f"{kept}lower learning_rate or weights")


def _train_on_worker(settings: dict[str, Any]) -> None:
    """One rank of Ray Train."""
    import ray
    import ray.train.torch

    context, mailbox = ray.train.get_context(), settings["mailbox"]

    def tell(what: str, *values: Any) -> None:
        sent = getattr(mailbox, what).remote(*values)
        if what != "put":  # rare, and none may be lost
            ray.get(sent)

    rank, size = context.get_world_rank(), context.get_world_size()
    _train(settings["config"], rank, size, ray.train.torch.get_device(), settings["threads"], tell)


def _train(config: TrainConfig, rank: int, size: int, device: Any, threads: int, tell: Callable[..., None]) -> None:
    """What the user must know ends the run in order, by `tell` (a Mailbox's methods by name); anything else raises."""
    import torch

    from invertone.models.device import keep_freed_memory
    from invertone.train.build import build_trainer
    from invertone.train.loop.trainer import NonFiniteLossError
    from invertone.train.objective import World

    torch.set_num_threads(threads)
    keep_freed_memory()
    last = 0.0

    def report(step: int, values: Mapping[str, float]) -> None:
        nonlocal last
        prefix = f"{VALIDATION}/"
        found = {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}
        if found:
            tell("validated", step, found)
        if time.monotonic() - last > POLL_S or step == config.steps:
            last = time.monotonic()
            tell("put", step, ", ".join(f"{key} {value:.3g}" for key, value in values.items()))

    try:
        build_trainer(config, World(rank, size), device, report).run()
    except (UserError, NonFiniteLossError) as error:
        if rank == 0:
            tell("fail", "user" if isinstance(error, UserError) else "loss", str(error))
    except OSError as error:  # Ray Train would try again, for minutes, and a full disk stays full
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        tell("fail", "user", str(as_user_error(error)))


class _Watcher:
    """A thread that shows what is in the mailbox."""

    def __init__(self, mailbox: Any, progress: Progress, driver: Driver, told: Told | None) -> None:
        self._mailbox, self._progress, self._driver, self._over = mailbox, progress, driver, threading.Event()
        self._told = told
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.wait(POLL_S):
            self._look()

    def _look(self) -> None:
        import ray

        with suppress(ray.exceptions.RayError):
            news = ray.get(self._mailbox.get.remote())
            if self._told is not None:
                for step, metrics in news.validations:
                    self._told(step, metrics)
            if news.step:
                self._progress.update(news.step, news.note)
                rate = self._progress.rate
                self._driver.tell(items=news.step, of_items=self._progress.total, what="updates", rate=rate)

    def stop(self) -> None:
        self._over.set()
        self._thread.join()
        self._look()


@dataclass
class RayFolder:
    """Where Ray Train keeps its own bookkeeping; ours is in the run folder. Must be visible to all nodes, hence inside it
    if the session spans machines, and a temporary folder otherwise."""

    folder: Folder

    def __post_init__(self) -> None:
        self.filesystem: Any = None
        if is_remote(self.folder.uri):
            import pyarrow.fs

            from invertone.cluster.storage.addresses import filesystem

            served, path = filesystem(self.folder.path_of(".ray"))
            self.filesystem, self.path = pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(served)), path
        elif os.environ.get("RAY_ADDRESS"):
            self.path = self.folder.path_of(".ray")
        else:
            self.path = tempfile.mkdtemp(prefix="invertone-train-")

    @property
    def shared(self) -> bool:
        """Whether the session, and what is reserved in it, may outlive its driver."""
        return bool(os.environ.get("RAY_ADDRESS"))

    def reserve(self, requester: str) -> None:
        """Notes under what name Ray reserves resources for the run."""
        if self.shared:
            self.folder.publish_json(RESERVED, {"requester": requester})

    def release(self) -> None:
        """Gives back what is still reserved for a driver that was killed. An elastic run would wait until it expires, in
        three minutes: Ray counts for it only what no other run has reserved."""
        import ray

        try:
            requester = self.folder.read_json(RESERVED)["requester"]
        except (FileNotFoundError, ValueError):
            return
        with suppress(ValueError, ray.exceptions.RayError):  # no such actor: nothing is reserved
            coordinator = ray.get_actor("AutoscalingCoordinator", namespace="AutoscalingCoordinator")
            ray.get(coordinator.cancel_request.remote(requester), timeout=RELEASE_S)

    def remove(self) -> None:
        if self.filesystem is not None:
            self.folder.remove(".ray")
        else:
            shutil.rmtree(self.path, ignore_errors=True)
