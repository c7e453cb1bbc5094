"""Ray's job API, with one line for everything that can go wrong: connect, submit, follow, list, stop.

A cluster is spoken to only if it asks for a token: without one, whoever reaches its port runs code on it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import shlex
import socket
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from invertone.cluster.errors import UserError
from invertone.cluster.ray.session import HOW_TO_GET_IN, protect_token, token_place
from invertone.cluster.storage.s3 import ENDPOINT
from invertone.cluster.submit.job_logs import Printer, exit_code, tail
from invertone.cluster.submit.job_main import HOOK

DEFAULT_ADDRESS = "http://127.0.0.1:8265"
PATIENCE_S = 5.0
"""How long an address may take to answer at all."""
NOT_READY, READY_S = "No available agent", 60.0
"""What Ray says while no node of the cluster has reported yet, and how long that is waited out."""
STOP_S = 60
"""How long a job that is told to stop may take to leave its run folder in order; Ray gives 3 s unless told."""
TRAVELLING = (ENDPOINT, "AWS_REGION", "AWS_DEFAULT_REGION")
"""The environment variables that a job gets from the one who submits it. None of them is secret."""
STATES = {"PENDING": "pending", "RUNNING": "running", "SUCCEEDED": "done", "FAILED": "failed", "STOPPED": "stopped"}
OVER = ("SUCCEEDED", "FAILED", "STOPPED")


def address_of(given: str) -> str:
    """The job API's address: as given, or as the environment says, or the one of a head on this machine."""
    ray_address = os.environ.get("RAY_ADDRESS", "")
    named = given or os.environ.get("RAY_API_SERVER_ADDRESS", "")
    if not named and ray_address.startswith(("http://", "https://")):
        named = ray_address
    address = (named or DEFAULT_ADDRESS).rstrip("/")
    parts = urlsplit(address)
    if "@" in parts.netloc:
        raise UserError("credentials do not belong in an address", where="--address", fix="give the token by file")
    try:
        right = parts.scheme in ("http", "https") and parts.hostname and not parts.path and (parts.port or True)
    except ValueError:
        right = False
    if not right:
        raise UserError("is no address of a job API", where=address, fix="write http://HOST:8265, Ray's dashboard")
    return address


@dataclass(frozen=True)
class Cluster:
    """A connection that was tried. here: the head runs on this machine, so that both see the same files."""

    address: str
    client: Any
    here: bool


def connect(address: str) -> Cluster:
    """Raises UserError where nobody answers, who answers is no Ray, asks for no token or another one, or has another
    version of Ray.
    """
    _reach(address)
    if _mode(address) == "disabled":
        raise UserError(
            "this cluster asks for no token, so that whoever reaches it runs code there",
            where=address,
            fix="start it with RAY_AUTH_MODE=token",
        )
    _need_token(address)
    client = _client(address)
    version = _version(client)
    import ray

    if version["ray_version"] != ray.__version__:
        raise UserError(
            f"the cluster runs Ray {version['ray_version']}, and this is Ray {ray.__version__}",
            where=address,
            fix="use the same on both sides",
        )
    return Cluster(address, client, _is_here(address, str(version.get("session_name", ""))))


def _reach(address: str) -> None:
    parts = urlsplit(address)
    try:
        with socket.create_connection(
            (parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)), PATIENCE_S
        ):
            pass
    except OSError as error:
        raise UserError(
            f"nothing answers there ({error.strerror or error})",
            where=address,
            fix="start a head or open the tunnel to it, or name another by --address",
        ) from None


def _mode(address: str) -> str:
    """How the cluster authenticates, which it tells everybody."""
    import requests

    try:
        answer = requests.get(f"{address}/api/authentication_mode", timeout=2 * PATIENCE_S)
        return str(answer.json()["authentication_mode"])
    except (requests.RequestException, ValueError, KeyError, TypeError):
        raise UserError(
            "what answers there is no Ray dashboard of these days",
            where=address,
            fix="check the address; the cluster needs ray[default], in the version that is installed here",
        ) from None


def _need_token(address: str) -> None:
    protect_token()
    if not token_place():
        raise UserError("the cluster asks for a token, and there is none", where=address, fix=HOW_TO_GET_IN)


