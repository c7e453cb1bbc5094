"""A job that fits one worker of this machine: done without a cluster, which takes some seconds to start and much memory.

The worker is the same process under the same supervisor as on Ray; only who hands it the units is another.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Sequence
from pathlib import Path

from invertone.cluster.config.shared import BulkConfig
from invertone.cluster.formats.ledger import Unit
from invertone.cluster.jobs.supervisor import Fate, Supervisor


def threads_alone(settings: BulkConfig, units: int, device: str) -> int:
    """The CPUs of the one worker that does the job; 0 where it is for Ray: several workers have something to do, a cluster is
    named or there already, or what is asked for only Ray can weigh."""
    ray = sys.modules.get("ray")
    if os.environ.get("RAY_ADDRESS") or (ray is not None and ray.is_initialized()):
        return 0
    cpus, gpus = available_cpus(), 0 if device == "cpu" else visible_gpus()
    wanted = settings.workers or gpus or cpus // (settings.cpus_per_worker or 1)
    if min(wanted, units) > 1 or settings.autoscaling or settings.memory_per_worker:
        return 0
    if settings.cpus_per_worker > cpus or (device == "cuda" and not gpus):  # Ray says what there is
        return 0
    return settings.cpus_per_worker or cpus


def fates_alone(supervisor: Supervisor, units: Sequence[Unit], threads: int) -> Generator[Fate, None, None]:
    """What became of each unit, one after the other. The worker ends with the iteration, however that ends."""
    with supervisor.working(threads) as do:
        for unit in units:
            yield do(unit)


def available_cpus() -> int:
    """CPUs that this process may use: those it may run on, within its control group's share (at least one)."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        share, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        allowed = min(allowed, -(-int(share) // int(period)))
    except (OSError, ValueError):  # no such group, or one without a limit (max)
        pass
    return max(1, allowed)


def visible_gpus() -> int:
    """NVIDIA GPUs of this machine that CUDA_VISIBLE_DEVICES leaves to this process."""
    found = sum(each.name.removeprefix("nvidia").isdigit() for each in Path("/dev").glob("nvidia*"))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return (
        found
        if visible is None
        else min(found, len([each for each in visible.split(",") if each.strip() not in ("", "-1")]))
    )
