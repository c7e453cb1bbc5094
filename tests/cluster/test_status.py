"""What a run folder says of its job: counted from the ledger, whatever state it was left in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from invertone.cluster.errors import UserError
from invertone.cluster.formats.ledger import EXCLUDED, Commit, Failure, Ledger, Output, Unit
from invertone.cluster.formats.runs import RUN
from invertone.cluster.jobs.driver import Driver, driving
from invertone.cluster.jobs.status import failed, failure_lines, status
from invertone.cluster.storage.folder import Folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder.at(str(tmp_path))
    folder.publish_json(RUN, {"stage": "infer", "name": "encoder", "config": {}, "fingerprint": {}})
    return folder


def begun(driver: Driver, units: int = 10) -> Ledger:
    ledger = Ledger(driver.term.folder, driver.term.session)
    ledger.fix_plan([Unit(f"u{number}", {}, items=5) for number in range(units)], {})
    driver.tell(items=0, of_items=5 * units, what="clips", rate=2.0)
    return ledger


def done(ledger: Ledger, name: str, **more: Any) -> None:
    ledger.commit(Commit(name, 5, (Output(f"{name}.parquet", 1_000, "d"),), {}, **more))


def test_a_running_job(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("invertone.cluster.jobs.driver.BEAT_S", 0.01)
    with driving(folder) as driver:
        ledger = begun(driver)
        for name in ("u0", "u1", "u2", "u3"):
            ledger.begin(name, "here")
        done(ledger, "u0")
        done(ledger, "u1")
        ledger.fail(Failure("u2", "quarantined", "died", "trace", 3, 5))
        Ledger(folder, "earlier").begin("u9", "a driver that is gone")
        import time

        time.sleep(0.3)
        found = status(folder)
    assert found.state == "running" and found.driver["alive"]
    assert found.units == {"total": 10, "done": 2, "running": 1, "failed": 0, "quarantined": 1, "waiting": 6}
    assert (found.items, found.bytes, found.rate, found.eta_s) == ({"done": 10, "total": 50}, 2_000, 2.0, 20.0)
    text = "\n".join(found.lines())
    assert "infer encoder: running" in text and "10 of 50 (20.0%)" in text and "20s left" in text
    assert json.loads(json.dumps(found.to_json()))["units"]["done"] == 2


def test_how_a_job_ended(folder: Folder) -> None:
    with pytest.raises(UserError, match="no run here"):
        status(folder / "elsewhere")
    with driving(folder) as driver:
        ledger = begun(driver, 2)
        done(ledger, "u0")
    assert status(folder).state == "stopped" and "continues from here" in status(folder).lines()[-1]
    ledger.fail(Failure("u1", "failed", "ValueError: no", "Traceback: here", 3, 5))
    assert status(folder).state == "ended incomplete"
    assert "u1: failed after 3 attempts (5 items): ValueError: no" in failure_lines(failed(folder))[0]
    assert any("Traceback: here" in line for line in failure_lines(failed(folder)))
    done(ledger, "u1")
    assert status(folder).state == "done" and failure_lines(failed(folder)) == ["nothing failed"]


def test_items_left_out_are_told(folder: Folder) -> None:
    with driving(folder) as driver:
        ledger = begun(driver, 1)
        ledger.fail(Failure("u0", EXCLUDED, "1 of 5", excluded={"clip": "SIGSEGV"}))
        done(ledger, "u0", excluded={"clip": "SIGSEGV"})
    found = status(folder)
    assert (found.state, found.items_excluded) == ("done, with failed items", 1)
    assert "invertone retry" in found.lines()[-1] and "    clip: SIGSEGV" in failure_lines(failed(folder))


def test_a_training_without_units_tells_its_updates(folder: Folder) -> None:
    with driving(folder) as driver:
        driver.tell(items=30, of_items=100, what="updates", rate=3.0)
    found = status(folder)
    assert (found.state, found.items, found.what, found.units) == (
        "stopped",
        {"done": 30, "total": 100},
        "updates",
        {"total": 0},
    )
    folder.publish_json("__invertone/summary.json", {})
    assert status(folder).state == "done"
