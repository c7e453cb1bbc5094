"""Bulk inversion under failure: a three-node Ray cluster on this machine, seeded faults at seeded moments, then a rerun.

What must hold after every trial: one row per clip, every value as in a run that nothing disturbed, no file counted that
no commit vouches for. `make chaos` prints the table.
"""

from __future__ import annotations

import io
import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet as pq

from invertone.cluster.formats.ledger import Ledger
from invertone.cluster.storage.folder import Folder
from tests.chaos.proxy import FAULTS, FaultyProxy
from tests.made import made_shards, tiny_models

STRIKES = ("worker", "actor", "node", "driver", "part deleted", "disk filled")
DISK_MB, FILLED_S = 64, 4.0
"""Size of the file system that local run folders lie on, where one may be mounted, and how long it stays full."""
CLIPS = (6,) * 14
MOMENTS_S = (0.0, 9.0)
"""When a fault strikes, after the first attempt of the run was recorded."""
RUN_LIMIT_S = 240.0


@dataclass
class Trial:
    """One run folder's story."""

    number: int
    storage: str
    faults: list[str] = field(default_factory=list)
    requests: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    expected: int = 0
    found: int = 0
    unique: int = 0
    differing: int = 0
    uncounted: int = 0
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        return self.expected == self.found == self.unique and self.differing == self.uncounted == 0

    def line(self) -> str:
        said = ", ".join(self.faults + [f"{count}× {kind}" for kind, count in sorted(self.requests.items())])
        numbers = (
            f"{self.runs:5} {self.expected:9} {self.found:6} {self.unique:7} {self.differing:10} {self.uncounted:10}"
        )
        return f"{self.number:5}  {self.storage:6} {numbers} {self.seconds:6.0f} s  {said}"


HEADER = (
    f"{'trial':>5}  {'stored':6} {'runs':>5} {'expected':>9} {'found':>6} {'unique':>7} "
    f"{'differing':>10} {'uncounted':>10} {'time':>8}  faults"
)


@dataclass
class Scene:
    """Shards and models, a cluster of three nodes, and where runs go: a local folder, or a bucket behind the proxy."""

    place: Path
    cluster: Any
    proxy: FaultyProxy | None
    bucket: str | None
    disk: Path | None = None
    nodes: list[Any] = field(default_factory=list)

    def command(self, out: Folder) -> list[str]:
        words = [f"shards={self.place}/shards", f"generator={self.place}/wavegan", f"mapper={self.place}/mapper"]
        words += [
            f"out={out.uri}",
            "weights.features=0",
            "optimiser=adam",
            "evaluations=26",
            "batch=4",
            "learning_rate=0.01",
            "stall_timeout=60",
        ]
        return [sys.executable, "-m", "invertone", "infer", "hybrid", *words]

    def start(self, out: Folder) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "RAY_ADDRESS": self.cluster.address}
        log = (self.place / "driver.log").open("ab")
        return subprocess.Popen(self.command(out), stdout=log, stderr=log, env=environment, cwd=self.place)

    def folder(self, storage: str) -> Folder:
        name = uuid.uuid4().hex[:12]
        return Folder.at(f"{self.bucket}/{name}" if storage == "s3" else str((self.disk or self.place) / name))


