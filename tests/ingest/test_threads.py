"""A worker with several CPUs: the same files as with one, and whoever is to blame is still named."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from invertone.cluster.formats.shards import Clip
from invertone.cluster.jobs.watch import Recorder, Watch
from invertone.cluster.storage.folder import Folder
from invertone.ingest import job, recordings
from invertone.ingest.plan.entries import read_rows
from invertone.ingest.plan.planning import make_plan
from invertone.ingest.sources.source import list_source
from tests.ingest.layouts import configured, packed
from tests.sounds import speechlike, write_sound

CUT = [f"train/word{number % 3}/{number:02d}" for number in range(3, 30, 7)]
"""Recordings that are cut short."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty recordings; some are none, some have a twin."""
    root = tmp_path_factory.mktemp("corpus") / "c"
    for number in range(30):
        file = write_sound(root / f"train/word{number % 3}/{number:02d}.wav", speechlike(0.2 + number / 10, number))
        if number % 7 == 3:
            file.write_bytes(file.read_bytes()[:-10])
        if number % 5 == 0:
            write_sound(file.with_suffix(".flac"), speechlike(0.3, number))
    return root


def unit(source: Path, out: Path, *options: str) -> tuple[job.ShardStage, dict[str, Any]]:
    """The stage, and the work of its one unit."""
    config = configured("folder", source, out, *options)
    folder = Folder.at(str(out))
    (only,) = make_plan(config, list_source(config.source), folder).units
    return job.ShardStage(folder, config), dict(only.work)


def made(stage: job.ShardStage, work: Mapping[str, Any], threads: int, watch: Watch) -> dict[str, Any]:
    result = stage.open(threads, watch)(work)
    return {"statistics": result.statistics, **dict(result.files())}


@pytest.mark.parametrize("container", ["folder", ".tar.gz", ".zip"])
def test_any_number_of_threads_makes_the_same_files(corpus: Path, tmp_path: Path, container: str) -> None:
    source = corpus if container == "folder" else packed(corpus, container)
    stage, work = unit(source, tmp_path / "out", "window=all")
    alone = made(stage, work, 1, Watch())
    assert alone["statistics"]["rejects"] > 3
    for threads in (2, 5):
        assert made(stage, work, threads, Watch()) == alone


def test_suspects_are_worked_on_alone(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage, work = unit(corpus, tmp_path / "out")
    usual = made(stage, work, 1, Watch())
    recorder = Recorder((tmp_path / "recorder").open("w+b"), create=True)
    watch, seen, real = Watch(recorder), list[tuple[str, list[str]]](), recordings.Recorded.clips

    def spied(self: recordings.Recorded) -> Any:
        for clip in real(self):
            seen.append((self.row["key"], recorder.read()))
            yield clip

    monkeypatch.setattr(recordings.Recorded, "clips", spied)
    suspects = {"train/word0/00", "train/word2/05", "train/word1/16"}
    watch.start({"train/word1/22": "killed its worker"}, frozenset(suspects))
    found = made(stage, work, 4, watch)
    assert {key: in_hand for key, in_hand in seen if key in suspects} == {key: [key] for key in suspects}
    assert [key for key, _ in seen if key in suspects] == [key for key, _ in seen][-3:]
    assert "train/word1/22" not in {key for key, _ in seen}
    assert found["statistics"]["clips"] == usual["statistics"]["clips"] - 1
    assert recorder.read() == []


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_names_what_it_came_of_and_nothing_stays_in_hand(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    """Not a recording that was found wanting before it."""
    stage, work = unit(corpus, tmp_path / "out")
    *_, trap = (files[0]["key"] for files in read_rows(stage.folder, 0) if files[0]["key"] not in CUT)
    assert any(files[0]["key"] in CUT for files in read_rows(stage.folder, 0)[:20])
    recorder = Recorder((tmp_path / "recorder").open("w+b"), create=True)
    watch, begun = Watch(recorder), list[str]()
    monkeypatch.setattr(job, "AHEAD", 2)

    def failing(self: recordings.Recorded) -> list[Clip]:
        begun.append(self.row["key"])
        if self.row["key"] == trap:
            raise MemoryError("a trap")
        return []

    monkeypatch.setattr(recordings.Recorded, "clips", failing)
    with pytest.raises(MemoryError, match="a trap"):
        made(stage, work, threads, watch)
    assert watch.raised_in == [trap]
    assert recorder.read() == []


def test_threads_work_at_once(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage, work = unit(corpus, tmp_path / "out")
    together = threading.Barrier(2, timeout=30)
    real, first = recordings.encode, list[int]()

    def met(*arguments: Any) -> bytes:
        if len(first) < 2:
            first.append(0)
            together.wait()
        return real(*arguments)

    monkeypatch.setattr(recordings, "encode", met)
    assert made(stage, work, 2, Watch())["statistics"]["clips"] > 0
