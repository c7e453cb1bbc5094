"""The engine on a real Ray session: exactly once, only what is missing; one killer of workers stops nothing else."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster.engine import Outcome, Resources, Unit, UnitResult, run_units
from cluster.errors import JobIncompleteError, UserError
from cluster.ledger import ATTEMPTS, COMMITS, FAILURES, committed
from cluster.session import Capacity
from cluster.storage import Folder, sha256


@dataclass(frozen=True)
class Doubler:
    """Writes twice a unit's number; the names of some units say what goes wrong with them."""

    folder: Folder
    refuse_to_open: bool = False
    die_opening: bool = False

    def open(self, threads: int) -> Callable[[Mapping[str, Any]], UnitResult]:
        if self.die_opening:
            os._exit(1)
        if self.refuse_to_open:
            raise UserError("no such generator", where="runs/wavegan", fix="train one")
        self.folder.publish_bytes(f"opened/{os.getpid()}", b"")
        return self.process

    def process(self, work: Mapping[str, Any]) -> UnitResult:
        name, number = work["name"], work["number"]
        calls = len(self.folder.names(f"calls/{name}"))
        self.folder.publish_bytes(f"calls/{name}/{calls}-{os.getpid()}", b"")
        cured = self.folder.exists("cured")
        if "dies-once" in name and calls < 1:
            os._exit(1)
        if "kills" in name and not cured:
            os._exit(1)
        if "raises" in name and not cured:
            raise ValueError("nothing to double\nhere")
        if "user" in name and not cured:
            raise UserError("shard is damaged", where=name, fix="ingest it again")
        if "flaky" in name and calls < 1:
            raise OSError("storage is tired")
        return UnitResult({f"out/{name}.txt": f"{2 * number}".encode()}, {"sum": number, "counts": [1, number]})


def units_of(names: Sequence[str]) -> list[Unit]:
    return [Unit(name, {"name": name, "number": number, f"only-{name}": None}) for number, name in enumerate(names)]


def double(folder: Folder, names: Sequence[str], **options: Any) -> Outcome:
    return run_units(folder, Doubler(folder), units_of(names), what="double", **options)


@pytest.fixture
def folder(tmp_path: Path, ray_session: Capacity) -> Folder:
    return Folder.at(str(tmp_path / "run"))


def calls(folder: Folder) -> dict[str, int]:
    return {name: len(folder.names(f"calls/{name}")) for name in folder.folders("calls")}


def test_every_unit_is_done_exactly_once_and_a_rerun_does_nothing(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"u{number:02d}" for number in range(12)]
    outcome = double(folder, names)
    assert outcome == Outcome(units=12, new=12, statistics={"sum": 66, "counts": [12, 66]})
    assert calls(folder) == dict.fromkeys(names, 1)
    assert folder.names("out") == [f"{name}.txt" for name in names]
    assert [folder.read_bytes(f"out/{name}.txt") for name in names] == [f"{2 * n}".encode() for n in range(12)]
    first = committed(folder)[3]["outputs"]
    assert first == {"out/u03.txt": {"bytes": 1, "sha256": sha256(b"6")}}
    assert "double: 12 of 12 clips" in capsys.readouterr().err

    again = double(folder, names)
    assert again == Outcome(units=12, new=0, statistics=outcome.statistics)
    assert calls(folder) == dict.fromkeys(names, 1)

    folder.remove(f"{COMMITS}/u05.json")  # as if the worker had been killed before the commit
    folder.remove("out/u05.txt")
    assert double(folder, names) == Outcome(units=12, new=1, statistics=outcome.statistics)
    assert calls(folder) == {**dict.fromkeys(names, 1), "u05": 2}
    assert folder.read_bytes("out/u05.txt") == b"10"


def test_workers_open_the_stage_once_each(folder: Folder, ray_session: Capacity) -> None:
    double(folder, [f"u{number}" for number in range(8)], resources=Resources(workers=2))
    assert 1 <= len(folder.names("opened")) <= min(2, ray_session.cpus)


def test_units_that_raise_or_kill_do_not_stop_the_others(folder: Folder) -> None:
    names = ["a", "b-raises", "c", "d-kills", "e", "f-user", "g-flaky", "h-dies-once"]
    with pytest.raises(JobIncompleteError) as caught:
        double(folder, names, max_attempts=2)
    line = str(caught.value)
    assert caught.value.exit_code == 3
    assert "3 of 8 units were not done" in line
    assert "b-raises (failed: ValueError: nothing to double here)" in line
    assert "d-kills (quarantined: its worker died in each of 2 attempts)" in line
    assert "f-user (failed: UserError: f-user: shard is damaged" in line
    assert folder.uri in line
    assert folder.names("out") == ["a.txt", "c.txt", "e.txt", "g-flaky.txt", "h-dies-once.txt"]
    assert calls(folder) == {
        "a": 1,
        "b-raises": 2,
        "c": 1,
        "d-kills": 2,
        "e": 1,
        "f-user": 1,  # a damaged input stays damaged
        "g-flaky": 2,
        "h-dies-once": 2,
    }
    assert folder.names(f"{ATTEMPTS}/a")[0].endswith(".1.json")
    assert "nothing to double" in folder.read_json(f"{FAILURES}/b-raises.json")["traceback"]

    folder.publish_bytes("cured", b"")
    outcome = double(folder, names)
    assert (outcome.units, outcome.new) == (8, 3)
    assert len(folder.names("out")) == 8
    assert calls(folder)["a"] == 1


def test_a_stage_that_cannot_open_is_the_user_s_error_and_nothing_is_done(folder: Folder) -> None:
    with pytest.raises(UserError, match="runs/wavegan: no such generator; train one") as caught:
        run_units(folder, Doubler(folder, refuse_to_open=True), units_of(["a", "b"]), what="double")
    assert caught.value.exit_code == 2
    assert folder.names(COMMITS) == []
    assert folder.names(FAILURES) == []
    assert double(folder, ["a", "b"]).new == 2


def test_a_stage_whose_opening_kills_the_worker_ends_quarantined(folder: Folder) -> None:
    with pytest.raises(JobIncompleteError, match=r"1 of 1 units were not done: a \(quarantined: its worker died"):
        run_units(folder, Doubler(folder, die_opening=True), units_of(["a"]), what="double", max_attempts=2)


def test_another_plan_in_the_same_folder_is_refused(folder: Folder) -> None:
    double(folder, ["a"], plan={"source": "d1"})
    for names, plan in ((["a", "b"], {"source": "d1"}), (["a"], {"source": "d2"})):
        with pytest.raises(UserError, match="inputs have changed since it was planned"):
            double(folder, names, plan=plan)


def test_no_units_are_a_finished_job(folder: Folder) -> None:
    assert double(folder, []) == Outcome(0, 0, {})


def test_what_a_worker_receives_is_what_the_plan_says(folder: Folder) -> None:
    """Arrow would give every unit the fields of all the others."""
    unit = units_of(["a", "b"])[0]
    assert pickle.loads(pickle.dumps(unit)).work == unit.work
    seen = Keys(folder)
    run_units(folder, seen, units_of(["a", "b"]), what="keys")
    assert folder.read_bytes("a.keys") == b"name number only-a"


@dataclass(frozen=True)
class Keys:
    folder: Folder

    def open(self, threads: int) -> Callable[[Mapping[str, Any]], UnitResult]:
        return lambda work: UnitResult({f"{work['name']}.keys": " ".join(sorted(work)).encode()})
