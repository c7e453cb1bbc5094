"""Sources: folders and archives, listed whole, read at any place; damage costs what is damaged and no more."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
import struct
import tarfile
import uuid
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import fsspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from invertone.cluster.errors import UserError
from invertone.cluster.storage.folder import Folder, StorageError
from invertone.ingest.plan.told_apart import told_apart
from invertone.ingest.sources import archives, kinds, remote, tars
from invertone.ingest.sources import opener as opening
from invertone.ingest.sources.kinds import index_name, unread
from invertone.ingest.sources.members import Listing, Member, member_uri
from invertone.ingest.sources.opener import Opener
from invertone.ingest.sources.remote import READ_ERRORS, RemoteFile, read_fails_for_now, storage_watched
from invertone.ingest.sources.source import list_source, survey

RANDOM = np.random.default_rng(5)
FILES = {f"zero/{number:02d}.wav": RANDOM.bytes(3_000 + 517 * number) for number in range(20)}
"""Not compressible: a cut .tar.gz is cut at a known place."""


def tar_bytes(files: Iterable[tuple[str | tarfile.TarInfo, bytes]], mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in files:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def zip_bytes(files: Iterable[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return buffer.getvalue()


SOME = {f"d{n % 2}/{n}.wav": RANDOM.bytes(700) for n in range(4)}
PACKED = {
    ".tar": tar_bytes(SOME.items()),
    ".tar.gz": gzip.compress(tar_bytes(SOME.items()), mtime=0),
    ".tar.xz": lzma.compress(tar_bytes(SOME.items())),
    ".tar.bz2": bz2.compress(tar_bytes(SOME.items())),
    ".zip": zip_bytes(SOME.items()),
}


def put(path: Path, data: bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return str(path)


def contents(source: str, listing: Listing, tmp_path: Path) -> dict[str, bytes]:
    """Every member's bytes, opened as a worker does; unreadable ones are left out."""
    indices = Folder.at(str(tmp_path / "indices"))
    for name, index in listing.indices.items():
        indices.publish_bytes(name, index)
    opener, found = Opener(source, indices), {}
    for member in sorted(listing.members, key=lambda each: hash(each.name)):
        try:
            with opener.open(member) as file:
                assert file.seekable()
                found[member.name] = file.read()
        except READ_ERRORS:
            continue
    return found


def reasons(listing: Listing) -> dict[str, str]:
    return {each.source_uri.rpartition("/")[2]: each.reason for each in listing.rejects}


@pytest.mark.parametrize("container", [".tar", ".tar.gz", ".tgz", ".zip", ".TAR"])
def test_every_member_of_an_archive_is_listed_and_read(tmp_path: Path, container: str) -> None:
    make = zip_bytes if container == ".zip" else tar_bytes
    mode = {".tar.gz": "w:gz", ".tgz": "w:gz"}.get(container, "w")
    data = make(FILES.items()) if make is zip_bytes else tar_bytes(FILES.items(), mode)
    source = put(tmp_path / f"corpus{container}", data)
    listing = list_source(source)
    assert [(each.name, each.size) for each in listing.members] == [(k, len(v)) for k, v in sorted(FILES.items())]
    assert listing.rejects == []
    assert contents(source, listing, tmp_path) == FILES


def test_a_large_gzip_is_entered_at_seek_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "SEEK_POINT_SPACING", 1 << 16)
    files = {f"{n}.wav": RANDOM.bytes(40_000) + bytes(10_000) for n in range(40)}
    source = put(tmp_path / "corpus.tar.gz", tar_bytes(files.items(), "w:gz"))
    listing = list_source(source)
    assert len(listing.indices[index_name(source)]) > 20 * 30_000 / 2
    assert contents(source, listing, tmp_path) == files


def test_a_gzip_of_several_members_is_one_archive(tmp_path: Path) -> None:
    raw = tar_bytes(FILES.items())
    source = put(tmp_path / "corpus.tar.gz", gzip.compress(raw[:50_001]) + gzip.compress(raw[50_001:]))
    listing = list_source(source)
    assert listing.rejects == []
    assert contents(source, listing, tmp_path) == FILES


