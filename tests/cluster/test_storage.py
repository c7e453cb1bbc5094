"""Storage: files appear whole or not at all, on local disk, in memory and on S3."""

from __future__ import annotations

import os
import threading
import uuid
from pathlib import Path
from typing import Any

import pytest

from invertone.cluster.errors import UserError
from invertone.cluster.storage.addresses import absolute, filesystem, is_remote, refuse_unserved
from invertone.cluster.storage.folder import Folder, digested, json_bytes, sha256, unfinished


def test_what_is_published_reads_back_and_is_listed(folder: Folder) -> None:
    folder.publish_bytes("b.bin", b"\0\1")
    folder.publish_json("sub/a.json", {"z": 1, "a": [None, "ü"]})
    assert folder.read_bytes("b.bin") == b"\0\1"
    assert folder.read_json("sub/a.json") == {"z": 1, "a": [None, "ü"]}
    assert list(folder.read_lines("sub/a.json"))[:2] == ["{", '  "a": [']
    with folder.open("b.bin") as file:
        assert file.read() == b"\0\1"
    assert (folder.names(), folder.folders(), folder.names("sub")) == (["b.bin"], ["sub"], ["a.json"])
    assert folder.size("b.bin") == 2
    assert folder.exists("b.bin")
    assert folder.exists("sub/a.json")
    assert (folder / "sub").names() == ["a.json"]


def test_a_folder_that_is_not_there_is_empty(folder: Folder) -> None:
    assert (folder.names(), folder.folders(), folder.exists(), folder.exists("x")) == ([], [], False, False)
    with pytest.raises(FileNotFoundError):
        folder.read_bytes("x")
    folder.remove("x")


def test_publishing_again_replaces(folder: Folder) -> None:
    folder.publish_bytes("a", b"first, longer")
    folder.publish_bytes("a", b"second")
    assert folder.read_bytes("a") == b"second"
    assert folder.size("a") == 6
    assert folder.names() == ["a"]


def test_files_and_whole_folders_are_removed(folder: Folder) -> None:
    for name in ("a", "sub/b", "sub/deeper/c"):
        folder.publish_bytes(name, b"x")
    folder.remove("a")
    folder.remove("sub")
    assert (folder.names(), folder.folders(), folder.exists("sub/deeper/c")) == ([], [], False)


def test_a_finished_file_is_moved_into_place(folder: Folder, tmp_path: Path) -> None:
    scratch = folder.scratch("sub/a.tar", tmp_path / "scratch")
    scratch.write_bytes(b"whole")
    assert folder.names("sub") == []
    folder.publish_file("sub/a.tar", scratch)
    assert folder.read_bytes("sub/a.tar") == b"whole"
    assert folder.names("sub") == ["a.tar"]
    assert not scratch.exists()


