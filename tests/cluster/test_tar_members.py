"""Plain tars are read as tarfile reads them, and what is not plain by tarfile itself."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from invertone.cluster.formats import tar_members
from invertone.cluster.formats.tar_members import files_of_tar

NAMES = st.one_of(
    st.text("abc./-_ ", min_size=1, max_size=12).filter(lambda name: name.strip("./ ") == name),
    st.text("ab/c", min_size=90, max_size=180).filter(lambda name: "//" not in name and name.strip("/") == name),
    st.text("äb→c", min_size=1, max_size=9),
)
FILES = st.lists(st.tuples(NAMES, st.binary(max_size=1_500)), max_size=6)
FORMATS = st.sampled_from([tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT])


def tar_of(files: list[tuple[str, bytes]], form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@given(FILES, FORMATS)
def test_every_tar_is_read_as_tarfile_reads_it(files: list[tuple[str, bytes]], form: int) -> None:
    try:
        data = tar_of(files, form)
    except (ValueError, UnicodeError):  # a name that this format cannot hold
        return
    assert list(files_of_tar(data)) == by_tarfile(data)


@settings(max_examples=300)
@given(st.data())
def test_a_damaged_one_too(data: st.DataObject) -> None:
    whole = bytearray(tar_of([("a/b.flac", bytes(range(256)) * 3), ("a/b.json", b"{}"), ("c.flac", b"x")]))
    if data.draw(st.booleans()):
        whole = whole[: data.draw(st.integers(0, 4_096))]
    else:
        whole[data.draw(st.integers(0, 4_095))] ^= data.draw(st.integers(1, 255))
    assert outcome(bytes(whole), files_of_tar) == outcome(bytes(whole), by_tarfile)


def test_ours_need_no_tarfile(monkeypatch: pytest.MonkeyPatch) -> None:
    data = tar_of([("speaker/one.flac", b"1" * 600), ("speaker/one.json", b"{}")])
    monkeypatch.setattr(tar_members.tarfile, "open", None)
    assert [name for name, _ in files_of_tar(data)] == ["speaker/one.flac", "speaker/one.json"]


def outcome(data: bytes, read: object) -> object:
    try:
        return list(read(data))  # type: ignore[operator]
    except (tarfile.TarError, EOFError, OSError) as error:
        return type(error)


def by_tarfile(data: bytes) -> list[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        return [(info.name, archive.extractfile(info).read()) for info in archive if info.isfile()]  # type: ignore[union-attr]
