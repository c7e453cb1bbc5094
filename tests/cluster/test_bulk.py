"""The frame of bulk jobs: what is written, said and raised, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from invertone.cluster.config.schema import REQUIRED, key
from invertone.cluster.config.shared import BulkConfig
from invertone.cluster.errors import JobIncompleteError, UserError
from invertone.cluster.formats.ledger import Unit
from invertone.cluster.formats.runs import SUMMARY
from invertone.cluster.jobs import bulk
from invertone.cluster.jobs.bulk import bulk_job
from invertone.cluster.jobs.driver import latest
from invertone.cluster.jobs.engine import UnitResult
from invertone.cluster.jobs.watch import Watch
from invertone.cluster.storage.folder import Folder


@dataclass(frozen=True)
class Config(BulkConfig):
    out: str = key(REQUIRED, "run folder", path=True, neutral=True)
    seed: int = key(0, "decides")


@dataclass(frozen=True)
class OnDevice(Config):
    device: str = key("auto", "where", neutral=True)


@dataclass(frozen=True)
class Counter:
    """Counts; what has a minus cannot be counted."""

    def open(self, threads: int, watch: Watch) -> Callable[[Mapping[str, Any]], UnitResult]:
        return lambda work: UnitResult(
            {f"{work['number']}.txt": b"1"}, {"sum": work["number"]}, {"a": "minus"} if work["number"] < 0 else {}
        )


def units(*numbers: int) -> list[Unit]:
    return [Unit(f"u{number}", {"number": number}, items=2) for number in numbers]


def count(config: Config, *numbers: int) -> None:
    with bulk_job("count", "up", config, {"numbers": "abc"}) as job:
        outcome = job.run_units(Counter(), units(*numbers))
        job.summarise({"total": outcome.statistics["sum"]})
        job.say("counted", f"to {outcome.statistics['sum']}")


def test_summary_then_what_is_said_then_what_has_no_result(
    in_process: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = Config(out=str(tmp_path / "out"))
    with pytest.raises(JobIncompleteError, match="1 of 4 items have an error in place of a result"):
        count(config, 5, -2)
    assert capsys.readouterr().out == "counted\nto 3\n"
    folder = Folder.at(config.out)
    summary = folder.read_json(SUMMARY)
    assert (summary["units"], summary["items"], summary["items_excluded"], summary["total"]) == (2, 4, 1, 3)
    seen = latest(folder)
    assert seen is not None and seen.ended


def test_the_term_is_over_when_it_is_said(in_process: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, ended = Folder.at(str(tmp_path / "out")), list[bool]()

    def heard(line: str) -> None:
        seen = latest(folder)
        assert seen is not None
        ended.append(seen.ended)

    monkeypatch.setattr(bulk, "print", heard, raising=False)
    count(Config(out=folder.uri), 1)
    assert ended == [True, True]


def test_a_job_that_fails_says_nothing_and_gives_its_folder_back(
    in_process: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = Config(out=str(tmp_path / "out"))
    with pytest.raises(UserError, match="nothing came"), bulk_job("count", "up", config, {}) as job:
        job.run_units(Counter(), units(-1))
        job.say("counted")
        raise UserError("nothing came of it")
    assert capsys.readouterr().out == ""
    again = Config(out=config.out, workers=3)
    with pytest.raises(JobIncompleteError), bulk_job("count", "up", again, {}) as job:
        assert job.run_units(Counter(), units(-1)).new == 0
    with pytest.raises(UserError, match="seed: 0 → 1"), bulk_job("count", "up", Config(out=config.out, seed=1), {}):
        pytest.fail("begun")


def test_settings_and_device_are_the_config_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[dict[str, Any]]()

    def run_units(*words: Any, **options: Any) -> Any:
        asked.append(options)
        raise UserError("enough")

    monkeypatch.setattr(bulk, "run_units", run_units)
    for number, config in enumerate((Config(out=str(tmp_path / "a")), OnDevice(out=str(tmp_path / "b")))):
        with pytest.raises(UserError, match="enough"), bulk_job("count", "up", config, {}) as job:
            job.run_units(Counter(), units(1), items="numbers")
        told = asked[number]
        assert (told["what"], told["items"], told["settings"]) == ("count up", "numbers", config)
    assert [told["device"] for told in asked] == ["cpu", "auto"]
