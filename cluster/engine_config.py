"""The keys that jobs share: where storage is, how a bulk job (ingest, generate, infer, eval) is run. Never what comes out."""

from __future__ import annotations

from dataclasses import dataclass

from cluster.config import key

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
class BulkConfig(StorageConfig):
    """Keys of `cluster.engine`."""

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
    units: str = key(
        MISSING,
        "missing does what is not done yet; failed only what failed or was quarantined (as `invertone retry`)",
        choices=(MISSING, FAILED),
        neutral=True,
    )
