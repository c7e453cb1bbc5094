"""A Ray session: joins the cluster that `RAY_ADDRESS` names, else starts one here for the length of the job."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import signal
import socket
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from invertone.cluster.errors import UserError
from invertone.cluster.ray.resources import Capacity, nodes_of
from invertone.cluster.stopping import below, handlers_kept, uninterrupted
from invertone.cluster.storage.s3 import ENDPOINT
from invertone.cluster.user_folder import VARIABLE

HOW_TO_GET_IN = (
    "put the head's token (there `ray get-auth-token` prints it) into ~/.ray/auth_token and chmod 600 it, or name another "
    "file by RAY_AUTH_TOKEN_PATH"
)
REACH_S = 5.0
"""How long the machine that RAY_ADDRESS names may take to answer."""


@contextlib.contextmanager
def session() -> Iterator[Capacity]:
    """Connects to Ray and disconnects at the end; a session that is already open is used and left open. Raises UserError
    for a cluster that does not answer or refuses the token.

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
    else:
        _reach(address)
        told = [name for name in (ENDPOINT, VARIABLE) if os.environ.get(name) and not _submitted_with(name)]
        if told:  # no secrets; workers of a local session inherit them
            options["runtime_env"] = {"env_vars": {name: os.environ[name] for name in told}}
    with warnings.catch_warnings(), _native_stderr_closed(), handlers_kept(), _in_groups_of_their_own():
        warnings.simplefilter("ignore")
        try:
            if address == "auto":
                _knock(_found())
            elif address:
                _knock(address)
            _start(options)
        except Exception as error:
            raise _refusal(error, address or "") from error
    protect_token()
    try:
        yield _capacity()
    finally:
        with uninterrupted():
            ray.shutdown()


def _start(options: dict[str, Any]) -> None:
    """`ray.init`, a second time where a local session did not come up: Ray's raylet gives up when its agent takes more than
    15 s to start, as on a laden machine (ray-project/ray#65983), and the second time what it loads is in memory."""
    import ray

    here, before = os.getpid(), below(os.getpid())
    try:
        ray.init(**options)
    except Exception as error:
        if options.get("address") != "local" or "timed out during startup" not in str(error):
            raise
        for process in below(here) - before:
            with contextlib.suppress(OSError):
                os.kill(process, signal.SIGKILL)
        ray.init(**options)


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


