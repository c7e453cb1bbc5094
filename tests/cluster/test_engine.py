"""The engine on a real Ray session: exactly once, only what is missing; one killer of workers stops nothing else."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from invertone.cluster.config.shared import BulkConfig
from invertone.cluster.errors import JobIncompleteError, UserError
from invertone.cluster.formats.ledger import ATTEMPTS, COMMITS, FAILURES, JOURNAL, Failure, Ledger, Output, Unit
from invertone.cluster.jobs.driver import driving
from invertone.cluster.jobs.engine import Outcome, UnitResult, _outcome, run_units
from invertone.cluster.jobs.supervisor import Supervisor
from invertone.cluster.jobs.watch import Watch
from invertone.cluster.ray.resources import Capacity
from invertone.cluster.storage.folder import Folder, StorageError, sha256


@dataclass(frozen=True)
class Doubler:
    """Writes twice a unit's number; the names of some units say what goes wrong with them."""

    folder: Folder
    refuse_to_open: bool = False
    die_opening: bool = False

    def open(self, threads: int, watch: Watch) -> Callable[[Mapping[str, Any]], UnitResult]:
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


def double(folder: Folder, names: Sequence[str], plan: Mapping[str, Any] | None = None, **options: Any) -> Outcome:
    return engine(folder, Doubler(folder), units_of(names), plan, **options)


def engine(
    folder: Folder, stage: Any, work: Sequence[Unit], plan: Mapping[str, Any] | None = None, **options: Any
) -> Outcome:
    with driving(folder) as driver:
        return run_units(
            driver, stage, work, what="double", plan=plan, settings=BulkConfig(**{"workers": 1, **options})
        )


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
    assert (outcome.units, outcome.new, outcome.items) == (12, 12, 12)
    assert outcome.statistics == {"sum": 66, "counts": [12, 66]}
    assert calls(folder) == dict.fromkeys(names, 1)
    assert folder.names("out") == [f"{name}.txt" for name in names]
    assert [folder.read_bytes(f"out/{name}.txt") for name in names] == [f"{2 * n}".encode() for n in range(12)]
    fourth = Ledger(folder).committed("u03")
    assert fourth is not None and fourth.outputs == (Output("out/u03.txt", 1, sha256(b"6")),)
    assert sum(len(list(folder.read_lines(f"{JOURNAL}/{name}"))) for name in folder.names(JOURNAL)) == 12
    assert "double: 12 of 12 clips" in capsys.readouterr().err

    again = double(folder, names)
    assert (again.new, again.statistics) == (0, outcome.statistics)
    assert calls(folder) == dict.fromkeys(names, 1)

    folder.remove(f"{COMMITS}/u05.json")  # as if the worker had been killed before the commit
    folder.remove("out/u05.txt")
    again = double(folder, names)
    assert (again.new, again.statistics) == (1, outcome.statistics)
    assert calls(folder) == {**dict.fromkeys(names, 1), "u05": 2}
    assert folder.read_bytes("out/u05.txt") == b"10"


def test_workers_open_the_stage_once_each(folder: Folder, ray_session: Capacity) -> None:
    double(folder, [f"u{number}" for number in range(8)], workers=2)
    assert 1 <= len(folder.names("opened")) <= min(2, ray_session.cpus)


def test_units_that_raise_or_kill_do_not_stop_the_others(folder: Folder) -> None:
    names = ["a", "b-raises", "c", "d-kills", "e", "f-user", "g-flaky", "h-dies-once"]
    with pytest.raises(JobIncompleteError) as caught:
        double(folder, names, max_attempts=2)
    line = str(caught.value)
    assert caught.value.exit_code == 3
    assert "3 of 8 units were not done" in line
    assert "b-raises (failed: ValueError: nothing to double here)" in line
    assert "d-kills (quarantined: its worker ended with exit code 1)" in line
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
    attempts = [name.split(".") for name in folder.names(ATTEMPTS)]
    assert sorted((unit, number) for unit, _, number, _ in attempts if unit < "c") == [
        ("a", "1"),
        ("b-raises", "1"),
        ("b-raises", "2"),
    ]
    assert "nothing to double" in folder.read_json(f"{FAILURES}/b-raises.json")["traceback"]

    folder.publish_bytes("cured", b"")
    with pytest.raises(JobIncompleteError, match="d-kills"):  # what kills workers is tried again when asked for
        double(folder, names)
    assert calls(folder)["d-kills"] == 2 and len(folder.names("out")) == 7
    outcome = double(folder, names, units="failed")
    assert (outcome.units, outcome.new) == (8, 1)
    assert len(folder.names("out")) == 8
    assert calls(folder)["a"] == 1