def test_a_folder_lists_files_and_the_archives_at_its_top(tmp_path: Path) -> None:
    put(tmp_path / "c/zero/loose.wav", b"loose")
    put(tmp_path / "c/.take2/x.wav", b"dots hide no sound")
    put(tmp_path / "c/zero/...more.wav", b"nor here")
    for name in (".git/x.wav", "zero/._loose.wav", ".cache/notes.txt", ".DS_Store", "__MACOSX/x.wav", ".Trash-0/x.wav"):
        put(tmp_path / "c" / name, b"no")
    put(tmp_path / "c/a.tar", tar_bytes([("zero/in-tar.wav", b"1"), ("zero/.DS_Store", b"")]))
    put(tmp_path / "c/b.zip", zip_bytes([("zero/in-zip.wav", b"22")]))
    put(tmp_path / "c/zero/deeper.zip", b"just a file")
    source = str(tmp_path / "c")
    listing = list_source(source)
    assert contents(source, listing, tmp_path) == {
        ".take2/x.wav": b"dots hide no sound",
        "zero/...more.wav": b"nor here",
        "zero/deeper.zip": b"just a file",
        "zero/in-tar.wav": b"1",
        "zero/in-zip.wav": b"22",
        "zero/loose.wav": b"loose",
    }
    assert list_source(source, survey(source)) == listing
    uris = [member_uri(source, each).removeprefix(source) for each in listing.members]
    assert uris[:2] == ["/.take2/x.wav", "/zero/...more.wav"]
    assert uris[2:] == ["/zero/deeper.zip", "/a.tar!/zero/in-tar.wav", "/b.zip!/zero/in-zip.wav", "/zero/loose.wav"]


def test_a_remote_folder_and_its_archives_are_read_alike(tmp_path: Path) -> None:
    fs = fsspec.filesystem("memory")
    fs.pipe_file("/remote-corpus/zero/loose.wav", b"loose")
    fs.pipe_file("/remote-corpus/a.tar.gz", tar_bytes(FILES.items(), "w:gz"))
    fs.pipe_file("/remote-corpus/b.zip", zip_bytes([("zero/z.wav", b"22")]))
    source = "memory://remote-corpus"
    found = contents(source, list_source(source), tmp_path)
    assert found == {**FILES, "zero/loose.wav": b"loose", "zero/z.wav": b"22"}


def test_markers_of_folders_and_doubled_slashes_on_s3(tmp_path: Path, s3: str) -> None:
    source = f"{s3}/{uuid.uuid4().hex}"
    fs = fsspec.filesystem("s3")
    for name, data in (
        ("zero/", b""),
        ("x.wav/", b""),
        ("zero/a.wav", b"1"),
        ("zero//b.wav", b"22"),
        (".hid/c.wav", b"3"),
    ):
        fs.call_s3("put_object", Bucket=source.split("/")[2], Key=f"{source.split('/')[3]}/{name}", Body=data)
    fs.invalidate_cache()
    listing = list_source(source)
    assert contents(source, listing, tmp_path) == {"zero/a.wav": b"1", "zero//b.wav": b"22", ".hid/c.wav": b"3"}
    paths, rejects, _ = told_apart(source, listing)
    assert set(paths) == {"zero/a.wav", "zero/b.wav", ".hid/c.wav"} and rejects == []
    assert [(each.source_uri, each.reason) for each in listing.rejects] == [
        (f"{source}/x.wav/", "a folder, not a file")
    ]


@pytest.mark.parametrize("name", ["./zero/a.wav", "././zero/a.wav", "zero//a.wav", "zero/./a.wav"])
@pytest.mark.parametrize("container", [".tar", ".zip"])
def test_a_path_is_the_same_however_it_is_written(tmp_path: Path, name: str, container: str) -> None:
    data = (tar_bytes if container == ".tar" else zip_bytes)([(name, b"x")])
    source = put(tmp_path / f"c{container}", data)
    assert contents(source, list_source(source), tmp_path) == {"zero/a.wav": b"x"}


