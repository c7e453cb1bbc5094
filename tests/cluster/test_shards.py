"""Shards: byte-identical, verified before the first clip is given out, readable by WebDataset itself."""

from __future__ import annotations

import dataclasses
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
import webdataset
from hypothesis import given
from hypothesis import strategies as st
from webdataset.tariterators import group_by_keys, tar_file_expander

from invertone.cluster.errors import UserError
from invertone.cluster.formats.shards import (
    MANIFEST,
    Clip,
    ClipInfo,
    ShardEntry,
    ShardManifest,
    clip_key,
    load_manifest,
    parse_shard,
    read_shard,
    window_key,
    write_shard,
)
from invertone.cluster.formats.signals import USUAL
from invertone.cluster.storage.folder import Folder, sha256
from tests.made import made_shards

COMPONENT = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/"), min_size=1, max_size=12)
NAMES = (
    COMPONENT | st.from_regex(r"[a_.%@ ]{1,8}", fullmatch=True) | st.sampled_from(["__x__", "a.b", ".a", "..", "a."])
)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)


def clip(key: str, audio: bytes = b"sound", audio_format: str = "flac", **more: Any) -> Clip:
    info = ClipInfo(key, "train", f"/corpus/{key}.wav", 0, 16_384, 16_000, **more)
    return Clip(info, audio, audio_format)


CLIPS = [
    clip("zero/a_nohash_0", b"\0\1", label=0, label_name="zero", speaker="a"),
    clip("one/ü", b"\2" * 700, "wav", label=1, gender="F", pitch=60),
    clip("deep/er/" + "long" * 40, b"fLaC"),
]


@pytest.fixture
def shards(tmp_path: Path) -> tuple[Folder, ShardEntry]:
    folder, data = Folder.at(str(tmp_path)), write_shard(CLIPS)
    folder.publish_bytes("train-000000.tar", data)
    return folder, ShardEntry("train-000000.tar", "train", len(CLIPS), len(data), sha256(data))


def test_clips_read_back_equal_and_in_order(shards: tuple[Folder, ShardEntry]) -> None:
    assert list(read_shard(*shards)) == CLIPS


def test_the_same_clips_give_the_same_bytes() -> None:
    assert write_shard(CLIPS) == write_shard(iter(CLIPS))
    with tarfile.open(fileobj=io.BytesIO(write_shard(CLIPS))) as archive:
        members = archive.getmembers()
    assert {(m.mtime, m.uname, m.gname, m.mode) for m in members} == {(0, "invertone", "invertone", 0o644)}
    assert {(m.uid, m.gid) for m in members} == {(0, 0)}


def test_webdataset_itself_reads_a_shard(shards: tuple[Folder, ShardEntry]) -> None:
    folder, entry = shards
    samples = list(webdataset.WebDataset(folder.path_of(entry.name), shardshuffle=False))
    assert [each["__key__"] for each in samples] == [each.info.key for each in CLIPS]
    assert [each.get("flac", each.get("wav")) for each in samples] == [each.data for each in CLIPS]
    assert json.loads(samples[1]["json"]) == CLIPS[1].info.to_json()


def test_a_clip_without_a_known_latent_is_written_as_before_there_were_such() -> None:
    data = write_shard(CLIPS)
    assert b"latent" not in data
    assert sha256(data) == "3d28c2f2e8a111f389ac4e552b0c5bf91a04b4acf0e7662ad63c4331c244b75c"


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=8))
def test_a_known_latent_reads_back_as_exactly_the_same_floats(latent: list[float]) -> None:
    (back,) = parse_shard(write_shard([clip("a", latent=tuple(latent))]))
    assert back.info.latent == tuple(latent)


