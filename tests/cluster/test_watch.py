"""The flight recorder: what a process had in hand is readable after its death, whenever that was."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invertone.cluster.jobs.watch import Recorder, Watch


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return Recorder((tmp_path / "recorder").open("w+b"), create=True)


def test_items_in_hand_are_recorded_and_every_sign_of_life_counts(recorder: Recorder) -> None:
    watch = Watch(recorder)
    assert recorder.read() == [] and recorder.progress == 0
    with watch.on(["a", "ü"]):
        assert recorder.read() == ["a", "ü"]
        with watch.on(["a", "b"]):
            assert recorder.read() == ["a", "ü", "b"]
            before = recorder.progress
            watch.beat()
            assert recorder.progress == before + 1 and recorder.read() == ["a", "ü", "b"]
        assert recorder.read() == ["a", "ü"]
    assert recorder.read() == [] and recorder.progress > before


def test_an_exception_names_the_innermost_items_and_a_new_unit_forgets_them(recorder: Recorder) -> None:
    watch = Watch(recorder)
    with pytest.raises(ValueError), watch.on(["a", "b"]), watch.on(["b"]):
        raise ValueError
    assert watch.raised_in == ["b"] and recorder.read() == []
    watch.start({"x": "killed it"}, frozenset("y"))
    assert watch.raised_in == [] and watch.excluded == {"x": "killed it"}


def test_threads_overlap(recorder: Recorder) -> None:
    watch, together = Watch(recorder), threading.Barrier(8)

    def work(name: str) -> None:
        together.wait()
        for number in range(200):
            with watch.on([f"{name}{number}"]):
                watch.beat()

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert recorder.read() == [] and recorder.progress == 8 * 200 * 3


def test_a_killed_process_leaves_what_it_had_in_hand(tmp_path: Path) -> None:
    Recorder((tmp_path / "recorder").open("w+b"), create=True).close()
    program = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom invertone.cluster.jobs.watch import Recorder, Watch\n"
        "watch = Watch(Recorder(Path(sys.argv[1]).open('r+b')))\n"
        "with watch.on(['guilty']):\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "recorder")], cwd=Path(__file__).parents[2])
    assert done.returncode == -9
    assert Recorder((tmp_path / "recorder").open("r+b")).read() == ["guilty"]
    assert (tmp_path / "recorder").stat().st_blocks * 512 < 100_000  # only what was touched takes memory


def test_more_than_fits_is_refused(recorder: Recorder) -> None:
    with pytest.raises(AssertionError, match="too many items"):
        recorder.write(["x" * 100] * 100_000)


@given(st.sets(st.integers(0, 40)), st.sets(st.integers(0, 40)), st.sets(st.integers(0, 40)), st.integers(1, 9))
def test_batches_hold_everything_once_suspects_alone_and_last(
    items: set[int], suspects: set[int], excluded: set[int], size: int
) -> None:
    watch = Watch()
    watch.start({str(item): "" for item in excluded}, frozenset(map(str, suspects)))
    batches = list(watch.batches(sorted(items), size, str))
    assert sorted(item for batch in batches for item in batch) == sorted(items - excluded)
    assert all(len(batch) == 1 for batch in batches if suspects & set(batch))
    kinds = [bool(suspects & set(batch)) for batch in batches]
    assert kinds == sorted(kinds) and all(len(batch) <= size for batch in batches)