@pytest.mark.parametrize("container", [".tar", ".zip"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_two_entries_with_one_name_the_later_is_left_as_by_unpacking(tmp_path: Path, container: str) -> None:
    data = (tar_bytes if container == ".tar" else zip_bytes)([("a.wav", b"first"), ("./a.wav", b"second")])
    source = put(tmp_path / f"c{container}", data)
    listing = list_source(source)
    assert contents(source, listing, tmp_path) == {"a.wav": b"second"}
    assert reasons(listing) == {"a.wav": "overwritten: a later entry of the archive has the same name"}


@pytest.mark.parametrize("container", [".tar", ".tar.gz", ".tar.xz", ".tar.bz2"])
@pytest.mark.parametrize("padding", [0, 3 * 512])
def test_archives_that_were_joined_are_read_to_the_end(tmp_path: Path, container: str, padding: int) -> None:
    parts = [tar_bytes([(f"{n}/{n}.wav", RANDOM.bytes(600))]) + bytes(padding) for n in range(3)]
    pack = {".tar.gz": gzip.compress, ".tar.xz": lzma.compress, ".tar.bz2": bz2.compress}.get(container, bytes)
    source = put(tmp_path / f"c{container}", b"".join(pack(part) for part in parts))
    listing = list_source(source)
    assert [each.name for each in listing.members] == ["0/0.wav", "1/1.wav", "2/2.wav"] and listing.rejects == []
    found = contents(source, listing, tmp_path)
    assert all(data in parts[int(name[0])] and len(data) == 600 for name, data in found.items())


def test_a_zip_s_name_in_unicode_is_preferred_to_one_in_an_older_encoding(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    old, new = "wörter/1.wav".encode("cp850"), "wörter/1.wav".encode()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, checksum in (("x" * len(old), zlib.crc32(old)), ("y" * len(old), 7)):
            info = zipfile.ZipInfo(name)
            info.extra = struct.pack("<HHBI", 0x7075, 5 + len(new), 1, checksum) + new
            archive.writestr(info, b"")
    data = buffer.getvalue().replace(b"x" * len(old), old)
    listing = list_source(put(tmp_path / "c.zip", data))
    assert [each.name for each in listing.members] == ["wörter/1.wav", "y" * len(old)]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("x.zip.001", "join"),
        ("x.tar.gz.aa", "join"),
        ("x.tar.part2", "join"),
        ("x.z01", "join"),
        ("x.rar", "unpack"),
        ("deep/x.tar.zst", "unpack"),
        ("deep/x.zip", "unpack"),
        ("x.gz", "unpack"),
        ("a.wav", ""),
        ("take.001", ""),
    ],
)
def test_archives_that_are_not_read_are_named(name: str, said: str) -> None:
    assert (said in unread(name)) if said else unread(name) == ""


@given(st.from_regex(r"[aZ01.]{0,3}(\.(zip|TAR|tar\.gz|7z|gz|au|wav|z01|part1|aa|001|xz|Z)){0,3}", fullmatch=True))
def test_names_are_looked_at_closely_only_where_their_ending_may_be_an_archive_s(name: str) -> None:
    def closely(name: str) -> bool:
        return bool(kinds._SPLIT.search(name)) or name.lower().endswith(kinds.ARCHIVES + kinds.UNREAD)

    assert bool(unread(name)) == closely(name)


def test_what_follows_an_archive_and_is_none_is_said(tmp_path: Path) -> None:
    put(tmp_path / "c/x.tar", tar_bytes([("a.wav", b"1")]) + b"no archive " * 100)
    listing = list_source(str(tmp_path / "c"))
    assert [each.name for each in listing.members] == ["a.wav"]
    assert "after 1 entries: what follows its end mark is no archive" in reasons(listing)["x.tar"]


def test_what_a_checksum_does_not_vouch_for_is_listed_and_no_member(tmp_path: Path) -> None:
    """Stored, not deflated: nothing but the checksum at the end tells that a stretch was zeroed."""
    first, second = (tar_bytes([(f"{n}/{i}.wav", RANDOM.bytes(9_000)) for i in range(3)]) for n in "ab")
    packed = bytearray(gzip.compress(second, 0))
    packed[12_000:13_000] = bytes(1_000)
    put(tmp_path / "c/x.tar.gz", gzip.compress(first) + bytes(packed))
    source = str(tmp_path / "c")
    listing = list_source(source)
    assert contents(source, listing, tmp_path).keys() == {"a/0.wav", "a/1.wav", "a/2.wav"}
    told = {each.source_uri.partition("!/")[2]: each.reason for each in listing.rejects}
    assert "its checksum is not that of its content" in told.pop("")
    assert set(told.values()) <= {"checksum: the archive's own does not vouch for it"}  # as far as entries are found


@pytest.mark.parametrize(("container", "pack"), [(".tar.xz", lzma.compress), (".tar.bz2", bz2.compress)])
def test_damage_and_a_cut_of_other_compressions(tmp_path: Path, container: str, pack: Callable[[bytes], bytes]) -> None:
    whole = pack(tar_bytes(FILES.items()))
    put(tmp_path / f"c/cut{container}", whole[: -len(whole) // 4])
    damaged = bytearray(whole)
    damaged[len(whole) // 2 : len(whole) // 2 + 40] = bytes(40)
    put(tmp_path / f"c/hurt{container}", bytes(damaged))
    source = str(tmp_path / "c")
    listing = list_source(source)
    assert {each.archive.rpartition("/")[2] for each in listing.members} <= {f"cut{container}"}
    assert all(FILES[name] == data for name, data in contents(source, listing, tmp_path).items())
    said = [each.reason for each in listing.rejects if not each.source_uri.partition("!/")[2]]
    assert len(said) == 2 and not any("readinto" in each or "LZMA" in each for each in said)


def test_names_of_a_zip_from_windows_are_as_unzip_shows_them(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, system in (("words\\yes\\1.wav", 0), ("words/a\\b.wav", 0), ("uni\\x.wav", 3)):
            info = zipfile.ZipInfo(name)
            info.create_system = system
            archive.writestr(info, name)
    listing = list_source(put(tmp_path / "c.zip", buffer.getvalue()))
    assert [each.name for each in listing.members] == ["uni/x.wav", "words/a\\b.wav", "words/yes/1.wav"]


@pytest.mark.parametrize("keep", [1, 511, 512, 700, 30_000, 100_000])
def test_a_tar_cut_short_gives_what_lies_whole_before_the_cut(tmp_path: Path, keep: int) -> None:
    cut = tar_bytes(FILES.items())[:keep]
    whole, at = {}, 0
    for name, data in FILES.items():
        at += 512 + -(-len(data) // 512) * 512
        if at <= keep:
            whole[name] = data
    source = put(tmp_path / "c/cut.tar", cut)
    listing = list_source(str(tmp_path / "c"))
    assert contents(str(tmp_path / "c"), listing, tmp_path) == whole
    assert [each.source_uri for each in listing.rejects] == [source]
    if whole:
        assert f"cut short or damaged after {len(whole)} entries" in listing.rejects[0].reason
        assert f"zero/{len(whole):02d}.wav is not whole" in listing.rejects[0].reason


@pytest.mark.parametrize("tail", [b"\0" * 1_024, b"sound"], ids=["file ends in silence", "file ends in sound"])
def test_a_tar_cut_between_two_files_is_noticed(tmp_path: Path, tail: bytes) -> None:
    files = [(f"{n}.wav", RANDOM.bytes(512) + tail) for n in range(4)]
    block = 512 + -(-len(files[0][1]) // 512) * 512
    put(tmp_path / "c/cut.tar", tar_bytes(files)[: 2 * block])
    listing = list_source(str(tmp_path / "c"))
    assert [each.name for each in listing.members] == ["0.wav", "1.wav"]
    assert "after 2 entries: no end mark" in reasons(listing)["cut.tar"]


def test_a_tar_with_a_damaged_header_loses_that_file_alone(tmp_path: Path) -> None:
    """As with GNU tar, which skips to the next header."""
    data = bytearray(tar_bytes([(f"{n}.wav", b"x" * 512) for n in range(5)]))
    data[2 * 1_024 + 20] ^= 0xFF
    put(tmp_path / "c/damaged.tar", bytes(data))
    listing = list_source(str(tmp_path / "c"))
    assert [each.name for each in listing.members] == ["0.wav", "1.wav", "3.wav", "4.wav"]
    assert "a header at byte 2,048 is damaged, and what it tells of is lost" in reasons(listing)["damaged.tar"]


@pytest.mark.parametrize("keep", [0.05, 0.5, 0.9, -4])
def test_a_tar_gz_cut_short_gives_what_lies_whole_before_the_cut(tmp_path: Path, keep: float) -> None:
    whole = gzip.compress(tar_bytes(FILES.items()), 1)
    put(tmp_path / "c/cut.tar.gz", whole[: int(keep)] if keep < 0 else whole[: int(keep * len(whole))])
    source = str(tmp_path / "c")
    listing = list_source(source)
    found = contents(source, listing, tmp_path)
    assert found == {name: FILES[name] for name in sorted(FILES)[: len(found)]}
    assert len(found) == len(listing.members)
    # the files of 3,000 to 12,823 bytes fill the archive evenly enough: at most the cut one and its neighbour are lost
    share = np.cumsum([len(data) + 1_024 for data in FILES.values()]) / sum(len(d) + 1_024 for d in FILES.values())
    assert len(found) >= (20 if keep < 0 else int((share < keep).sum()) - 1)
    assert "cut short or damaged" in reasons(listing)["cut.tar.gz"]
    assert not found or f"nothing vouches for those {len(found)}" in reasons(listing)["cut.tar.gz"]


def test_of_a_tar_gz_damaged_in_the_middle_nothing_is_vouched_for(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(tar_bytes([(f"{n:02d}.wav", b"word%d " % n * 4_000) for n in range(40)])))
    middle = len(data) // 2
    data[middle : middle + 40] = bytes(40)
    put(tmp_path / "c/damaged.tar.gz", bytes(data))
    source = str(tmp_path / "c")
    listing = list_source(source)
    assert listing.members == [] and len(listing.rejects) > 10
    assert re.search("its (compressed data is damaged|checksum is not)", reasons(listing)["damaged.tar.gz"])


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("x.tar", b""),
        ("x.tar", b"no tar " * 200),
        ("x.tar", gzip.compress(b"a gzip")),
        ("x.tar.gz", b""),
        ("x.tar.gz", tar_bytes([("a", b"")])),
        ("x.tar.gz", gzip.compress(b"no tar " * 200)),
        ("x.tgz", b"\x1f\x8b"),
        ("x.zip", b""),
        ("x.zip", b"no zip " * 200),
        ("x.zip", zip_bytes(FILES.items())[:-30]),
    ],
)
def test_an_archive_that_is_none_is_a_user_error_alone_and_a_reject_among_others(
    tmp_path: Path, name: str, data: bytes
) -> None:
    path = put(tmp_path / "c" / name, data)
    with pytest.raises(UserError, match="not a readable"):
        list_source(path)
    put(tmp_path / "c/good.wav", b"x")
    listing = list_source(str(tmp_path / "c"))
    assert [each.name for each in listing.members] == ["good.wav"]
    assert "not a readable" in reasons(listing)[name]


@pytest.mark.parametrize(
    "name", ["../out.wav", "a/../../out.wav", "/etc/out.wav", "..\\out.wav", "\\out.wav", "C:\\out.wav", "a\\..\\b.wav"]
)
@pytest.mark.parametrize("container", [".tar", ".zip"])
def test_a_path_that_climbs_out_is_refused(tmp_path: Path, name: str, container: str) -> None:
    data = (tar_bytes if container == ".tar" else zip_bytes)([(name, b"x"), ("good.wav", b"y")])
    listing = list_source(put(tmp_path / f"c{container}", data))
    assert [each.name for each in listing.members] == ["good.wav"]
    assert [each.reason for each in listing.rejects] == ["path climbs out of the archive"]


def special(name: str, kind: bytes, target: str = "good.wav") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_links_devices_and_folders_named_like_sound_are_refused(tmp_path: Path) -> None:
    entries = [
        ("good.wav", b"x"),
        (special("soft.wav", tarfile.SYMTYPE), b""),
        (special("hard.wav", tarfile.LNKTYPE), b""),
        (special("lost.wav", tarfile.LNKTYPE, "nowhere.wav"), b""),
        (special("fifo.wav", tarfile.FIFOTYPE), b""),
        (special("device.wav", tarfile.CHRTYPE), b""),
        (special("folder.wav", tarfile.DIRTYPE), b""),
        (special("plain-folder", tarfile.DIRTYPE), b""),
        ("non-utf8-\udcff.wav", b"x"),
        ("new\nline.wav", b"x"),
    ]
    source = put(tmp_path / "c.tar", tar_bytes(entries))
    listing = list_source(source)
    assert contents(source, listing, tmp_path) == {"good.wav": b"x", "hard.wav": b"x"}
    assert reasons(listing) == {
        "soft.wav": "not a regular file (link or device)",
        "lost.wav": "a link to what is not in the archive before it",
        "fifo.wav": "not a regular file (link or device)",
        "device.wav": "not a regular file (link or device)",
        "folder.wav": "a folder, not a file",
        "non-utf8-?.wav": "file name is not printable UTF-8",
        "new\nline.wav": "file name is not printable UTF-8",
    }


def test_a_zip_s_links_and_encrypted_entries_are_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("good.wav", b"x")
        link = zipfile.ZipInfo("link.wav")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "good.wav")
        archive.writestr("secret.wav", b"z")
        archive.writestr(zipfile.ZipInfo("folder.wav/"), b"")
    data = bytearray(buffer.getvalue())
    at = data.rindex(b"secret.wav") - 46  # its header in the central directory
    assert data[at : at + 4] == b"PK\x01\x02"
    data[at + 8 : at + 10] = struct.pack("<H", 1)
    listing = list_source(put(tmp_path / "c.zip", bytes(data)))
    assert [each.name for each in listing.members] == ["good.wav"]
    assert reasons(listing) == {
        "link.wav": "not a regular file",
        "secret.wav": "encrypted",
        "folder.wav": "a folder, not a file",
    }


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_zip_entry_costs_that_entry(tmp_path: Path, method: int) -> None:
    data = bytearray(zip_bytes(sorted(FILES.items()), method))
    at = data.index(b"zero/07.wav") + 60
    data[at : at + 8] = b"\xff" * 8
    source = put(tmp_path / "c.zip", bytes(data))
    listing = list_source(source)
    assert len(listing.members) == 20
    assert contents(source, listing, tmp_path) == {k: v for k, v in FILES.items() if k != "zero/07.wav"}


@settings(max_examples=200)
@given(st.sampled_from(sorted(PACKED)), st.data())
def test_whatever_is_in_an_archive_it_is_read_or_a_reason(
    tmp_path_factory: pytest.TempPathFactory, container: str, data: st.DataObject
) -> None:
    """What is taken from a damaged archive that is no plain tar is what was packed, unless its end is lost as well."""
    content, folder = bytearray(PACKED[container]), tmp_path_factory.mktemp("damaged")
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content
    source = put(folder / f"c{container}", bytes(content))
    try:
        listing = list_source(source)
    except UserError as error:
        assert "\n" not in str(error)
        return
    found = contents(source, listing, folder)
    told = " ".join(each.reason for each in listing.rejects)
    if container != ".tar" and "nothing vouches" not in told:
        assert all(data == SOME[name] for name, data in found.items() if name in SOME)


def test_a_zip_whose_names_are_no_text_is_a_user_error(tmp_path: Path) -> None:
    data = bytearray(zip_bytes([("zero/ü.wav", b"x")]))
    while b"\xc3\xbc" in data:
        at = data.index(b"\xc3\xbc")
        data[at : at + 2] = b"\xff\xfe"
    with pytest.raises(UserError, match="not a readable zip"):
        list_source(put(tmp_path / "c.zip", bytes(data)))


def test_what_is_no_file_in_a_folder_is_listed_with_its_reason(tmp_path: Path) -> None:
    root = tmp_path / "c"
    put(root / "a/good.wav", b"x")
    (root / "a/folder.wav").mkdir()
    (root / "a/dangling.wav").symlink_to("nowhere.wav")
    (root / "a/linked.wav").symlink_to("good.wav")
    (root / "loop").symlink_to(root)
    (root / "0-again").symlink_to(root / "a")
    os.mkfifo(root / "a/fifo.wav")
    os.mkfifo(root / "fifo.tar")
    (root / "dangling.zip").symlink_to("nowhere.zip")
    put(root / "new\nline.wav", b"x")
    (root / os.fsdecode(b"non-utf8-\xff.wav")).write_bytes(b"x")
    (root / os.fsdecode(b"non-utf8-\xff")).mkdir()
    (root / os.fsdecode(b"non-utf8-\xff/b.wav")).write_bytes(b"x")
    (root / os.fsdecode(b"non-utf8-\xff.tar")).write_bytes(tar_bytes([("z.wav", b"x")]))
    listing = list_source(str(root))
    assert [each.name for each in listing.members] == ["a/good.wav", "a/linked.wav"]
    assert list_source(str(root), survey(str(root))) == listing
    found = sorted((each.source_uri.removeprefix(f"{root}/"), each.reason) for each in listing.rejects)
    assert found == sorted(
        {
            "a/folder.wav": "a folder, not a file",
            "a/dangling.wav": "dangling link",
            "a/fifo.wav": "not a regular file",
            "fifo.tar": "not a regular file",
            "dangling.zip": "dangling link",
            "loop": "link to a folder that is listed already",
            "0-again": "link to a folder that is listed already",
            "new\nline.wav": "file name is not printable UTF-8",
            "non-utf8-\ufffd.wav": "file name is not printable UTF-8",
            "non-utf8-\ufffd.tar": "file name is not printable UTF-8",
            "non-utf8-\ufffd/b.wav": "file name is not printable UTF-8",
        }.items()
    )


def test_a_source_that_is_not_there_or_no_source_is_a_user_error(tmp_path: Path) -> None:
    for use in (list_source, survey):
        with pytest.raises(UserError, match="source does not exist"):
            use(str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="neither a folder nor an archive"):
        list_source(put(tmp_path / "x.wav", b"x"))


def rename(root: Path) -> None:
    (root / "zero/a.wav").rename(root / "zero/b.wav")


def lengthen(root: Path) -> None:
    (root / "zero/a.wav").write_bytes(b"longer")


def add(root: Path) -> None:
    put(root / "zero/c.wav", b"x")


def repack(root: Path) -> None:
    os.utime(root / "x.tar", (1, 1))


@pytest.mark.parametrize("change", [rename, lengthen, add, repack])
def test_the_identity_changes_with_the_files(tmp_path: Path, change: Callable[[Path], None]) -> None:
    root = tmp_path / "c"
    put(root / "zero/a.wav", b"x")
    put(root / "x.tar", tar_bytes([("zero/t.wav", b"x")]))
    before = survey(str(root)).identity
    assert survey(str(root)).identity == before
    change(root)
    assert survey(str(root)).identity != before


def test_members_that_are_gone_raise_what_the_job_lists(tmp_path: Path) -> None:
    opener = Opener(str(tmp_path), Folder.at(str(tmp_path)))
    with pytest.raises(READ_ERRORS):
        opener.open(Member("gone.wav", 3))
    archive = put(tmp_path / "short.tar", b"abc")
    with pytest.raises(READ_ERRORS, match="ends 97 bytes before"):
        opener.open(Member("x.wav", 100, archive, 0))


class Failing(io.BytesIO):
    """Storage that stops answering after the first hundred thousand bytes."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() > 100_000:
            raise StorageError("ConnectionClosedError: no answer")
        return super().read(size)


@pytest.mark.parametrize("container", [".tar", ".tar.gz", ".zip"])
def test_storage_that_fails_is_not_taken_for_a_damaged_archive(
    container: str, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    """What is not whole is listed as a reject, and the job goes on; what did not come must stop it, or clips are lost."""
    files = [(f"zero/{number}.wav", rng.bytes(40_000)) for number in range(20)]
    data = zip_bytes(files) if container == ".zip" else tar_bytes(files, "w:gz" if container == ".tar.gz" else "w")
    uri = f"memory://failing{container}"
    fsspec.filesystem("memory").pipe_file(f"/failing{container}", data)
    listing = list_source(uri)
    assert len(listing.members) == 20
    for room in (archives, tars, opening):
        monkeypatch.setattr(room, "open_raw", lambda uri: io.BufferedReader(RemoteFile(Failing(data)), 1_000))
    if container != ".zip":  # whose directory is read from its end, in one piece
        with pytest.raises(OSError, match="no answer"):
            list_source(uri)
    opener = Opener(uri, Indices(listing.indices))  # type: ignore[arg-type]
    late = next(member for member in listing.members if member.name == "zero/15.wav")
    with (
        pytest.raises(OSError, match="no answer") as caught,
        storage_watched(),
        opener.open(late) as file,
    ):
        file.read()
    assert read_fails_for_now(caught.value, uri) and not read_fails_for_now(caught.value, "/a/local.tar")
    with storage_watched():  # the next member is read afresh
        pass


class Indices:
    def __init__(self, files: dict[str, bytes]) -> None:
        self.read_bytes = files.__getitem__


@pytest.mark.parametrize("held", [0, 1 << 20])
def test_a_long_file_is_read_where_it_lies_and_a_short_one_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    monkeypatch.setattr(opening, "HELD_BYTES", held)
    data = RANDOM.bytes(70_000)
    put(tmp_path / "c/a.wav", data)
    (member,) = list_source(str(tmp_path / "c")).members
    with Opener(str(tmp_path / "c"), Folder.at(str(tmp_path))).open(member) as file:
        assert isinstance(file, io.BytesIO if held else io.BufferedReader)
        (tmp_path / "c/a.wav").unlink()
        assert file.read(10) == data[:10]
        assert file.seek(0, io.SEEK_END) == len(data)
        assert file.seek(1_000) == 1_000
        assert file.read() == data[1_000:]