@contextlib.contextmanager
def _in_groups_of_their_own() -> Iterator[None]:
    """Ray's processes are no part of our process group: a signal to it would end them first, and they take the driver with
    them before it can say anything. They end with the driver, however it ends: the kernel sees to that."""
    from ray._private import services

    start = getattr(services, "ConsolePopen", None)
    if start is None:  # another version of Ray: a signal to the group then ends the driver without a word
        yield
        return
    services.ConsolePopen = functools.partial(start, process_group=0)  # type: ignore[assignment,misc]
    try:
        yield
    finally:
        services.ConsolePopen = start  # type: ignore[misc]


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
        # many light actors (drivers of trials) are no reason for a warning in the user's terminal on a small machine
        "RAY_worker_maximum_startup_concurrency": "8",
    }
    address = os.environ.get("RAY_ADDRESS", "")
    if not address or _is_loopback_only(address):
        # Ray turns an address of 127.0.0.1 back into the machine's own and listens on every interface, unless told
        # that this machine, as one with macOS, takes no part in a cluster.
        defaults["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def _is_loopback_only(address: str) -> bool:
    """Whether a head on this machine is to be had at 127.0.0.1 and not at the address the machine has among others."""
    host, _, port = address.rpartition(":")
    if host not in ("127.0.0.1", "localhost") or not port.isdigit():
        return False
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing: the system only says from where it would
        with contextlib.suppress(OSError), socket.create_connection((probe.getsockname()[0], int(port)), REACH_S):
            return False
    return True


def _quiet() -> None:
    """Ray's libraries write progress bars and hints of their own; ours are enough. Warnings and errors stay."""
    for name in ("ray.data", "ray.train", "ray.tune", "ray._private"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _reach(address: str) -> None:
    """Raises UserError at once where nothing answers at `HOST:PORT`; Ray would take half a minute."""
    if address.startswith(("http://", "https://")):
        raise UserError(
            "is the address of a job API, which takes jobs by `invertone submit`",
            where=f"RAY_ADDRESS={address}",
            fix="write `invertone submit` before the stage, or on the cluster HOST:6379",
        )
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():  # `auto`, or a service of Ray's own naming
        return
    try:
        with socket.create_connection((host.strip("[]"), int(port)), REACH_S):
            pass
    except OSError as error:
        raise UserError(
            f"nothing answers there ({error.strerror or error})",
            where=f"RAY_ADDRESS={address}",
            fix="check the address and that the cluster's head runs; without RAY_ADDRESS the job runs on this machine",
        ) from None


def _knock(address: str) -> None:
    """Asks the cluster's head for its identity, once. `ray.init` would ask a head that refuses us, or what is no head at
    all, for minutes, or end the process without a word.
    """
    if "://" in address or not address.rpartition(":")[2].isdigit():
        return
    import grpc

    if os.environ.get("RAY_USE_TLS", "0") != "1":
        try:
            with grpc.insecure_channel(address) as channel:
                grpc.channel_ready_future(channel).result(timeout=2 * REACH_S)
        except grpc.FutureTimeoutError:
            raise ConnectionError(address) from None
    if not token_place() and os.environ["RAY_AUTH_MODE"] == "token":
        raise UserError(
            "a token is needed to join a cluster, and there is none", where=f"RAY_ADDRESS={address}", fix=HOW_TO_GET_IN
        )
    from ray._raylet import GcsClient  # type: ignore[attr-defined]  # compiled

    _ = GcsClient(address=address).cluster_id


def _found() -> str:
    """HOST:PORT of what `auto` finds on this machine. Raises UserError where it finds nothing."""
    from ray._private.services import canonicalize_bootstrap_address_or_die

    try:
        return canonicalize_bootstrap_address_or_die("auto")
    except (ConnectionError, ValueError) as error:
        raise UserError(
            " ".join(str(error).split())[:200], where="RAY_ADDRESS=auto", fix="name the head: RAY_ADDRESS=HOST:6379"
        ) from None


def _refusal(error: Exception, address: str) -> Exception:
    """What a user can mend about joining the cluster at `address`, from what Ray raised; else the error itself."""
    where = f"RAY_ADDRESS={address}"
    if type(error).__name__ == "AuthenticationError":
        problem = (
            f"the cluster refuses the token of {token_place()}"
            if token_place()
            else "the cluster asks for a token, and there is none"
        )
        return UserError(problem, where=where, fix=HOW_TO_GET_IN)
    if address == "auto" and isinstance(error, ConnectionError):
        return UserError(
            "what runs on this machine cannot be joined: another job's own session is no cluster",
            where=where,
            fix="leave RAY_ADDRESS away, or name the head: RAY_ADDRESS=HOST:6379",
        )
    if address and isinstance(error, ConnectionError):  # the address answers: `_reach` has tried
        return UserError(
            "what answers there is no Ray cluster's head", where=where, fix="give the head's address, HOST:6379"
        )
    if not address and (isinstance(error, OSError) or "startup" in str(error)):
        places = (
            f"HOME ({os.environ.get('HOME', '')}) must be writable, TMPDIR ({tempfile.gettempdir()}) short and writable"
        )
        return UserError(
            f"Ray cannot start on this machine: {' '.join(str(error).split())[:300]}",
            fix=f"{places}, and memory be left",
        )
    if address and "ersion mismatch" in str(error):
        return UserError(" ".join(str(error).split()), where=where, fix="use the same versions on both sides")
    return error


def _submitted_with(name: str) -> bool:
    """Whether this is a submitted job that was sent with this variable: Ray refuses to be told it twice."""
    try:
        sent = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}"))
    except ValueError:
        return False
    return name in ((sent.get("runtime_env") or {}).get("env_vars") or {})


def token_place() -> str:
    """Where this user's token is: a variable's name or a file; empty if there is none."""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return "RAY_AUTH_TOKEN"
    try:
        return str(token_file()) if token_file().read_text(encoding="utf-8").strip() else ""
    except OSError:
        return ""


def token_file() -> Path:
    """Where Ray looks for this user's token."""
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")


def protect_token() -> None:
    """The token is readable by its owner alone; Ray creates it readable by everybody."""
    token = token_file()
    if token.is_file() and token.stat().st_uid == os.getuid():
        token.chmod(0o600)


def _capacity() -> Capacity:
    import ray

    nodes = nodes_of(ray.nodes())
    cpus, gpus = (int(sum(amounts)) for amounts in ([node.cpus for node in nodes], [node.gpus for node in nodes]))
    return Capacity(cpus, gpus, max((int(node.cpus) for node in nodes), default=0), nodes)