def _client(address: str) -> Any:
    """Ray's client. What Ray reads from the environment when it is imported is settled before."""
    os.environ["RAY_API_SERVER_ADDRESS"] = address  # the client would follow RAY_ADDRESS, whatever it is told
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    import ray.job_submission

    for name in ("ray", "ray.dashboard.modules.dashboard_sdk", "ray.dashboard.modules.job.sdk"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return _asked(address, lambda: ray.job_submission.JobSubmissionClient(address))


def _version(client: Any) -> dict[str, Any]:
    return dict(client._do_request("GET", "/api/version").json())


def _asked(address: str, question: Callable[[], Any]) -> Any:
    """The answer to a question to the cluster; refusals and silence become one line."""
    import requests
    from ray.exceptions import AuthenticationError

    try:
        return question()
    except AuthenticationError:
        raise UserError(f"the cluster refuses the token of {token_place()}", where=address, fix=HOW_TO_GET_IN) from None
    except (ConnectionError, requests.ConnectionError, requests.Timeout):
        raise UserError("the cluster no longer answers", where=address, fix="look after its head") from None


def _is_here(address: str, session: str) -> bool:
    """A tunnel makes every cluster look like this machine; only the session's own folder tells."""
    loopback = urlsplit(address).hostname in ("127.0.0.1", "localhost", "::1")
    place = Path(os.environ.get("RAY_TMPDIR", "/tmp")) / "ray"  # noqa: S108 (read only)
    return loopback and re.fullmatch(r"session_[\w-]+", session) is not None and (place / session).is_dir()


def new_id(stage: str, name: str) -> str:
    """`infer-encoder-20261122-143000-ab12`: what it is, when (UTC) it was sent, and four digits of chance."""
    words = re.sub(r"[^a-z0-9]+", "-", f"{stage}-{name}".lower()).strip("-")[:60]
    return f"{words}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{uuid.uuid4().hex[:4]}"


def environment() -> dict[str, str]:
    """What the job gets of this environment, and how long it may take to stop."""
    return {name: os.environ[name] for name in TRAVELLING if os.environ.get(name)} | {
        "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_S)
    }


def entrypoint(words: Sequence[str]) -> str:
    """The shell's line: every word quoted; PYTHONSAFEPATH keeps the current folder from hiding modules of ours."""
    return shlex.join(["exec", "env", "PYTHONSAFEPATH=1", "python", "-m", "invertone.cluster.submit.job_main", *words])


def submit(
    cluster: Cluster, job: str, words: Sequence[str], package: Path, install: Sequence[str], version: str
) -> None:
    """Uploads the package, unless the cluster has it, and starts the job."""
    runtime_env: dict[str, Any] = {
        "working_dir": str(package),
        "env_vars": environment(),
        "worker_process_setup_hook": HOOK,
    }
    if install:
        runtime_env["pip"] = {"packages": list(install)}
    metadata = {"command": shlex.join(["invertone", *words]), "invertone": version}
    line = entrypoint(words)
    until = time.monotonic() + READY_S
    while True:
        try:
            _asked(
                cluster.address,
                lambda: cluster.client.submit_job(
                    entrypoint=line, submission_id=job, runtime_env=runtime_env, metadata=metadata
                ),
            )
            return
        except RuntimeError as error:
            if NOT_READY not in str(error):
                raise
            if time.monotonic() > until:
                raise UserError(
                    "the head takes no jobs yet: no agent of a node has reported",
                    where=cluster.address,
                    fix="try again soon; where another Ray runs on that machine, give the head a --dashboard-agent-listen-port",
                ) from None
            time.sleep(1)  # a head that has just started answers before its nodes do


def job_info(cluster: Cluster, job: str) -> Any:
    """What the cluster knows of a job. Raises UserError for one it does not know."""
    if re.fullmatch(r"[\w.-]+", job):
        try:
            return _asked(cluster.address, lambda: cluster.client.get_job_info(job))
        except RuntimeError as error:
            if "404" not in str(error):
                raise
    raise UserError(f"no job {job!r} on this cluster", where=cluster.address, fix="`invertone jobs` lists them")


def follow(cluster: Cluster, job: str) -> int:
    """Prints the job's log until it ends, and returns its exit code. A connection that breaks is taken up again."""
    shown = 0
    while True:
        try:
            shown = asyncio.run(tail(cluster.client, job, shown))
        except (RuntimeError, OSError) as error:
            print(f"invertone: the log broke off ({error}); trying again", file=sys.stderr)
            time.sleep(1)
        info = job_info(cluster, job)
        if str(info.status) in OVER:
            return exit_code(info)
        time.sleep(0.2)


def jobs(cluster: Cluster) -> list[dict[str, Any]]:
    """Jobs of the job API, the newest last: id, state, command, started (seconds since 1970), took (seconds), exit code."""
    found = []
    for info in _asked(cluster.address, cluster.client.list_jobs):
        if not info.submission_id:
            continue  # somebody's interactive session
        ended = (info.end_time or time.time() * 1000) if info.start_time else None
        found.append(
            {
                "id": info.submission_id,
                "state": STATES.get(str(info.status), str(info.status)),
                "command": (info.metadata or {}).get("command") or info.entrypoint,
                "started": info.start_time / 1000 if info.start_time else None,
                "took": (ended - info.start_time) / 1000 if ended else None,
                "exit_code": info.driver_exit_code,
            }
        )
    return sorted(found, key=lambda each: each["started"] or 0)


def stop(cluster: Cluster, job: str) -> str:
    """Tells a job to stop and waits till it has; returns its state, in our words."""
    info = job_info(cluster, job)
    if str(info.status) not in OVER:
        _asked(cluster.address, lambda: cluster.client.stop_job(job))
        until = time.monotonic() + STOP_S + 30
        while str(info.status) not in OVER:
            if time.monotonic() > until:
                raise UserError(f"job {job} does not end", where=cluster.address, fix="look after the cluster")
            time.sleep(0.3)
            info = job_info(cluster, job)
    return STATES[str(info.status)]


def last_lines(cluster: Cluster, job: str) -> None:
    """Prints the log as far as it goes."""
    job_info(cluster, job)
    printer = Printer()
    with suppress(RuntimeError):  # a job that has not begun has no log
        printer.write(_asked(cluster.address, lambda: cluster.client.get_job_logs(job)))
    printer.close()


def as_json(found: Sequence[dict[str, Any]]) -> str:
    return json.dumps(list(found), indent=2)
