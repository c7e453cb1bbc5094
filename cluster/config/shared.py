"""The keys that jobs share: where storage is, how a bulk job (ingest, generate, infer, eval) is run. Never what comes out."""

from __future__ import annotations

from dataclasses import dataclass

from invertone.cluster.config.schema import key

MISSING, FAILED = "missing", "failed"


@dataclass(frozen=True)
class StorageConfig:
    """Keys of every job whose folders may lie on S3."""

    endpoint: str = key(
        "",
        "S3 server that is not AWS (MinIO, Ceph, …), as http://host:port; empty means AWS_ENDPOINT_URL or AWS",
        neutral=True,
    )


@dataclass(frozen=True)
class WorkerConfig(StorageConfig):
    """What one worker needs. The defaults fit a laptop as well as a node with GPUs."""

    cpus_per_worker: int = key(
        0, "CPUs of one worker; 0 divides what the cluster has among the workers", minimum=0, neutral=True
    )
    gpus_per_worker: float = key(
        0.0,
        "GPUs of one worker where it uses any, below 1 to share one; 0 means 1",
        minimum=0.0,
        maximum=8.0,
        neutral=True,
    )
    memory_per_worker: float = key(
        0.0, "GiB that Ray keeps free for one worker; 0 keeps none", minimum=0.0, neutral=True
    )
    autoscaling: bool = key(
        False, "the cluster grows on demand: wait for nodes instead of refusing what does not fit yet", neutral=True
    )


@dataclass(frozen=True)
class BulkConfig(WorkerConfig):
    """Keys of `invertone.cluster.jobs.engine`."""

    workers: int = key(
        0, "how many workers; 0 means one per GPU if there are any, else one per CPU", minimum=0, neutral=True
    )
    max_attempts: int = key(
        3,
        "how often a unit that kills or hangs its worker is tried before something is left out",
        minimum=1,
        neutral=True,
    )
    stall_timeout: float = key(
        900.0, "seconds without any progress after which a worker counts as hung", minimum=0.1, neutral=True
    )
    limit: int = key(
        0, "only the first so many clips of the plan; of an ingest recordings, of every split; 0 means all", minimum=0
    )
    units: str = key(
        MISSING,
        "missing does what is not done yet; failed only what failed or was quarantined (as `invertone retry`)",
        choices=(MISSING, FAILED),
        neutral=True,
    )
