"""Elastic training on three nodes: it outlives a node in the same command, and its driver when the command is typed again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from invertone.cluster.config.loading import load
from invertone.cluster.jobs.driver import driving
from invertone.cluster.ray.resources import Capacity
from invertone.cluster.storage.folder import Folder
from invertone.train import job
from invertone.train.build import build_trainer
from invertone.train.config import CATALOGUE
from invertone.train.loop.record import read_metrics
from invertone.train.objective import World
from invertone.train.ray_folder import RESERVED, RayFolder
from tests.train.elastic import CHECKPOINT_EVERY, STEPS, words

ROOT = Path(__file__).parents[2]
STORIES = ("first", "driver")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("elastic")


@pytest.fixture(scope="module")
def stories(place: Path) -> dict[str, dict[str, Any]]:
    """In a process of its own, which has not imported Ray yet."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RAY_"))}
    command = [sys.executable, "-m", "tests.train.elastic", str(place), *STORIES]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=840)
    log = place / "driver.log"
    assert done.returncode == 0, done.stdout + done.stderr + (log.read_text() if log.exists() else "")
    return {told["fault"]: told for told in map(json.loads, done.stdout.splitlines()) if told["ranks"]}


@pytest.fixture(scope="module")
def undisturbed(place: Path, stories: dict[str, dict[str, Any]]) -> list[dict[str, float | int]]:
    """Metrics of one worker that nothing happened to, without Ray."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    config = load(CATALOGUE, "classifier-debug", words(place, str(place / "undisturbed"))[2:])
    build_trainer(config, World(), torch.device("cpu"), lambda step, values: None).run()
    torch.set_num_threads(before)
    return read_metrics(Folder.at(config.out))


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("fault", STORIES)
def test_every_step_once_and_as_if_nothing_had_happened(
    fault: str, place: Path, stories: dict[str, dict[str, Any]], undisturbed: list[dict[str, float | int]]
) -> None:
    story, found = stories[fault], read_metrics(Folder.at(str(place / fault)))
    # `first`: the node of rank 0 is lost, and one worker ends what two began; `driver`: killed, and typed again.
    expected = ([0], [2, 1]) if fault == "first" else ([-9, 0], [2, 2])
    assert (story["codes"], story["ranks"]) == expected
    assert story["resumed_from"] > 0 and story["step_before"] - story["resumed_from"] <= CHECKPOINT_EVERY
    trained = [line["step"] for line in found if "classifier/cross_entropy" in line]
    assert trained == list(range(1, STEPS + 1))
    assert [(line["step"], *line) for line in found] == [(line["step"], *line) for line in undisturbed]
    for line, same in zip(found, undisturbed, strict=True):
        for name, value in same.items():  # a clip near the border between labels may fall on either side
            assert line[name] == pytest.approx(value, rel=1e-3 if "entropy" in name else 1e-1), (name, line["step"])
    assert not (place / fault / ".ray").exists()


def test_what_a_killed_driver_had_reserved_is_given_back(
    tmp_path: Path, ray_session: Capacity, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray
    from ray.data._internal.cluster_autoscaler.default_autoscaling_coordinator import (
        get_or_create_autoscaling_coordinator,
    )

    coordinator = get_or_create_autoscaling_coordinator()

    def reserved(name: str) -> float:
        return sum(node.get("CPU", 0) for node in ray.get(coordinator.get_reserved_resources.remote(name)).values())

    whole = [{"CPU": 1.0}] * ray_session.cpus
    try:
        for name in ("train-killed", "train-after"):
            ray.get(coordinator.request_resources.remote(name, whole, expire_after_s=180))
        assert (reserved("train-killed"), reserved("train-after")) == (ray_session.cpus, 0)
        monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
        scratch = RayFolder(Folder.at(str(tmp_path)))
        scratch.reserve("train-killed")
        assert (tmp_path / RESERVED).exists()
        scratch.release()
        assert (reserved("train-killed"), reserved("train-after")) == (0, ray_session.cpus)
    finally:
        for name in ("train-killed", "train-after"):
            ray.get(coordinator.cancel_request.remote(name))


@pytest.mark.parametrize("steps", [(5, 10, 40), (5, 10, 10)])
def test_failures_count_anew_after_a_checkpoint(
    steps: tuple[int, ...], tmp_path: Path, ray_session: Capacity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A month on a spot market has more losses than one `fit` bears. steps: done when the first, second, third ends."""
    from ray.train import TrainingFailedError

    done, ends = [0], list(steps)

    def fit() -> None:
        done[0] = ends.pop(0)
        if done[0] < STEPS:
            raise TrainingFailedError(f"lost too many nodes by step {done[0]}")

    monkeypatch.setattr(job, "_finished", lambda folder: done[0])
    monkeypatch.setattr(job, "_trainer", lambda *given: SimpleNamespace(fit=fit))
    config = load(CATALOGUE, "classifier-debug", words(tmp_path, str(tmp_path / "out"))[2:])
    with driving(Folder.at(config.out)) as driver:
        if steps[-1] == STEPS:
            job._fit("classifier-debug", config, driver, ray_session, None)
        else:
            with pytest.raises(TrainingFailedError, match="by step 10"):
                job._fit("classifier-debug", config, driver, ray_session, None)
    assert (done[0], ends) == (steps[-1], [])