def test_a_file_is_verified_without_being_held(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("invertone.cluster.storage.folder._BLOCK_BYTES", 3)
    folder.publish_bytes("a", b"some data")
    beats = list[int]()
    with folder.open("a") as file:
        assert digested(file, lambda: beats.append(1)) == (9, sha256(b"some data"))
    assert len(beats) == 3
    folder.verify("a", 9, sha256(b"some data"), "")
    for name, size, digest, said in (
        ("a", 8, sha256(b"some data"), "has 9 bytes, 8 were recorded"),
        ("a", 9, sha256(b"same data"), r"content differs from what was recorded \(sha256\)"),
        ("b", 9, sha256(b"some data"), "file is missing"),
    ):
        with pytest.raises(UserError, match=f"{said}; look again"):
            folder.verify(name, size, digest, "look again")


def test_another_writer_s_file_is_seen_although_the_folder_was_listed_before(s3: str) -> None:
    import boto3

    name = uuid.uuid4().hex
    folder = Folder.at(f"{s3}/{name}")
    folder.publish_bytes("sub/a", b"1")
    assert folder.names("sub") == ["a"]
    assert not folder.exists("sub/b")
    boto3.client("s3").put_object(Bucket="corpus", Key=f"{name}/sub/b", Body=b"four")
    boto3.client("s3").put_object(Bucket="corpus", Key=f"{name}/sub/a", Body=b"longer")
    assert folder.exists("sub/b")
    assert folder.size("sub/a") == 6
    assert folder.names("sub") == ["a", "b"]
    with folder.open("sub/a") as file:
        assert file.read() == b"longer"


def test_a_reader_never_sees_a_part_of_a_local_file(tmp_path: Path) -> None:
    folder = Folder.at(str(tmp_path / "x"))
    wholes = [bytes([value]) * 300_000 for value in (1, 2)]
    folder.publish_bytes("a", wholes[0])
    stop, torn, reads = threading.Event(), [], []

    def watch() -> None:
        while not stop.is_set():
            found = folder.read_bytes("a")
            reads.append(1)
            if found not in wholes or folder.names() != ["a"]:
                torn.append(len(found))

    reader = threading.Thread(target=watch)
    reader.start()
    for turn in range(60):
        folder.publish_bytes("a", wholes[turn % 2])
    stop.set()
    reader.join()
    assert reads
    assert not torn


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_a_failure_while_publishing_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    folder = Folder.at(str(tmp_path / "x"))
    folder.publish_bytes("a", b"old")

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    if step == "replace":
        monkeypatch.setattr(Path, "replace", fail)
    elif step == "fsync":
        monkeypatch.setattr(os, "fsync", fail)
    data: Any = b"new" if step != "write" else _Unwritable()
    with pytest.raises((OSError, TypeError)):
        folder.publish_bytes("a", data)
    assert (tmp_path / "x/a").read_bytes() == b"old"
    assert [each.name for each in (tmp_path / "x").iterdir()] == ["a"]


class _Unwritable:
    """Stands for data whose writing fails in the middle."""


def test_a_failing_upload_publishes_nothing(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder.at(f"{s3}/{uuid.uuid4().hex}")
    with pytest.raises(FileNotFoundError):
        folder.publish_file("a", tmp_path / "never-written")
    with pytest.raises((TypeError, ValueError, AttributeError)):
        folder.publish_bytes("b", _Unwritable())  # type: ignore[arg-type]
    assert folder.names() == []


def test_unfinished_files_are_not_listed(tmp_path: Path) -> None:
    folder = Folder.at(str(tmp_path))
    folder.publish_bytes("a", b"x")
    unfinished(tmp_path / "b").write_bytes(b"half")
    assert folder.names() == ["a"]


@pytest.mark.parametrize("name", ["a::b", "memory::x", "100%", "a b", "[a]*?", "#1", "ünï", "a@b:c"])
def test_any_local_folder_name_works(tmp_path: Path, name: str) -> None:
    folder = Folder.at(str(tmp_path / name))
    folder.publish_bytes("sub/a", b"x")
    assert (tmp_path / name / "sub/a").read_bytes() == b"x"
    assert folder.read_bytes("sub/a") == b"x"
    assert folder.folders() == ["sub"]
    folder.remove("sub")
    assert folder.folders() == []


def test_places_are_made_absolute_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute("x/y") == absolute(absolute("x/y")) == str(tmp_path / "x/y")
    assert absolute("file:///x/y") == "/x/y"
    assert absolute("~/x") == str(Path.home() / "x")
    assert absolute("s3://b/x/") == "s3://b/x"
    assert [is_remote(each) for each in ("s3://b", "gs://b/x", "x/y", "/x", "file:///x")] == [True, True] + [False] * 3


@pytest.mark.parametrize(
    "address",
    [
        "s3://AKIDEXAMPLE:pa55word@bucket/x",
        "s3://AKIDEXAMPLE@bucket/x",
        "s3://AKIDEXAMPLE:pa55/word+@bucket/x",
        "https://AKIDEXAMPLE:pa55word@example.org:8080/x",
    ],
)
def test_credentials_in_an_address_are_refused_and_not_repeated(address: str) -> None:
    for use in (absolute, filesystem, Folder.at, lambda each: Folder(each).read_bytes("a")):
        with pytest.raises(UserError) as caught:
            use(address)
        assert "credentials do not belong in an address" in str(caught.value)
        assert "pa55" not in str(caught.value)
        assert "AKIDEXAMPLE" not in str(caught.value)


@pytest.mark.parametrize(
    "address", ["s3://bucket/someone@example/x", "http://example.org:8080/a@b", "memory://a:1/b@c"]
)
def test_an_at_sign_in_a_path_is_no_credential(address: str) -> None:
    assert absolute(address) == address


def test_a_scheme_that_nothing_serves_is_a_user_error() -> None:
    with pytest.raises(UserError, match="cannot be reached: Protocol not known: nosuch"):
        Folder.at("nosuch://b/x").exists("a")


def test_json_is_stable_and_refuses_nan() -> None:
    assert json_bytes({"b": 1, "a": 2}) == json_bytes({"a": 2, "b": 1}) == b'{\n  "a": 2,\n  "b": 1\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_bytes({"a": float("nan")})


@pytest.mark.parametrize(
    ("uri", "to_write", "said"),
    [
        (
            "s4://b/x",
            False,
            "s4://…: no storage is called s4; use a local path, or an address such as s3://bucket/folder; did",
        ),
        ("gs://b/x", False, "gs://…: cannot be reached: Please install gcsfs"),
        ("https://h/x", True, "https://…: can be read and not written; use a local path or s3:// as out"),
    ],
)
def test_an_address_that_cannot_do_is_refused_before_anybody_is_asked(uri: str, to_write: bool, said: str) -> None:
    with pytest.raises(UserError) as refused:
        refuse_unserved(uri, to_write=to_write)
    assert str(refused.value).startswith(said)
    for good in ("s3://b/x", "memory://x", "x/y", "file:///x", "https://h/x", "shipped:digits"):
        refuse_unserved(good)