@contextmanager
def scene(place: Path, backend: str | None, bucket: str | None, seed: int) -> Iterator[Scene]:
    """backend: address of an S3 server whose credentials are in the environment; None for local trials only. To be
    called in a process that has not imported Ray yet."""
    made_shards(Folder.at(str(place / "shards")), train=CLIPS, validation=0)
    shards = Folder.at(str(place / "shards"))
    tiny_models(shards, place)
    proxy = FaultyProxy(backend, seed, stall_s=3.0) if backend else None
    added = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": uuid.uuid4().hex, "RAY_BACKEND_LOG_LEVEL": "fatal"}
    if proxy:
        added["AWS_ENDPOINT_URL"] = proxy.url
    kept = {name: os.environ.get(name) for name in added}
    os.environ.update(added)
    from ray.cluster_utils import Cluster  # reads how to authenticate when it is imported

    cluster, disk = None, _mounted(place / "disk")
    try:
        if proxy:
            proxy.__enter__()
            fsspec.filesystem("s3").clear_instance_cache()
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        built = Scene(place, cluster, proxy, bucket, disk)
        built.nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        yield built
    finally:
        if cluster is not None:
            cluster.shutdown()
        if proxy:
            proxy.__exit__()
            fsspec.filesystem("s3").clear_instance_cache()
        if disk is not None:
            subprocess.run(["umount", "--lazy", disk], check=False)
        for name, value in kept.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _mounted(place: Path) -> Path | None:
    """A small file system that can be filled; None where this user may not mount one."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", place]
    return place if subprocess.run(command, capture_output=True, check=False).returncode == 0 else None


def undisturbed(scene: Scene) -> dict[str, dict[str, Any]]:
    """Every row of a run that nothing happened to, by key."""
    folder = scene.folder("local")
    code = scene.start(folder).wait(timeout=RUN_LIMIT_S)
    assert code == 0, (scene.place / "driver.log").read_text()
    found = rows(folder)
    assert len(found) == sum(CLIPS)
    return {row["key"]: row for row in found}


def trial(scene: Scene, number: int, storage: str, seed: int, expected: dict[str, dict[str, Any]]) -> Trial:
    """Runs with faults, then runs to the end, and compares."""
    began = time.monotonic()
    rng, told, folder = random.Random(seed), Trial(number, storage), scene.folder(storage)
    proxy = scene.proxy if storage == "s3" else None
    before = Counter(proxy.counts) if proxy else Counter[str]()
    if proxy:
        proxy.kinds, proxy.share = tuple(rng.sample(FAULTS, rng.randint(1, 3))), rng.uniform(0.02, 0.12)
    strikes = sorted((rng.uniform(*MOMENTS_S), rng.choice(STRIKES)) for _ in range(rng.randint(1, 3)))
    driver = scene.start(folder)
    told.runs = 1
    try:
        _await_first_attempt(folder, driver)
        first = time.monotonic()
        for moment, fault in strikes:
            time.sleep(max(0.0, first + moment - time.monotonic()))
            if driver.poll() is not None:
                break
            if _strike(scene, folder, driver, fault, rng):
                told.faults.append(fault)
        with suppress(subprocess.TimeoutExpired):
            driver.wait(timeout=RUN_LIMIT_S)
    finally:
        driver.kill()
        driver.wait()
        if proxy:
            proxy.share = 0.0
    while len(scene.nodes) < 2:
        scene.nodes.append(scene.cluster.add_node(num_cpus=1))
    if "part deleted" in told.faults:  # perhaps behind the run's back: the next one sees it
        driver = scene.start(folder)
        told.runs += 1
        driver.wait(timeout=RUN_LIMIT_S)
    for _ in range(5):  # to the end; what was killed from outside too often is tried again as a user would
        if driver.returncode == 0:
            break
        driver = scene.start(folder)
        told.runs += 1
        if driver.wait(timeout=RUN_LIMIT_S) == 3:
            retry = [sys.executable, "-m", "invertone", "retry", folder.uri]
            told.runs += 1
            driver = subprocess.Popen(retry, env={**os.environ, "RAY_ADDRESS": scene.cluster.address}, cwd=scene.place)
            driver.wait(timeout=RUN_LIMIT_S)
    if proxy:
        told.requests = Counter(proxy.counts) - before
    _compare(told, folder, expected)
    told.seconds = time.monotonic() - began
    return told


def rows(folder: Folder) -> list[dict[str, Any]]:
    """What a reader sees: committed files, by plain pyarrow."""
    outputs = [output for commit in Ledger(folder).commits() for output in commit.outputs]
    return [row for output in outputs for row in pq.read_table(io.BytesIO(folder.read_bytes(output.name))).to_pylist()]


def _compare(told: Trial, folder: Folder, expected: dict[str, dict[str, Any]]) -> None:
    found = rows(folder)
    by_key = {row["key"]: row for row in found}
    told.expected, told.found, told.unique = len(expected), len(found), len(by_key)
    told.differing = sum(by_key.get(key) != row for key, row in expected.items())
    vouched = {output.name for commit in Ledger(folder).commits() for output in commit.outputs}
    told.uncounted = len({name for name in folder.names() if name.endswith(".parquet")} - vouched)


def _await_first_attempt(folder: Folder, driver: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and driver.poll() is None:
        with suppress(OSError):
            if folder.names("__invertone/ledger/attempts"):
                return
        time.sleep(0.2)


def _strike(scene: Scene, folder: Folder, driver: subprocess.Popen[bytes], fault: str, rng: random.Random) -> bool:
    """False where there was nothing to hit."""
    if fault == "part deleted":
        parts = [name for name in folder.names() if name.endswith(".parquet")]
        if parts:
            folder.remove(rng.choice(parts))
        return bool(parts)
    if fault == "disk filled":
        return folder.local is not None and scene.disk is not None and _fill(scene.disk / "filler")
    if fault == "driver":
        driver.kill()
        return True
    if fault == "node":
        if not scene.nodes:
            return False
        node = scene.nodes.pop(rng.randrange(len(scene.nodes)))
        scene.cluster.remove_node(node, allow_graceful=False)
        return True
    title = "invertone.cluster.jobs.worker_main" if fault == "worker" else "ray::MapWorker"
    victims = sorted(_processes(title))
    if not victims:
        return False
    with suppress(ProcessLookupError):
        os.kill(rng.choice(victims), signal.SIGKILL)
    return True


def _fill(filler: Path) -> bool:
    """Takes all room that is left, and gives it back after a while."""
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(bytes(65_536)):
            pass
    threading.Timer(FILLED_S, filler.unlink, [True]).start()
    return True


def _processes(title: str) -> list[int]:
    """Of this suite's cluster: nothing else on the machine is hit."""
    ours = str(uuid.UUID(os.environ["RAY_AUTH_TOKEN"]).hex).encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if title.encode() in (entry / "cmdline").read_bytes() and ours in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
    return found