def test_a_stage_that_cannot_open_is_the_user_s_error_and_nothing_is_done(folder: Folder) -> None:
    with pytest.raises(UserError, match="runs/wavegan: no such generator; train one") as caught:
        engine(folder, Doubler(folder, refuse_to_open=True), units_of(["a", "b"]))
    assert caught.value.exit_code == 2
    assert folder.names(COMMITS) == []
    assert folder.names(FAILURES) == []
    assert double(folder, ["a", "b"]).new == 2


def test_a_stage_whose_opening_kills_the_worker_ends_quarantined(folder: Folder) -> None:
    with pytest.raises(JobIncompleteError, match=r"1 of 1 units were not done: a \(quarantined: its worker ended"):
        engine(folder, Doubler(folder, die_opening=True), units_of(["a"]), max_attempts=2)


def test_another_plan_in_the_same_folder_is_refused(folder: Folder) -> None:
    double(folder, ["a"], plan={"source": "d1"})
    for names, plan in ((["a", "b"], {"source": "d1"}), (["a"], {"source": "d2"})):
        with pytest.raises(UserError, match="inputs have changed since it was planned"):
            double(folder, names, plan=plan)


def test_no_units_are_a_finished_job(folder: Folder) -> None:
    outcome = double(folder, [])
    assert (outcome.units, outcome.new, outcome.statistics) == (0, 0, {})


def test_what_a_worker_receives_is_what_the_plan_says(folder: Folder) -> None:
    """Arrow would give every unit the fields of all the others."""
    engine(folder, Keys(), units_of(["a", "b"]))
    assert folder.read_bytes("a.keys") == b"name number only-a"


@dataclass(frozen=True)
class Keys:
    def open(self, threads: int, watch: Watch) -> Callable[[Mapping[str, Any]], UnitResult]:
        return lambda work: UnitResult({f"{work['name']}.keys": " ".join(sorted(work)).encode()})


@dataclass(frozen=True)
class Choir:
    """Sings items, three at a time; `evil` says what an item does to its worker."""

    evil: Mapping[str, str]

    def open(self, threads: int, watch: Watch) -> Callable[[Mapping[str, Any]], UnitResult]:
        def process(work: Mapping[str, Any]) -> UnitResult:
            rows = dict(watch.excluded)
            for batch in watch.batches(work["singers"], 3, str):
                with watch.on(batch):
                    for item in batch:
                        self._sing(item)
                        rows[item] = "la"
            return UnitResult({f"{work['name']}.json": json.dumps(rows, sort_keys=True).encode()}, {"sung": len(rows)})

        return process

    def _sing(self, item: str) -> None:
        match self.evil.get(item):
            case "segfault":
                import ctypes

                ctypes.string_at(0)
            case "hang":
                time.sleep(600)
            case "raise":
                raise RuntimeError("lost the tune")


def choir(name: str, count: int) -> Unit:
    return Unit(name, {"name": name, "singers": [f"{name}{number}" for number in range(count)]}, items=count)


def test_items_that_kill_hang_or_raise_are_left_out_and_listed_and_nothing_else_is(folder: Folder) -> None:
    evil = {"b4": "segfault", "b5": "raise", "c0": "hang"}
    units = [choir("a", 7), choir("b", 7), choir("c", 2)]
    outcome = engine(folder, Choir(evil), units, max_attempts=2, stall_timeout=8.0)
    assert (outcome.units, outcome.items, outcome.excluded, outcome.statistics) == (3, 16, 3, {"sung": 16})
    with pytest.raises(JobIncompleteError, match="3 of 16 items have an error in place of a result") as caught:
        outcome.check()
    assert caught.value.exit_code == 3
    rows = {name: folder.read_json(f"{name}.json") for name in "abc"}
    assert rows["a"] == {f"a{number}": "la" for number in range(7)}
    assert {item for unit in rows.values() for item, song in unit.items() if song == "la"} == {
        item for unit in units for item in unit.work["singers"]
    } - evil.keys()
    assert (
        "SIGSEGV" in rows["b"]["b4"] and "lost the tune" in rows["b"]["b5"] and "no progress for 8 s" in rows["c"]["c0"]
    )
    listed = {failure.unit: failure for failure in Ledger(folder).failures()}
    assert set(listed["b"].excluded) == {"b4", "b5"} and set(listed["c"].excluded) == {"c0"}
    assert "_sing" in listed["c"].traceback  # the stacks of a hung worker

    done = folder.read_bytes("a.json")
    cured = engine(folder, Choir({}), units, units="failed")
    assert (cured.new, cured.excluded) == (2, 0)
    assert all(song == "la" for name in "abc" for song in folder.read_json(f"{name}.json").values())
    assert Ledger(folder).failures() == [] and folder.read_bytes("a.json") == done