NAMES = st.text(st.characters(exclude_characters="/.", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=130)
ASCII = st.text("abz/%-_ 09", min_size=1, max_size=130)


@given(st.lists(st.tuples(NAMES | ASCII, st.binary(max_size=1_100), st.sampled_from(["flac", "wav"])), max_size=12))
def test_a_shard_is_the_tar_that_tarfile_writes(clips: list[tuple[str, bytes, str]]) -> None:
    made = [Clip(dataclasses.replace(CLIPS[0].info, key=key), audio, format) for key, audio, format in clips]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for each in made:
            description = json.dumps(each.info.to_json(), sort_keys=True, ensure_ascii=False).encode()
            for extension, data in sorted({each.format: each.data, "json": description}.items()):
                info = tarfile.TarInfo(f"{each.info.key}.{extension}")
                info.size, info.mode, info.uname, info.gname = len(data), 0o644, "invertone", "invertone"
                archive.addfile(info, io.BytesIO(data))
    assert write_shard(made) == buffer.getvalue()


def test_an_empty_shard_is_a_shard() -> None:
    assert list(parse_shard(write_shard([]))) == []


@pytest.mark.parametrize("at", [0, 300, 700, -1])
def test_a_flipped_bit_is_named_before_a_clip_is_given_out(shards: tuple[Folder, ShardEntry], at: int) -> None:
    folder, entry = shards
    data = bytearray(folder.read_bytes(entry.name))
    data[at] ^= 1
    folder.publish_bytes(entry.name, bytes(data))
    with pytest.raises(UserError, match=rf"{entry.name}: content differs from what was recorded \(sha256\)"):
        next(read_shard(folder, entry))


def test_a_shard_cut_short_is_named(shards: tuple[Folder, ShardEntry]) -> None:
    folder, entry = shards
    folder.publish_bytes(entry.name, folder.read_bytes(entry.name)[:1_500])
    with pytest.raises(UserError, match=rf"{entry.name}: has 1500 bytes, {entry.bytes} were recorded"):
        next(read_shard(folder, entry))


def test_a_missing_shard_is_named(shards: tuple[Folder, ShardEntry]) -> None:
    folder, entry = shards
    folder.remove(entry.name)
    with pytest.raises(UserError, match=f"{entry.name}: file is missing"):
        next(read_shard(folder, entry))


def foreign(files: list[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


INFO = json.dumps(CLIPS[0].info.to_json()).encode()


@pytest.mark.parametrize(
    "data",
    [
        foreign([("a.jpg", b"x"), ("a.cls", b"1")]),
        foreign([("a.flac", b"x")]),
        foreign([("a.json", INFO)]),
        foreign([("a.flac", b"x"), ("a.json", b"[]")]),
        foreign([("a.flac", b"x"), ("a.json", b"{}")]),
        foreign([("a.flac", b"x"), ("a.json", b"\xff\xff{")]),
        foreign([("a.flac", b"x"), ("a.json", INFO[:-1] + b', "latent": "0.5"}')]),
        foreign([("a.flac", b"x"), ("a.json", INFO[:-1] + b', "latent": 0.5}')]),
        foreign([("a.flac", b"x"), ("a.json", INFO), ("a.flac", b"y")]),
        b"no tar at all",
        write_shard(CLIPS)[:700],
    ],
    ids=[
        "images",
        "no json",
        "no audio",
        "list",
        "empty",
        "no utf-8",
        "latent of text",
        "latent a number",
        "twice",
        "no tar",
        "cut",
    ],
)
def test_a_foreign_tar_is_named_even_if_a_manifest_vouches_for_it(tmp_path: Path, data: bytes) -> None:
    folder = Folder.at(str(tmp_path))
    folder.publish_bytes("x.tar", data)
    with pytest.raises(UserError, match=r"x\.tar: not a shard of ours"):
        list(read_shard(folder, ShardEntry("x.tar", "train", 1, len(data), sha256(data))))


@given(st.lists(PATHS, min_size=1, max_size=20, unique=True))
def test_different_files_get_different_keys_without_dots(paths: list[str]) -> None:
    keys = [clip_key(f"{path}.wav") for path in paths]
    assert len(set(keys)) == len(paths)
    assert not any(sign in key for key in keys for sign in ".@\n")


@given(st.lists(PATHS, min_size=1, max_size=8, unique=True))
def test_webdataset_s_own_grouping_keeps_keys_apart(paths: list[str]) -> None:
    clips = [clip(clip_key(f"{path}.wav"), path.encode()) for path in paths]
    stream = [{"url": "x", "stream": io.BytesIO(write_shard(clips))}]
    samples = list(group_by_keys(tar_file_expander(stream)))
    assert [each["__key__"] for each in samples] == [each.info.key for each in clips]
    assert [each["flac"] for each in samples] == [each.data for each in clips]


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("zero/a_nohash_0.wav", "zero/a_nohash_0"),
        ("zero/a_nohash_0.FLAC", "zero/a_nohash_0"),
        ("a.b/c.d.wav", "a%2Eb/c%2Ed"),
        ("a b/100%@.wav", "a b/100%25%40"),
        ("no-extension", "no-extension"),
        ("x/.wav", "x/%2Ewav"),
        ("__x__/y.wav", "%5F_x__/y"),
        ("ü.wav", "%C3%BC"),
    ],
)
def test_a_key_is_the_path_without_its_extension(path: str, key: str) -> None:
    assert clip_key(path) == key


def test_windows_of_a_recording_sort_as_they_follow() -> None:
    keys = [window_key("a/b", start) for start in (0, 9_999, 10_000, 2_000_000_000)]
    assert keys == sorted(keys)
    assert len(set(keys)) == 4
    assert keys[1] == "a/b@0000009999"


MANIFEST_OF_TWO = ShardManifest(
    corpus="sc09",
    format=USUAL,
    levels="untouched",
    label_names=("zero", "one"),
    shards=(ShardEntry("train-0.tar", "train", 3, 10, "a" * 64), ShardEntry("test-0.tar", "test", 2, 11, "b" * 64)),
    rejects=1,
)


def test_a_manifest_reads_back_equal(tmp_path: Path) -> None:
    folder = Folder.at(str(tmp_path))
    folder.publish_json(MANIFEST, MANIFEST_OF_TWO.to_json())
    assert load_manifest(folder) == MANIFEST_OF_TWO
    assert load_manifest(folder).digest == MANIFEST_OF_TWO.digest


def test_a_manifest_counts_by_split() -> None:
    assert (MANIFEST_OF_TWO.count(), MANIFEST_OF_TWO.count("test"), MANIFEST_OF_TWO.count("validation")) == (5, 2, 0)
    assert [each.name for each in MANIFEST_OF_TWO.of_splits(["test"])] == ["test-0.tar"]
    assert len(MANIFEST_OF_TWO.of_splits([])) == 2


def test_the_digest_follows_content_not_place_or_counts_of_rejects() -> None:
    other = dataclasses.replace(MANIFEST_OF_TWO.shards[0], sha256="c" * 64)
    changed = dataclasses.replace(MANIFEST_OF_TWO, shards=(other, MANIFEST_OF_TWO.shards[1]))
    assert dataclasses.replace(MANIFEST_OF_TWO, rejects=7).digest == MANIFEST_OF_TWO.digest != changed.digest


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "damaged"),
        (b"{", "damaged"),
        (b"\xff\xfe\x00", "damaged"),
        (b"[]", "not of version 1"),
        (b'{"version": 2}', "not of version 1"),
        (b'{"version": 1}', "damaged"),
        (b'{"version": 1, "shards": [{"name": "x"}], "label_names": []}', "damaged"),
        (b'{"version": 1, "shards": [3], "label_names": []}', "damaged"),
        (b'{"version": 1, "shards": [], "label_names": [], "surprise": 1}', "damaged"),
    ],
)
def test_a_damaged_manifest_is_a_user_error(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / MANIFEST).write_bytes(data)
    with pytest.raises(UserError, match=said):
        load_manifest(Folder.at(str(tmp_path)))


def test_a_folder_without_shards_says_how_to_make_some(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no shards here.*invertone ingest"):
        load_manifest(Folder.at(str(tmp_path / "nowhere")))


def test_a_file_in_place_of_a_folder_of_shards_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"x")
    with pytest.raises(UserError, match="no shards here"):
        load_manifest(Folder.at(str(tmp_path / "x.tar")))


def test_some_clips_of_a_shard_are_read_by_their_keys(tmp_path: Path) -> None:
    folder = Folder.at(str(tmp_path))
    entry = made_shards(folder, train=(5,), validation=0).shards[0]
    whole = list(read_shard(folder, entry))
    keys = {whole[3].info.key, whole[1].info.key, "of another shard"}
    assert list(read_shard(folder, entry, keys=keys)) == [whole[1], whole[3]]
    (tmp_path / entry.name).write_bytes((tmp_path / entry.name).read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match="content differs"):
        list(read_shard(folder, entry, keys=set()))
