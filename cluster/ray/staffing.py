"""How many workers a job gets of a cluster, and what each of them may use."""

from __future__ import annotations

from invertone.cluster.config.shared import WorkerConfig
from invertone.cluster.errors import UserError
from invertone.cluster.ray.resources import GIB, Capacity, Need, places, refuse_unless


def need_of(settings: WorkerConfig, cpus: int, gpu: bool) -> Need:
    """What one worker needs, `cpus` where the user names no number."""
    gpus = (settings.gpus_per_worker or 1.0) if gpu else 0.0
    return Need(settings.cpus_per_worker or cpus, gpus, settings.memory_per_worker * GIB)


def staffed(
    settings: WorkerConfig, asked: int, jobs: int, device: str, capacity: Capacity, least: int = 1
) -> tuple[int, Need]:
    """How many workers there can be, and what each needs. Raises UserError where the cluster holds fewer than `least`.

    asked: workers the user wants; 0 means one per GPU if there are any, else one per CPU. jobs: more would have nothing to do.
    CPUs that the user names no number for are divided among the workers.
    """
    gpu = device == "cuda" or (device == "auto" and capacity.gpus > 0)
    smallest = need_of(settings, 1, gpu)
    slots = places(capacity.nodes, smallest)
    if not settings.autoscaling:
        if gpu and not capacity.gpus:
            raise UserError("device=cuda, and the cluster has no GPU", fix="choose device=auto")
        refuse_unless(capacity.nodes, smallest, least)
        asked = min(asked, slots)
    workers = max(1, min(asked or slots, jobs))
    share = max(1, min(capacity.cpus // workers, capacity.largest_node))
    while share > 1 and places(capacity.nodes, need_of(settings, share, gpu)) < workers:
        share -= 1  # nodes of unequal size hold fewer workers than their sum
    return workers, need_of(settings, share, gpu)
