"""Which jobs need no cluster, and that the engine's promises hold for them as they do on Ray."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from invertone.cluster.config.shared import BulkConfig
from invertone.cluster.errors import JobIncompleteError, UserError
from invertone.cluster.formats.ledger import Ledger
from invertone.cluster.jobs import engine, here
from invertone.cluster.jobs.driver import driving
from invertone.cluster.jobs.engine import Outcome, run_units
from invertone.cluster.jobs.here import available_cpus, this_machine, visible_gpus
from invertone.cluster.ray.resources import Capacity, Node
from invertone.cluster.ray.staffing import staffed
from invertone.cluster.stopping import below
from invertone.cluster.storage.folder import Folder
from tests.cluster.test_engine import Doubler, units_of
from tests.made import made_clips


@pytest.fixture
def four_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with four CPUs and no GPU, on which no Ray session is open in this process."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setattr(here, "available_cpus", lambda: 4)
    monkeypatch.setattr(here, "visible_gpus", lambda: 0)


def staff(settings: dict[str, Any], units: int, device: str) -> tuple[int, int] | None:
    """Workers and CPUs of each, None where the job is for Ray."""
    config = BulkConfig(**settings)
    machine = this_machine(config, device)
    if machine is None:
        return None
    workers, need = staffed(config, config.workers, units, device, machine)
    return workers, int(need.cpus)


@pytest.mark.parametrize(
    ("settings", "units", "staffing"),
    [
        ({}, 9, (4, 1)),
        ({}, 2, (2, 2)),
        ({}, 1, (1, 4)),
        ({"workers": 1}, 9, (1, 4)),
        ({"workers": 1, "cpus_per_worker": 3}, 9, (1, 3)),
        ({"cpus_per_worker": 2}, 9, (2, 2)),
        ({"workers": 9}, 9, (4, 1)),
        ({"autoscaling": True}, 9, None),
    ],
)
def test_a_machine_is_staffed_as_a_cluster_of_one_is(
    four_cpus: None, settings: dict[str, Any], units: int, staffing: tuple[int, int] | None
) -> None:
    assert staff(settings, units, "auto") == staffing


def test_what_it_does_not_have_is_refused(four_cpus: None) -> None:
    for settings, device, said in (
        ({"cpus_per_worker": 5}, "cpu", "one worker needs 5 CPUs"),
        ({"memory_per_worker": 1e6}, "cpu", "GiB of memory"),
        ({}, "cuda", "no GPU"),
    ):
        with pytest.raises(UserError, match=said):
            staff(settings, 9, device)


def test_a_single_gpu_is_used_here_and_several_are_given_away_by_ray(
    four_cpus: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(here, "visible_gpus", lambda: 1)
    assert [staff({}, 9, device) for device in ("cuda", "auto", "cpu")] == [(1, 4), (1, 4), (4, 1)]
    assert staff({"gpus_per_worker": 0.5}, 9, "auto") == (2, 2)
    monkeypatch.setattr(here, "visible_gpus", lambda: 2)
    assert [staff({}, 9, device) for device in ("cuda", "auto", "cpu")] == [None, None, (4, 1)]


def test_a_named_cluster_is_used(four_cpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    assert staff({"workers": 1}, 1, "cpu") is None


def test_what_this_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 <= available_cpus() <= len(os.sched_getaffinity(0))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == 0


def double(folder: Folder, names: list[str], **settings: object) -> Outcome:
    with driving(folder) as driver:
        return run_units(driver, Doubler(folder), units_of(names), what="double", settings=BulkConfig(**settings))  # type: ignore[arg-type]


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "this_machine", lambda *_: Capacity(2, 0, 2, (Node(2, 0, 2.0**40),)))
    monkeypatch.setattr(engine, "session", None)


def test_killers_and_what_raises_are_found_out(no_ray: None, tmp_path: Path) -> None:
    folder = Folder.at(str(tmp_path / "run"))
    names = ["a", "dies-once", "b", "kills", "raises", "flaky", "c"]
    with pytest.raises(JobIncompleteError, match="2 of 7 units were not done"):
        double(folder, names, max_attempts=2)
    found = {failure.unit: failure.state for failure in Ledger(folder).failures()}
    assert found == {"kills": "quarantined", "raises": "failed"}
    folder.publish_bytes("cured", b"")
    assert double(folder, names, units="failed", max_attempts=2).new == 2
    outcome = double(folder, names)
    assert (outcome.new, outcome.units, outcome.statistics["sum"]) == (0, 7, sum(range(7)))


def test_a_refusal_ends_the_job_at_once(no_ray: None, tmp_path: Path) -> None:
    folder = Folder.at(str(tmp_path / "run"))
    with driving(folder) as driver, pytest.raises(UserError, match="no such generator"):
        run_units(driver, Doubler(folder, refuse_to_open=True), units_of(["a", "b"]), what="double")


PROGRAM = """
import sys
from invertone import command_line
code = command_line.main(sys.argv[1:])
print("ray" in sys.modules)
raise SystemExit(code)
"""


def command(tmp_path: Path, *words: str) -> list[str]:
    given = [f"source={tmp_path}/corpus", f"out={tmp_path}/out", "clips_per_shard=2", "workers=2", *words]
    return [sys.executable, "-c", PROGRAM, "ingest", "folder", *given]


def test_a_command_on_one_machine_imports_no_ray_and_goes_on_when_it_was_stopped(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    for clip in made_clips(9, "train"):
        file = tmp_path / "corpus/train/a" / f"{clip.info.key.replace('/', '-')}.flac"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(clip.data)
    commits = tmp_path / "out/__invertone/ledger/commits"
    process = subprocess.Popen(
        command(tmp_path), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None and not (commits.is_dir() and any(commits.iterdir())):
        time.sleep(0.005)
    children = below(process.pid)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate()
    assert process.returncode in (143, 0) and ("stopped" in said) == (process.returncode == 143), said
    until = time.monotonic() + 10
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < until:
        time.sleep(0.02)
    assert not any(Path(f"/proc/{child}").exists() for child in children), "a worker outlived its driver"
    again = subprocess.run(command(tmp_path), env=environment, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert "9 clips" in again.stdout and again.stdout.splitlines()[-1] == "False"
    assert len(list(commits.iterdir())) == 5
