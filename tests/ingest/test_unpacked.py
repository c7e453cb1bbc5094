"""What a compressed archive unpacks to: whatever is kept of it, and whatever is damaged, the same bytes are read."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invertone.ingest.sources import unpacked as module
from invertone.ingest.sources.unpacked import Unpacked

CONTENT = bytes(range(256)) * 8


class Counted(io.BytesIO):
    """Counts the bytes that are read of it, in what order it may; fails for what touches byte `damaged`."""

    def __init__(self, content: bytes, damaged: int | None = None) -> None:
        super().__init__(content)
        self.unpacked, self.damaged = 0, damaged

    def read(self, size: int | None = -1) -> bytes:
        begins = self.tell()
        data = super().read(size)
        self.unpacked += len(data)
        if self.damaged is not None and begins <= self.damaged < begins + len(data):
            raise EOFError("damaged")
        return data


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STRETCH_BYTES", 256)
    monkeypatch.setattr(module, "LEFT_FREE", 0.0)


def read(file: Any, offset: int, size: int) -> bytes:
    file.seek(offset)
    found = b""
    while len(found) < size and (data := file.read(size - len(found))):
        found += data
    return found


PLACES = st.lists(st.tuples(st.integers(0, 2_100), st.integers(0, 700)), min_size=1, max_size=20)


@given(PLACES, st.booleans(), st.sampled_from([0, 300, 1 << 20]))
def test_every_place_reads_as_without_it(places: list[tuple[int, int]], jumps: bool, most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "KEPT_BYTES", most)
        file = Unpacked(Counted(CONTENT), jumps=jumps)
        for offset, size in places:
            assert read(file, offset, size) == CONTENT[offset : offset + size]


@pytest.mark.parametrize("jumps", [True, False])
def test_every_stretch_is_unpacked_once(jumps: bool) -> None:
    counted = Counted(CONTENT)
    file = Unpacked(counted, jumps=jumps)
    for _ in range(3):
        for offset in range(1_000, len(CONTENT), 97):
            assert read(file, offset, 50) == CONTENT[offset : offset + 50]
    assert counted.unpacked == len(CONTENT) - (1_000 // 256 * 256 if jumps else 0)


@pytest.mark.parametrize("jumps", [True, False])
@pytest.mark.parametrize("damaged", [0, 700, 2_047])
def test_what_is_whole_beside_damage_is_read(jumps: bool, damaged: int) -> None:
    file = Unpacked(Counted(CONTENT, damaged), jumps=jumps)
    for _ in range(2):
        for offset in range(0, len(CONTENT), 32):
            if offset <= damaged < offset + 32:
                with pytest.raises(EOFError):
                    read(file, offset, 32)
            else:
                assert read(file, offset, 32) == CONTENT[offset : offset + 32]


def test_a_disk_without_room_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEFT_FREE", 1.0)
    counted = Counted(CONTENT)
    file = Unpacked(counted, jumps=True)
    assert read(file, 100, 50) == read(file, 100, 50) == CONTENT[100:150]
    assert counted.unpacked == 100
    assert file._kept is None


def test_a_disk_that_is_full_costs_nothing_but_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_write", full)
    file = Unpacked(Counted(CONTENT), jumps=False)
    assert read(file, 900, 600) == CONTENT[900:1_500]
    assert file._ends == {}