def test_files_that_were_lost_or_changed_in_size_are_made_again_and_no_others(
    in_process: None, folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    units = [choir(name, 3) for name in "abcd"]
    engine(folder, Choir({}), units)
    whole = {name: folder.read_bytes(f"{name}.json") for name in "abcd"}
    folder.remove("b.json")
    folder.publish_bytes("c.json", whole["c"] + b" ")
    capsys.readouterr()
    assert engine(folder, Choir({}), units).new == 2
    said = capsys.readouterr().out
    assert "2 of 4 units are done again, for their files are not as recorded" in said
    assert "b.json is missing" in said and f"c.json has {len(whole['c']) + 1} bytes, {len(whole['c'])} were" in said
    assert {name: folder.read_bytes(f"{name}.json") for name in "abcd"} == whole
    assert engine(folder, Choir({}), units).new == 0


class Errands:
    """Does what it is asked, and says of some items why it could not."""

    def open(self, threads: int, watch: Watch) -> Callable[[Mapping[str, Any]], UnitResult]:
        def process(work: Mapping[str, Any]) -> UnitResult:
            failed = {item: "no such place" for item in work["singers"] if item.endswith("1")}
            return UnitResult({f"{work['name']}.json": b"{}"}, {}, failed)

        return process


def test_items_without_a_result_are_listed_and_tried_again(in_process: None, folder: Folder) -> None:
    outcome = engine(folder, Errands(), [choir("a", 3), choir("b", 1)])
    assert (outcome.items, outcome.excluded) == (4, 1)
    (listed,) = Ledger(folder).failures()
    assert (listed.unit, listed.state, dict(listed.excluded)) == ("a", "items excluded", {"a1": "no such place"})
    assert engine(folder, Errands(), [choir("a", 3), choir("b", 1)], units="failed").new == 1


def test_a_second_driver_is_refused_while_the_first_lives(folder: Folder) -> None:
    with driving(folder), pytest.raises(UserError, match="another driver is at work here") as caught, driving(folder):
        pass
    assert caught.value.exit_code == 2
    assert double(folder, ["a"]).new == 1


def test_workers_of_a_driver_that_was_overtaken_publish_nothing(folder: Folder) -> None:
    with driving(folder) as driver:
        folder.publish_json(f"__invertone/ledger/drivers/{driver.term.number + 1:06d}.json", {"session": "rival"})
        with pytest.raises(UserError, match="another driver has taken over"):
            run_units(driver, Doubler(folder), units_of(["a"]), what="double")
    assert folder.names("out") == [] and folder.names(COMMITS) == []


def test_a_worker_that_is_lost_with_its_memory_is_tried_again_and_at_last_quarantined(folder: Folder) -> None:
    """What the ledger keeps is enough: attempts of this session that ended without a word."""
    names = ["a"]
    with driving(folder) as driver:
        ledger = Ledger(folder, driver.term.session)
        for _ in range(2):
            ledger.begin("a", "elsewhere")
        with pytest.raises(JobIncompleteError, match="its worker was lost 2 times"):
            run_units(driver, Doubler(folder), units_of(names), what="double", settings=BulkConfig(max_attempts=2))
    assert [failure.state for failure in ledger.failures()] == ["quarantined"]
    assert isinstance(ledger.failures()[0], Failure) and double(folder, names, units="failed").new == 1


def test_storage_that_takes_no_record_leaves_the_unit_to_be_done(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job goes on with other units, ends with exit code 3, and says what storage said, without its secrets."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-secret")

    def away(*_: Any) -> Any:
        raise StorageError("planted-secret was refused")

    with driving(folder) as driver:
        ledger = Ledger(folder, driver.term.session)
        supervisor = Supervisor(ledger, driver.term, b"", 3, 1.0)
        monkeypatch.setattr(Supervisor, "do", away)
        fate = supervisor.fate(units_of(["a"])[0], away)
        assert (fate.state, fate.error, fate.commit) == ("failed", "StorageError: ••• was refused", None)
        ledger.fix_plan(units_of(["a"]), {})
        with pytest.raises(JobIncompleteError, match=r"1 of 1 units are still to be done \(no answer\)"):
            _outcome(ledger, units_of(["a"]), 1, 0.0, "no answer")
