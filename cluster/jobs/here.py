"""A job that this machine does by itself, without a cluster, which takes some seconds to start and much memory.

Workers are the same processes under the same supervisors as on Ray; only who hands them the units is another.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue

from invertone.cluster.config.shared import BulkConfig
from invertone.cluster.formats.ledger import Unit
from invertone.cluster.jobs.supervisor import Fate, Supervisor
from invertone.cluster.jobs.worker_process import WorkerProcess
from invertone.cluster.ray.resources import Capacity, Node

USABLE = 0.7
"""The share of the machine's memory that may be promised to workers, as Ray takes it."""


def on_cluster() -> bool:
    """Whether a cluster is named, or a Ray session open in this process."""
    ray = sys.modules.get("ray")
    return bool(os.environ.get("RAY_ADDRESS")) or (ray is not None and ray.is_initialized())


def this_machine(settings: BulkConfig, device: str) -> Capacity | None:
    """What this machine has; None where the job is for Ray: a cluster is named or there already, it may grow, or there are
    several GPUs to give away."""
    if on_cluster() or settings.autoscaling:
        return None
    cpus, gpus = available_cpus(), 0 if device == "cpu" else visible_gpus()
    if gpus > 1:
        return None
    return Capacity(cpus, gpus, cpus, (Node(cpus, gpus, USABLE * available_memory()),))


def fates_here(
    supervisor: Supervisor, units: Sequence[Unit], workers: int, threads: int
) -> Generator[Fate, None, None]:
    """What became of each unit, as it comes. threads: of each worker. All workers end with the iteration, however that ends;
    a unit that one of them has in hand then is as if it had never been begun by it."""
    waiting, told = deque(units), SimpleQueue[Fate | BaseException]()
    processes = [supervisor.process(threads) for _ in range(workers)]

    def work(process: WorkerProcess) -> None:
        try:
            while (unit := _next(waiting)) is not None:
                told.put(supervisor.fate(unit, process.run))
        except BaseException as error:
            told.put(error)
        finally:
            process.stop()

    working = [threading.Thread(target=work, args=(process,), daemon=True) for process in processes]
    for thread in working:
        thread.start()
    try:
        for _ in units:
            fate = told.get()
            if isinstance(fate, BaseException):
                raise fate
            yield fate
    finally:
        waiting.clear()
        for process in processes:
            process.end()
        for thread in working:
            thread.join()


def _next(waiting: deque[Unit]) -> Unit | None:
    with suppress(IndexError):
        return waiting.popleft()
    return None


def available_cpus() -> int:
    """CPUs that this process may use: those it may run on, within its control group's share (at least one)."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):  # no such group, or one without a limit (max)
        share, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        allowed = min(allowed, -(-int(share) // int(period)))
    return max(1, allowed)


def available_memory() -> int:
    """Bytes that this machine has, or this process's control group may take."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):  # no such group, or one without a limit (max)
        memory = min(memory, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return memory


def visible_gpus() -> int:
    """NVIDIA GPUs of this machine that CUDA_VISIBLE_DEVICES leaves to this process."""
    found = sum(each.name.removeprefix("nvidia").isdigit() for each in Path("/dev").glob("nvidia*"))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return found
    return min(found, sum(each.strip() not in ("", "-1") for each in visible.split(",")))
