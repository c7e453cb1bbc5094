"""Training that loses its machines: a three-node Ray cluster on this machine, one command, a node or the driver killed.

`python -m tests.train.elastic FOLDER [FAULT …]` prints a JSON line per fault, with what it cost.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from invertone.cluster.formats.checkpoints import CHECKPOINTS, MANIFEST
from invertone.cluster.formats.trainings import METRICS
from invertone.cluster.storage.folder import Folder
from tests.made import made_shards

FAULTS = ("first", "other", "driver")
"""The node of rank 0 is lost, that of rank 1, the driver."""
STEPS, CHECKPOINT_EVERY = 40, 5
RUN_LIMIT_S = 300.0
TINY = "width=4 front_end.mels=32 front_end.hop_length=256 batch=48 learning_rate=1e-4 log_every=1 samples=0 device=cpu"


@dataclass
class Story:
    """What happened to one run. codes: of its drivers, in turn. ranks: how many workers before the fault and after it.
    step_before: the last that was logged before training stood still."""

    fault: str
    folder: str
    codes: list[int] = field(default_factory=list)
    ranks: list[int] = field(default_factory=list)
    step_before: int = 0
    resumed_from: int = 0
    seconds_to_next_step: float = 0.0
    seconds: float = 0.0


def words(place: Path, out: str, *more: str) -> list[str]:
    fixed = f"shards={place}/shards out={out} steps={STEPS} checkpoint_every={CHECKPOINT_EVERY} {TINY}"
    return ["train", "classifier-debug", *fixed.split(), *more]


def main(place: Path, faults: list[str]) -> None:
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": uuid.uuid4().hex, "RAY_BACKEND_LOG_LEVEL": "fatal"}
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # all nodes at 127.0.0.1 and nowhere else
    from ray.cluster_utils import Cluster  # reads how to authenticate when it is imported

    made_shards(Folder.at(str(place / "shards")), train=(48, 48))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        for fault in faults:
            print(json.dumps(asdict(_trial(place, cluster, nodes, fault))), flush=True)
            while len(nodes) < 2:
                nodes.append(cluster.add_node(num_cpus=1))
    finally:
        cluster.shutdown()


def _trial(place: Path, cluster: Any, nodes: list[Any], fault: str) -> Story:
    began, story = time.monotonic(), Story(fault, str(place / fault))
    out = Path(story.folder)
    command = [sys.executable, "-m", "invertone", *words(place, story.folder, "workers.min=1", "workers.max=2")]

    def start() -> subprocess.Popen[bytes]:
        with (place / "driver.log").open("ab") as log:
            environment = {**os.environ, "RAY_ADDRESS": cluster.address}
            return subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=place)

    driver = start()
    try:
        _until(lambda: _checkpoint(out), driver)
        first = _holder(out / METRICS)
        story.ranks = [len(_workers(nodes))]
        metrics = out / METRICS
        struck, inode = time.monotonic(), metrics.stat().st_ino
        if fault == "driver":
            driver.kill()
            story.codes.append(driver.wait())
            driver = start()
        else:
            lost = next(node for node in nodes if (_raylet(node) == _parent(first)) == (fault == "first"))
            nodes.remove(lost)
            cluster.remove_node(lost, allow_graceful=False)
        before = struck
        while metrics.stat().st_ino == inode:
            before = time.monotonic()
            story.step_before = max(story.step_before, _last(metrics))
            _check(driver, before - struck)
            time.sleep(0.05)
        story.resumed_from = _checkpoint(out)
        _until(lambda: _last(metrics) > story.resumed_from, driver)
        story.seconds_to_next_step = time.monotonic() - struck
        story.ranks.append(len(_workers(nodes)))
        story.codes.append(driver.wait(timeout=RUN_LIMIT_S))
    finally:
        driver.kill()
        driver.wait()
    story.seconds = time.monotonic() - began
    return story


def _until(seen: Callable[[], int], driver: subprocess.Popen[bytes]) -> None:
    since = time.monotonic()
    while not seen():
        _check(driver, time.monotonic() - since)
        time.sleep(0.05)


def _check(driver: subprocess.Popen[bytes], waited: float) -> None:
    if driver.poll() is not None:
        raise RuntimeError(f"the driver ended early, with code {driver.returncode}")
    if waited > RUN_LIMIT_S:
        raise TimeoutError(f"nothing happened for {waited:.0f} s")


def _checkpoint(out: Path) -> int:
    """The step of the newest complete checkpoint, 0 where there is none."""
    return max((int(each.parent.name.split("-")[1]) for each in (out / CHECKPOINTS).glob(f"*/{MANIFEST}")), default=0)


def _last(metrics: Path) -> int:
    """The last complete line's step."""
    lines = [line for line in metrics.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return int(json.loads(lines[-1])["step"]) if lines else 0


def _holder(path: Path) -> int:
    """The process that has this file open: rank 0, which writes it."""
    for entry in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if entry.readlink() == path:
                return int(entry.parts[2])
    raise RuntimeError(f"nobody has {path} open")


def _raylet(node: Any) -> int:
    return int(node.all_processes["raylet"][0].process.pid)


def _workers(nodes: list[Any]) -> list[int]:
    """Training workers on these nodes."""
    raylets, found = {_raylet(node) for node in nodes}, []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if b"RayTrainWorker" in (entry / "cmdline").read_bytes() and _parent(int(entry.name)) in raylets:
                found.append(int(entry.name))
    return found


def _parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), sys.argv[2:] or list(FAULTS))
