"""The process in which a stage works: how it ends is told, and it never outlives the one that started it."""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from invertone.cluster.errors import UserError
from invertone.cluster.formats.ledger import Output
from invertone.cluster.jobs import worker_process
from invertone.cluster.jobs.driver import Term
from invertone.cluster.jobs.engine import UnitResult
from invertone.cluster.jobs.watch import Watch
from invertone.cluster.jobs.worker_main import _Worker
from invertone.cluster.jobs.worker_process import Died, Finished, Raised, Refused, Task, WorkerProcess, early_worker
from invertone.cluster.storage.folder import Folder, sha256


@dataclass(frozen=True)
class Deeds:
    """Does what the work says, on one item."""

    refuse: bool = False

    def open(self, threads: int, watch: Watch) -> Callable[[Mapping[str, Any]], UnitResult]:
        if self.refuse:
            raise UserError("no such generator")

        def process(work: Mapping[str, Any]) -> UnitResult:
            with watch.on(["item"]):
                match work["deed"]:
                    case "segfault":
                        ctypes.string_at(0)
                    case "exit":
                        os._exit(7)
                    case "memory":
                        os.kill(os.getpid(), signal.SIGKILL)
                    case "hang":
                        time.sleep(600)
                    case "slow":
                        for _ in range(70):
                            time.sleep(0.1)
                            watch.beat()
                    case "talk":
                        print("AWS_SECRET" * 200_000, os.environ.get("MY_SECRET"), flush=True)
                    case "raise":
                        raise ValueError("no")
                    case "storage":
                        raise ConnectionError("gone")
                    case "user":
                        raise UserError("shard is damaged")
            return UnitResult(
                {"a.out": b"data"}, {"pid": os.getpid(), "threads": threads, "left": dict(watch.excluded)}
            )

        return process


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder.at(str(tmp_path / "run"))


SHARED = Path("/dev/shm")


@pytest.fixture
def worker(folder: Folder) -> Iterator[WorkerProcess]:
    process = WorkerProcess(Term(folder, 1, "s"), pickle.dumps(Deeds()), 3, stall_timeout=6.0)
    yield process
    process.stop()
    assert process._files is None


def task(deed: str, **excluded: str) -> Task:
    return Task({"deed": deed}, excluded, frozenset())


def test_units_follow_one_another_in_one_process(worker: WorkerProcess, folder: Folder) -> None:
    first, second = worker.run(task("nothing")), worker.run(task("nothing", bad="killed it"))
    assert isinstance(first, Finished) and isinstance(second, Finished)
    assert first.outputs == (Output("a.out", 4, sha256(b"data")),) and folder.read_bytes("a.out") == b"data"
    assert first.statistics["pid"] == second.statistics["pid"] != os.getpid()
    assert first.statistics["threads"] == 3 and second.statistics["left"] == {"bad": "killed it"}


@pytest.mark.parametrize(
    ("deed", "said", "words"),
    [
        ("segfault", "SIGSEGV", "string_at"),  # the fault handler's stack
        ("memory", "SIGKILL (out of memory?)", ""),
        ("exit", "exit code 7", ""),
        ("hang", "no progress for 6 s", "in process"),
    ],
)
def test_a_death_is_told_with_what_was_in_hand_and_the_next_unit_is_done(
    worker: WorkerProcess, deed: str, said: str, words: str
) -> None:
    worker.run(task("nothing"))
    answer = worker.run(task(deed))
    assert isinstance(answer, Died)
    assert said in answer.error and answer.in_hand == ("item",) and words in answer.traceback
    assert isinstance(worker.run(task("nothing")), Finished)


def test_slow_work_that_gives_signs_of_life_is_not_a_hang(worker: WorkerProcess) -> None:
    assert isinstance(worker.run(task("slow")), Finished)


@pytest.mark.parametrize(
    ("deed", "lasting", "storage"), [("raise", False, False), ("storage", False, True), ("user", True, False)]
)
def test_what_raises_is_told_by_kind(worker: WorkerProcess, deed: str, lasting: bool, storage: bool) -> None:
    answer = worker.run(task(deed))
    assert isinstance(answer, Raised)
    assert (answer.lasting, answer.storage, answer.in_hand) == (lasting, storage, ("item",))
    assert "in process" in answer.traceback


def test_a_stage_that_refuses_to_open_and_an_overtaken_driver_end_the_job(folder: Folder) -> None:
    refusing = WorkerProcess(Term(folder, 1, "s"), pickle.dumps(Deeds(refuse=True)), 1, 5.0)
    assert refusing.run(task("nothing")) == Refused("no such generator")
    refusing.stop()
    folder.publish_json("__invertone/ledger/drivers/000002.json", {})
    overtaken = WorkerProcess(Term(folder, 1, "s"), pickle.dumps(Deeds()), 1, 5.0)
    answer = overtaken.run(task("nothing"))
    assert isinstance(answer, Refused) and "another driver has taken over" in answer.error
    assert not folder.exists("a.out")
    overtaken.stop()


