"""Servers on loopback for tests: S3 (moto always, Ceph's gateway where its script lies beside the checkout), a Ray head."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT.parent / "shared/tools/start-s3-server.sh"


@contextmanager
def moto_server() -> Iterator[tuple[str, dict[str, str]]]:
    """A bucket, and what a client needs in its environment."""
    from moto.server import ThreadedMotoServer

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    try:
        _make_bucket(environment)
        yield "s3://corpus", environment
    finally:
        server.stop()


@dataclass(frozen=True)
class Ceph:
    """A real S3 server: Ceph's gateway, which verifies signatures and honours conditional PUTs."""

    endpoint: str
    environment: dict[str, str]  # what a client needs, to be set by the tests that want it
    bucket: str
    folder: Path  # of the server's own files

    @property
    def port(self) -> int:
        return int(self.endpoint.rsplit(":", 1)[1])

    def kill(self) -> None:
        """The gateway dies as in a crash."""
        os.kill(int((self.folder / "run/client.rgw.pid").read_text()), signal.SIGKILL)
        until = time.monotonic() + 60
        while _answers(self.port):  # a process of many threads takes its time to die, and holds its port until then
            assert time.monotonic() < until, "the killed gateway still listens"
            time.sleep(0.02)

    def start(self) -> None:
        """Starts again what has died; returns when requests are answered.

        On a busy machine the script gives up too early, so it is asked three times.
        """
        for left in (2, 1, 0):
            try:
                _start_ceph(self.folder, self.port)
                return
            except NoServerError:
                if not left:
                    raise


def no_ceph() -> str:
    """Why there is no Ceph here, "" if there is."""
    if not SCRIPT.is_file():
        return f"no real S3 server here: {os.path.relpath(SCRIPT, ROOT)} is missing"
    return "" if os.geteuid() == 0 else "a real S3 server is started by root only"


class NoServerError(RuntimeError):
    """The script ran and no server came up."""


@contextmanager
def ceph_server() -> Iterator[Ceph]:
    with tempfile.TemporaryDirectory(prefix="invertone-ceph-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary) / "server"
        try:
            environment = _start_ceph(folder, _lasting_port())
            _make_bucket(environment)
            yield Ceph(environment["AWS_ENDPOINT_URL"], environment, "s3://corpus", folder)
        finally:
            subprocess.run(["bash", SCRIPT, "stop", folder], check=False, capture_output=True, timeout=120)


def _start_ceph(folder: Path, port: int) -> dict[str, str]:
    """The variables that the script prints as `export NAME=value`."""
    command = ["bash", SCRIPT, "start", folder, str(port)]
    done = subprocess.run(command, check=False, capture_output=True, timeout=300)
    if done.returncode:
        raise NoServerError(done.stderr.decode(errors="replace").strip().rpartition("\n")[2])
    return dict(line.removeprefix("export ").split("=", 1) for line in done.stdout.decode().splitlines())


def _make_bucket(environment: dict[str, str]) -> None:
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",  # the one region for which no LocationConstraint is sent; Ceph refuses any
    )
    client.create_bucket(Bucket="corpus")


def _lasting_port() -> int:
    """A free port below those of outgoing connections, one of which could take it while the gateway is dead."""
    for port in random.sample(range(20_000, 32_000), 100):
        if not _answers(port):
            return port
    raise AssertionError("no free port")


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass(frozen=True)
class Head:
    """A Ray head with the job API, on loopback, which asks for a token."""

    address: str  # of the job API
    gcs: str  # what RAY_ADDRESS takes
    environment: dict[str, str]  # with which commands reach it, and no credentials
    session: Path  # its folder, with logs and what was sent to it


@contextmanager
def ray_head() -> Iterator[Head]:
    """Starts a head in a process group of its own and ends that group.

    Its temporary folder is its own as well: in a shared one Ray notes the address of the head that was started last, to
    which jobs of all heads would go. The name is short, for Ray puts sockets there.
    """
    with (
        tempfile.TemporaryDirectory(prefix="inv-", dir="/tmp", ignore_cleanup_errors=True) as temporary,
        _ray_head(Path(temporary)) as head,
    ):
        yield head


@contextmanager
def _ray_head(place: Path) -> Iterator[Head]:
    (place / ".ray").mkdir(parents=True)
    token = place / ".ray/auth_token"
    token.write_text(f"{random.SystemRandom().getrandbits(256):064x}")
    token.chmod(0o600)
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "AWS_"))},
        **{"HOME": str(place), "PATH": tools, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        "RAY_TMPDIR": str(place),
    }
    ports = _free_ports(8)
    names = (
        "port",
        "dashboard-port",
        "ray-client-server-port",
        "dashboard-agent-listen-port",
        "dashboard-agent-grpc-port",
    )
    names = (*names, "runtime-env-agent-port", "metrics-export-port", "node-manager-port")
    command = ["ray", "start", "--head", "--block", "--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1"]
    command += ["--include-dashboard=true", "--num-cpus=2", f"--object-store-memory={10**8}", "--disable-usage-stats"]
    command += [f"--{name}={port}" for name, port in zip(names, ports, strict=True)]
    settings = {"RAY_AUTH_MODE": "token", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # the latter: loopback only
    log = place / "head.log"
    with log.open("wb") as output:
        head = subprocess.Popen(
            command,
            env=environment | settings,
            cwd=place,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        address = f"http://127.0.0.1:{ports[1]}"
        session = place / "ray" / _wait_for_head(address, token.read_text(), head, log)
        yield Head(address, f"127.0.0.1:{ports[0]}", environment, session)
    finally:
        with contextlib.suppress(ProcessLookupError):  # a head that is asked to end waits 30 s for work elsewhere
            os.killpg(head.pid, signal.SIGKILL)
        head.wait(timeout=30)


def _wait_for_head(address: str, token: str, head: subprocess.Popen[bytes], log: Path) -> str:
    """The name of the head's session, once its job API answers."""
    import requests

    until = time.monotonic() + 120
    headers = {"Authorization": f"Bearer {token}"}
    while time.monotonic() < until and head.poll() is None:
        with contextlib.suppress(requests.RequestException):
            if requests.get(f"{address}/api/jobs/", headers=headers, timeout=5).status_code == 200:
                return str(requests.get(f"{address}/api/version", headers=headers, timeout=5).json()["session_name"])
        time.sleep(0.3)
    raise AssertionError(f"no head came up: {log.read_text()[-2000:]}")


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
