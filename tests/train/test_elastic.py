"""Elastic training on three nodes: it outlives a node in the same command, and its driver when the command is typed again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from cluster.config import load
from cluster.storage import Folder
from tests.train.elastic import CHECKPOINT_EVERY, STEPS, words
from train.build import build_trainer
from train.config import CATALOGUE
from train.objective import World
from train.record import read_metrics

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
