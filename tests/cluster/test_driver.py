"""One driver per run folder: the living one refuses others, a dead one is followed, an overtaken one is told."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from invertone.cluster.errors import UserError
from invertone.cluster.jobs import driver as module
from invertone.cluster.jobs.driver import DRIVERS, driving, latest
from invertone.cluster.storage.folder import Folder


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT_S", 0.05)
    monkeypatch.setattr(module, "LEASE_S", 0.5)


def test_terms_follow_one_another(folder: Folder) -> None:
    assert latest(folder) is None
    for number in (1, 2):
        with driving(folder) as driver:
            assert driver.term.number == number and not driver.term.superseded()
            seen = latest(folder)
            assert seen is not None and seen.alive and not seen.ended and seen.record["pid"] == os.getpid()
        seen = latest(folder)
        assert seen is not None and seen.ended and not seen.alive


def test_a_driver_that_raises_ends_its_term(folder: Folder) -> None:
    with pytest.raises(ZeroDivisionError), driving(folder):
        raise ZeroDivisionError
    with driving(folder) as driver:
        assert driver.term.number == 2


@pytest.mark.parametrize("wrong_s", [-3_600.0, 0.0, 3_600.0])
def test_a_clock_that_goes_wrong_makes_no_driver_live_or_dead(
    folder: Folder, wrong_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a driver on another machine: whether its beat moves tells, when its time is not this moment's."""
    monkeypatch.setattr(module, "BEAT_S", 0.5)  # so that a machine which stalls for a moment kills nobody
    elsewhere = {"session": "s", "host": "far", "machine": "another", "pid": 1, "born": "1", "started": time.time()}
    folder.create_json(f"{DRIVERS}/000001.json", elsewhere)
    over = threading.Event()

    def beat(number: int) -> None:
        folder.publish_json(f"{DRIVERS}/000001.beat.json", {"beats": number, "at": time.time() + wrong_s})

    def live() -> None:
        number = 0
        while not over.wait(0.02):
            beat(number := number + 1)

    living = threading.Thread(target=live)
    living.start()
    time.sleep(0.1)
    seen = latest(folder)
    over.set()
    living.join()
    assert seen is not None and seen.alive
    time.sleep(2.5 * module.BEAT_S)
    seen = latest(folder)
    assert seen is not None and not seen.alive


def test_of_many_that_begin_together_one_drives(folder: Folder) -> None:
    """The others are refused: none waits, none writes."""
    together, inside, refused = threading.Barrier(8), list[int](), list[str]()

    def contend() -> None:
        together.wait()
        try:
            with driving(folder) as driver:
                inside.append(driver.term.number)
                gate.wait(30)
        except UserError as error:
            refused.append(str(error))
            if len(refused) == 7:
                gate.set()

    gate = threading.Event()
    threads = [threading.Thread(target=contend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert inside == [1] and len(refused) == 7 and "another driver is at work here" in refused[0]


def test_a_driver_killed_on_this_machine_is_followed_at_once(tmp_path: Path) -> None:
    program = (
        "import sys, time\nfrom invertone.cluster.jobs.driver import driving\n"
        "from invertone.cluster.storage.folder import Folder\n"
        "with driving(Folder.at(sys.argv[1])):\n    print('in', flush=True)\n    time.sleep(600)\n"
    )
    root = Path(__file__).parents[2]
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], cwd=root, stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"in\n"
    with pytest.raises(UserError, match=f"process {process.pid} on "), driving(Folder.at(str(tmp_path))):
        pass
    process.kill()  # not reaped yet: a zombie drives nothing
    time.sleep(0.2)
    began = time.monotonic()
    with driving(Folder.at(str(tmp_path))) as driver:
        assert driver.term.number == 2
    assert time.monotonic() - began < module.LEASE_S / 2
    process.wait()
    process.stdout.close()


@pytest.mark.usefixtures("hasty")
def test_another_machine_s_driver_is_judged_by_whether_its_beat_moves(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(module, "_machine", lambda: "another machine")
        first = driving(folder)
        driver = first.__enter__()
    with pytest.raises(UserError, match="another driver is at work here"), driving(folder):
        pass
    assert "watching" in capsys.readouterr().err

    folder.publish_json(f"{DRIVERS}/000009.json", {"host": "b", "machine": "another machine", "pid": 1, "started": 0})
    began = time.monotonic()
    with driving(folder) as next_one:  # term 9 gives no sign of life
        assert next_one.term.number == 10
        assert time.monotonic() - began >= module.LEASE_S
    assert not driver.term.superseded()  # it asks about its own successor
    first.__exit__(None, None, None)


def test_an_overtaken_driver_is_told(folder: Folder) -> None:
    with driving(folder) as driver:
        driver.check()
        folder.publish_json(f"{DRIVERS}/000002.json", {})
        assert driver.term.superseded()
        with pytest.raises(UserError, match="another driver has taken over this run"):
            driver.check()


@pytest.mark.usefixtures("hasty")
def test_progress_is_written_beside_the_beat(folder: Folder) -> None:
    with driving(folder) as driver:
        driver.tell(items=7)
        until = time.monotonic() + 10
        while (seen := latest(folder)) is None or seen.beat.get("items") != 7:
            assert time.monotonic() < until
            time.sleep(0.05)
    seen = latest(folder)
    assert seen is not None and seen.beat["items"] == 7 and "ended" in seen.beat


def test_a_process_that_took_over_a_number_is_not_the_driver() -> None:
    """Process numbers are given again after a while; when a process began tells them apart."""
    mine = module._this_process()
    assert module._lives_here(mine) is True
    assert module._lives_here({**mine, "born": "1"}) is False
    assert module._lives_here({**mine, "machine": "b"}) is None
    process = multiprocessing.get_context("spawn").Process(target=int)
    process.start()
    process.join()
    assert module._lives_here({**mine, "pid": process.pid or 0, "born": "5"}) is False
