"""A Ray session: joins the cluster that `RAY_ADDRESS` names, else starts one here for the length of the job."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.resources import Node, nodes_of
from cluster.s3 import ENDPOINT


@dataclass(frozen=True)
class Capacity:
    """What the cluster has in all, the CPUs of its largest node, and its nodes."""

    cpus: int
    gpus: int
    largest_node: int
    nodes: tuple[Node, ...]


@contextlib.contextmanager
def session() -> Iterator[Capacity]:
    """Connects to Ray and disconnects at the end; a session that is already open is used and left open.

    A local session listens on loopback with token authentication, its token readable by this user only.
    """
    _environment()
    import ray

    if ray.is_initialized():
        yield _capacity()
        return
    _quiet()
    address = os.environ.get("RAY_ADDRESS")
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
    if not address:
        # "local": without an address Ray joins whatever cluster it finds on this machine
        options |= {"address": "local", "include_dashboard": False}
    elif os.environ.get(ENDPOINT):  # no secret; workers of a local session inherit it
        options["runtime_env"] = {"env_vars": {ENDPOINT: os.environ[ENDPOINT]}}
    with warnings.catch_warnings(), _native_stderr_closed():
        warnings.simplefilter("ignore")
        stop = signal.getsignal(signal.SIGTERM)
        ray.init(**options)
        # Ray's core takes SIGTERM for a crash and aborts; whoever handled it before gets it back
        if callable(stop) and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, stop)
    _protect_token()
    try:
        yield _capacity()
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _native_stderr_closed() -> Iterator[None]:
    """Ray's C++ core announces its log level on stderr while it starts; what goes wrong there raises in Python as well."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _environment() -> None:
    """Settings that Ray reads once, when it is imported: a process that has imported it already keeps its own."""
    if "ray" in sys.modules:
        return
    defaults = {
        "RAY_AUTH_MODE": "token",
        "RAY_DEDUP_LOGS": "0",
        "RAY_BACKEND_LOG_LEVEL": "fatal",  # its C++ warnings would land in the user's terminal; errors still raise
        "OMP_WAIT_POLICY": "PASSIVE",  # spinning threads would halve the speed of a machine that has other work as well
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
        "RAY_TRAIN_ENABLE_STATE_TRACKING": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    }
    if not os.environ.get("RAY_ADDRESS"):
        # Ray turns an address of 127.0.0.1 back into the machine's own and listens on every interface, unless told
        # that this machine, as one with macOS, takes no part in a cluster.
        defaults["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def _quiet() -> None:
    """Ray's libraries write progress bars and hints of their own; ours are enough. Warnings and errors stay."""
    for name in ("ray.data", "ray.train", "ray.tune", "ray._private"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _protect_token() -> None:
    token = Path(os.environ.get("RAY_AUTH_TOKEN_PATH", Path.home() / ".ray" / "auth_token"))
    if token.is_file() and token.stat().st_uid == os.getuid():
        token.chmod(0o600)


def _capacity() -> Capacity:
    import ray

    nodes = nodes_of(ray.nodes())
    cpus, gpus = (int(sum(amounts)) for amounts in ([node.cpus for node in nodes], [node.gpus for node in nodes]))
    return Capacity(cpus, gpus, max((int(node.cpus) for node in nodes), default=0), nodes)
