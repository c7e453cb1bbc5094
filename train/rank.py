"""What one rank of a training does, in a worker of Ray Train or in the driver's own process."""

from __future__ import annotations

import errno
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from invertone.cluster.errors import UserError, as_user_error
from invertone.cluster.formats.trainings import VALIDATION
from invertone.train.mailbox import POLL_S, Mail, RemoteMail
from invertone.train.schemas.shared import TrainConfig

FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Ray Train would try again, for minutes, and a full disk stays full."""


@dataclass
class Reporter:
    """Tells of the validations among the values of a step, and now and then of all."""

    mail: Mail
    steps: int
    last: float = 0.0

    def __call__(self, step: int, values: Mapping[str, float]) -> None:
        prefix = f"{VALIDATION}/"
        metrics = {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}
        if metrics:
            self.mail.validated(step, metrics)
        if time.monotonic() - self.last > POLL_S or step == self.steps:
            self.last = time.monotonic()
            self.mail.put(step, ", ".join(f"{name} {value:.3g}" for name, value in values.items()))


def train_on_worker(settings: dict[str, Any]) -> None:
    """One rank of Ray Train. settings: config, mailbox (an actor), threads."""
    import ray.train
    import ray.train.torch

    context = ray.train.get_context()
    rank, size = context.get_world_rank(), context.get_world_size()
    mail = RemoteMail(settings["mailbox"])
    train_rank(settings["config"], rank, size, ray.train.torch.get_device(), settings["threads"], mail)


def train_rank(config: TrainConfig, rank: int, size: int, device: Any, threads: int, mail: Mail) -> None:
    """What the user must know ends the run in order, by `mail`; anything else raises."""
    import torch

    from invertone.models.device import keep_freed_memory
    from invertone.train.build import build_trainer
    from invertone.train.loop.losses import NonFiniteLossError
    from invertone.train.objective import World

    torch.set_num_threads(threads)
    keep_freed_memory()
    try:
        build_trainer(config, World(rank, size), device, Reporter(mail, config.steps)).run()
    except (UserError, NonFiniteLossError) as error:
        if rank == 0:
            mail.fail("user" if isinstance(error, UserError) else "loss", str(error))
    except OSError as error:
        if error.errno not in FULL_DISK:
            raise
        mail.fail("user", str(as_user_error(error)))
