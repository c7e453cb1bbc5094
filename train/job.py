"""The training job: a Ray Train run around the loop, with progress in the driver."""

from __future__ import annotations

import os
import uuid
from typing import Any

from invertone.cluster.errors import JobIncompleteError, UserError
from invertone.cluster.formats.checkpoints import resolve
from invertone.cluster.formats.runs import SUMMARY, open_run
from invertone.cluster.formats.signals import kind_of
from invertone.cluster.jobs.driver import Driver, driving
from invertone.cluster.progress import Progress
from invertone.cluster.ray.resources import Capacity, Need
from invertone.cluster.ray.session import session
from invertone.cluster.ray.staffing import staffed
from invertone.cluster.stopping import handlers_kept
from invertone.cluster.storage.folder import Folder
from invertone.train.build import check, inputs
from invertone.train.mailbox import LocalMail, OnValidation, Watcher, remote_mailbox
from invertone.train.rank import train_on_worker, train_rank
from invertone.train.ray_folder import RayFolder
from invertone.train.schemas.shared import TrainConfig

COSINE = "its learning rate is half a cosine over all its steps: with another number of them each step would have been another"
WORKER_FAILURES = 3
"""Lost nodes and other failures that one `fit` bears. Another begins if there was a checkpoint meanwhile."""


def plan(config: TrainConfig) -> list[str]:
    """What --dry-run prints."""
    manifest = check(config)
    count, signals = sum(each.count for each in manifest.of_splits(config.splits)), f"{kind_of(manifest.format)}s"
    checkpoints = -(-config.steps // config.checkpoint_every)
    return [
        f"would train: {config.objective} for {config.steps:,} updates of {config.batch} {signals} "
        f"({config.steps * config.batch / count:,.1f} passes over {count:,} {signals} of {manifest.corpus})",
        f"would write: {checkpoints:,} checkpoints, the latest {config.keep_checkpoints} and the best kept, into {config.out}",
    ]


def run(name: str, config: TrainConfig, on_validation: OnValidation | None = None, here: bool = False) -> None:
    """Trains to `config.steps`, from where an earlier run of the same config in the same folder stopped.

    here: in this process, instead of by Ray Train.
    """
    manifest = check(config)
    digests = inputs(config) | {"shards": manifest.digest}
    if getattr(config, "schedule", "constant") != "constant":
        digests["steps"] = str(config.steps)  # the learning rate at every step depends on how many there will be
    folder = open_run("train", name, config, digests, {"steps": COSINE})
    with driving(folder) as driver:
        if _finished(folder) < config.steps and here:
            _fit_here(config, folder, on_validation)
        elif _finished(folder) < config.steps:
            with session() as capacity:
                _fit(name, config, driver, capacity, on_validation)
        checkpoint, found = resolve(folder.uri, "out")
        folder.publish_json(SUMMARY, {"steps": _finished(folder), "best_step": found.step, "metrics": found.metrics})
    metrics = ", ".join(f"{key} {value:.4g}" for key, value in sorted(found.metrics.items()))
    print(f"{config.objective} at step {found.step:,}{': ' + metrics if metrics else ''}\n{checkpoint.uri}")


def _finished(folder: Folder) -> int:
    """Steps done so far, by the newest complete checkpoint."""
    from invertone.train.loop.state import newest

    latest = newest(folder)
    return latest[0] if latest else 0


def _fit(
    name: str, config: TrainConfig, driver: Driver, capacity: Capacity, on_validation: OnValidation | None
) -> None:
    import ray
    from ray.train import TrainingFailedError

    least, most = config.workers.min, config.workers.max
    need = staffed(config, most, most, config.device, capacity, least)[1]
    if least < most:
        # After a loss Ray believes for up to 20 s that the node is there, and waits that long for a place on it.
        os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "10")
    mailbox, folder = remote_mailbox(), driver.term.folder
    scratch = RayFolder(folder)
    scratch.release()
    try:
        with Progress(f"train {name}", config.steps, "updates", start=_finished(folder)) as progress:
            watcher = Watcher(mailbox, progress, driver, on_validation)
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


def _trainer(config: TrainConfig, need: Need, mailbox: Any, scratch: RayFolder) -> Any:
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    least, most = config.workers.min, config.workers.max
    trainer: Any = TorchTrainer(
        train_on_worker,
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


def _fit_here(config: TrainConfig, folder: Folder, on_validation: OnValidation | None) -> None:
    """The one worker is this process, with what Ray gave it: a trial of a sweep, which so needs no processes of its own."""
    import torch

    gpu = config.device != "cpu" and torch.cuda.is_available()
    threads = config.cpus_per_worker or torch.get_num_threads()
    mail = LocalMail(on_validation)
    train_rank(config, 0, 1, torch.device("cuda" if gpu else "cpu"), threads, mail)
    _raise(mail.get().error, folder)


def _raise(error: tuple[str, str], folder: Folder) -> None:
    """Why rank 0 ended, if it was for a reason of its own."""
    kind, message = error
    if kind == "user":
        raise UserError(message)
    if kind:
        saved = _finished(folder)
        kept = f"the last checkpoint, of step {saved:,}, is from before; " if saved else ""
        raise JobIncompleteError(message, where=folder.uri, fix=f"{kept}lower learning_rate or weights")
