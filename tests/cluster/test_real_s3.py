"""Storage on a real S3 server: whole objects also when it is killed; of many creators of one object exactly one wins."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import TYPE_CHECKING

import fsspec
import numpy as np
import pytest
from botocore.exceptions import BotoCoreError

from invertone.cluster.storage.folder import Folder

if TYPE_CHECKING:
    from tests.servers import Ceph

MIB = 2**20
CREATORS = 16


@pytest.fixture
def folder(ceph: Ceph, monkeypatch: pytest.MonkeyPatch) -> Iterator[Folder]:
    for name, value in ceph.environment.items():
        monkeypatch.setenv(name, value)
    fsspec.filesystem("s3").clear_instance_cache()
    yield Folder.at(f"{ceph.bucket}/{uuid.uuid4().hex}")
    fsspec.filesystem("s3").clear_instance_cache()


def test_a_folder_round_trip(folder: Folder) -> None:
    assert (folder.names(), folder.folders(), folder.exists("a")) == ([], [], False)
    folder.publish_bytes("a", b"older, longer")
    folder.publish_bytes("a", b"\0\1")
    folder.publish_json("sub/ü b+.json", {"z": 1})
    assert (folder.names(), folder.folders(), folder.names("sub")) == (["a"], ["sub"], ["ü b+.json"])
    assert (folder.read_bytes("a"), folder.size("a"), folder.read_json("sub/ü b+.json")) == (b"\0\1", 2, {"z": 1})
    with folder.open("a") as file:
        assert file.read() == b"\0\1"
    folder.remove("a")
    folder.remove("sub")
    assert (folder.names(), folder.folders(), folder.exists("a")) == ([], [], False)
    with pytest.raises(FileNotFoundError):
        folder.read_bytes("a")


def test_a_large_object_is_whole_in_one_put_and_in_parts(folder: Folder, rng: np.random.Generator) -> None:
    data = rng.bytes(12 * MIB)
    folder.publish_bytes("one", data)
    fsspec.filesystem("s3").pipe_file(folder.path_of("parts"), data, chunksize=5 * MIB)
    for name in ("one", "parts"):
        assert folder.size(name) == len(data)
        assert folder.read_bytes(name) == data


def test_of_many_creators_exactly_one_wins(folder: Folder) -> None:
    rounds = 4
    together = threading.Barrier(CREATORS, timeout=60)

    def create(number: int) -> list[bool]:
        folder.exists("warm")  # each thread has a client of its own, which is slow to make
        won = []
        for turn in range(rounds):
            together.wait()
            won.append(folder.create_bytes(f"{turn}", b"%d" % number * 10_000))
        return won

    with ThreadPoolExecutor(CREATORS) as pool:
        won = list(pool.map(create, range(CREATORS)))
    for turn in range(rounds):
        winners = [number for number in range(CREATORS) if won[number][turn]]
        assert len(winners) == 1
        assert folder.read_bytes(f"{turn}") == b"%d" % winners[0] * 10_000


def test_a_second_create_is_refused_and_a_repeated_one_is_not(folder: Folder) -> None:
    assert folder.create_bytes("a", b"first")
    assert not folder.create_bytes("a", b"second")
    assert folder.read_bytes("a") == b"first"
    assert folder.create_bytes("a", b"first")
    folder.remove("a")
    assert folder.create_bytes("a", b"second")


def test_a_gateway_killed_in_the_middle_of_publishing_leaves_no_part_of_an_object(ceph: Ceph, folder: Folder) -> None:
    begun = threading.Event()

    def kill_and_start_again() -> None:
        for turn in range(3):
            begun.clear()
            assert begun.wait(60)
            time.sleep(0.02 + 0.04 * turn)
            ceph.kill()
            ceph.start()

    tried: dict[str, list[int]] = {name: [] for name in "abcd"}  # with which contents, the last one last
    failed = set()
    with ThreadPoolExecutor(1) as pool:
        killer = pool.submit(kill_and_start_again)
        for turn in count():
            name, content = "abcd"[turn % 4], turn % 251
            tried[name].append(content)
            begun.set()
            try:
                folder.publish_bytes(name, bytes([content]) * (8 * MIB))
                failed.discard(name)
            except (OSError, BotoCoreError):  # the gateway was away for longer than botocore tries
                failed.add(name)
            if killer.done() and (turn > 20 or killer.exception() is not None):
                break  # a gateway that does not come back would be waited for in every turn
        killer.result()
    assert set(tried) - failed <= set(folder.names())
    for name in folder.names():
        data = folder.read_bytes(name)
        assert data == data[:1] * (8 * MIB)
        assert data[0] in (tried[name] if name in failed else tried[name][-1:])