@pytest.mark.parametrize("end", ["killed", "exits"])
def test_it_ends_with_whoever_started_it_and_leaves_nothing_in_memory(tmp_path: Path, end: str) -> None:
    """However that one ended: by SIGKILL in the middle of work, or of itself while the worker waits for more."""
    program = (
        "import pickle, sys, threading, time\nfrom invertone.cluster.jobs.driver import Term\n"
        "from invertone.cluster.storage.folder import Folder\n"
        "from invertone.cluster.jobs.worker_process import WorkerProcess\n"
        "from tests.cluster.test_worker_process import Deeds, task\n"
        "worker = WorkerProcess(Term(Folder.at(sys.argv[1]), 1, 's'), pickle.dumps(Deeds()), 1, 600.0)\n"
        "print(worker.run(task('nothing')).statistics['pid'], flush=True)\n"
        "sys.stdin.readline()\nif sys.argv[2] == 'exits':\n    sys.exit()\nworker.run(task('hang'))\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path), end]
    before = set(SHARED.glob("invertone-*"))
    parent = subprocess.Popen(
        command, cwd=Path(__file__).parents[2], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None and parent.stdin is not None
    pid = parent.stdout.readline().strip()
    assert Path(f"/proc/{pid}").exists() and set(SHARED.glob("invertone-*")) == before
    parent.stdin.write("\n")
    parent.stdin.close()
    if end == "killed":
        time.sleep(0.5)
        parent.kill()
    parent.wait()
    parent.stdout.close()
    until = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < until, "the worker outlived its parent"
        time.sleep(0.05)


def test_a_stage_that_talks_fills_no_memory_and_its_last_words_hold_no_secret(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_SECRET", "planted-secret")
    worker = WorkerProcess(Term(folder, 1, "s"), pickle.dumps(Deeds()), 1, 5.0)
    for _ in range(3):
        assert isinstance(worker.run(task("talk")), Finished)
    assert worker._files is not None and os.fstat(worker._files[1].fileno()).st_size < 2_100_000
    answer = worker.run(task("exit"))
    assert isinstance(answer, Died) and len(answer.traceback) <= 8_000 and "planted-secret" not in answer.traceback
    worker.stop()


def test_what_it_says_of_an_error_holds_no_secret(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-secret")
    raised = _Worker(Term(folder, 1, "s"), b"", 1, Watch())._raised(ValueError("signed with planted-secret"))
    assert "planted-secret" not in raised.error + raised.traceback and "•••" in raised.error


def test_a_worker_that_was_started_early_is_taken_and_else_ended(folder: Folder) -> None:
    with early_worker("colorsys"):
        child = worker_process._EARLY[0]
        worker = WorkerProcess(Term(folder, 1, "s"), pickle.dumps(Deeds()), 1, 5.0)
        assert isinstance(worker.run(Task({"deed": "nothing"}, {}, frozenset())), Finished)
        assert worker._child is child and child.process.poll() is None
    assert child.process.poll() is None, "it works"
    worker.stop()
    with early_worker("no_such_module"):
        unused = worker_process._EARLY[0]
    assert unused.process.poll() is not None and not worker_process._EARLY


@dataclass(frozen=True)
class Large:
    """Writes a file beside its place, and tells only while files are made what it counted."""

    folder: Folder

    def open(self, threads: int, watch: Watch) -> Callable[[Mapping[str, Any]], UnitResult]:
        def process(work: Mapping[str, Any]) -> UnitResult:
            statistics, failed = dict[str, Any](), dict[str, str]()

            def outputs() -> Iterator[tuple[str, bytes | Path]]:
                path = self.folder.scratch("sounds/large.wav", Path(work["temporary"]))
                path.write_bytes(b"sound" * 2**20)
                yield "sounds/large.wav", path
                statistics["sounds"], failed["b"] = 1, "no sound"
                yield "table", b"rows"

            return UnitResult(outputs(), statistics, failed)

        return process


@pytest.mark.parametrize("remote", [False, True])
def test_a_file_larger_than_memory_is_moved_and_counted(
    folder: Folder, tmp_path: Path, remote: bool, request: pytest.FixtureRequest
) -> None:
    place = Folder.at(f"{request.getfixturevalue('s3')}/{tmp_path.name}") if remote else folder
    worker = _Worker(Term(place, 1, "s"), pickle.dumps(Large(place)), 1, Watch())
    found = worker.answer(Task({"temporary": str(tmp_path / "temporary")}, {}, frozenset()))
    data = b"sound" * 2**20
    assert found == Finished(
        (Output("sounds/large.wav", len(data), sha256(data)), Output("table", 4, sha256(b"rows"))),
        {"sounds": 1},
        {"b": "no sound"},
    )
    assert place.read_bytes("sounds/large.wav") == data and place.names("sounds") == ["large.wav"]
    assert not list((tmp_path / "temporary").rglob("*.part"))
    place.verify("sounds/large.wav", len(data), sha256(data), "")
