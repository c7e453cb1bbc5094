"""What is particular to S3: how patiently it is asked, which server is meant, how it refuses to create twice."""

from __future__ import annotations

import functools
import os
import re
from typing import Any

import fsspec

from invertone.cluster.errors import UserError

ENDPOINT = "AWS_ENDPOINT_URL"
ATTEMPTS = 10
_REFUSALS = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")


@functools.cache
def be_patient() -> None:
    """How often this process asks S3 again: about a minute of outage is waited for, a body cut short is read anew.

    botocore repeats requests that fail or are throttled; s3fs repeats broken bodies, but only of reads it does not split
    (max_concurrency=1, which also makes a read one request). What the user configured for fsspec or by AWS_MAX_ATTEMPTS
    stands.
    """
    import s3fs

    s3fs.S3FileSystem.retries = ATTEMPTS
    settings: dict[str, Any] = {"connect_timeout": 10, "read_timeout": 60}
    if "AWS_MAX_ATTEMPTS" not in os.environ:
        settings["retries"] = {"mode": "standard", "total_max_attempts": ATTEMPTS}
    for protocol in ("s3", "s3a"):
        configured = fsspec.config.conf.setdefault(protocol, {})
        configured.setdefault("max_concurrency", 1)
        configured.setdefault("config_kwargs", settings)


def use_endpoint(uri: str) -> None:
    """Makes `uri` the S3 server of this process and of the workers it starts. Raises UserError for what is no address."""
    if not re.fullmatch(r"https?://[^/@\s]+/?", uri):
        where = "endpoint" if "@" in uri else f"endpoint={uri}"
        raise UserError("is no address of a server", where=where, fix="write http://host:port, credentials apart")
    os.environ[ENDPOINT] = uri.rstrip("/")


def create_refused(error: BaseException) -> bool:
    """True where a conditional create was refused because the object exists: s3fs says so as FileExistsError for some
    servers' answers and as a bare OSError for others, always caused by the server's error code."""
    seen: BaseException | None = error
    while seen is not None:
        response = getattr(seen, "response", None)
        if isinstance(response, dict) and response.get("Error", {}).get("Code") in _REFUSALS:
            return True
        seen = seen.__cause__ or seen.__context__
    return False
