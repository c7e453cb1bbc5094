"""Corpora whose labels lie in tables: every row and every file is used or listed, wherever the table and the files lie."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invertone.cluster.errors import UserError
from invertone.ingest.corpora.entry import Entry, Noted, Passed, Unusable, hash_split
from invertone.ingest.corpora.folder import FolderConfig, folder
from invertone.ingest.corpora.matching import Files
from tests.ingest import described_layouts
from tests.ingest.layouts import CONTAINERS, clips_of, ingested, packed, rejects_of, splits_of
from tests.sounds import tone, write_sound


def told(out: Path) -> Counter[str]:
    """How many rejects there are of each reason, without their particulars."""
    return Counter(reject["reason"].split(":")[0] for reject in rejects_of(out))


@pytest.mark.parametrize("container", CONTAINERS)
def test_esc50(tmp_path: Path, container: str) -> None:
    source = packed(described_layouts.esc50(tmp_path / "ESC-50-master"), container)
    keys = ["split_column=fold", "validation_values=[4]", "test_values=[5]"]
    clips = ingested("folder", source, tmp_path / "out", "labels=meta/esc50.csv", *keys)
    assert splits_of(clips) == {"train": 12, "validation": 4, "test": 4}
    assert {(clip.info.label, clip.info.label_name) for clip in clips} == {
        (0, "clock tick"),
        (1, "crying baby, loud"),
        (2, "dog"),
        (3, "rain"),
    }
    for clip in clips:
        fold = clip.info.key.rpartition("/")[2][0]
        assert clip.info.split == {"4": "validation", "5": "test"}.get(fold, "train")
    assert told(tmp_path / "out") == {"wrong extension": 1}  # its README


@pytest.mark.parametrize("container", CONTAINERS)
def test_fma(tmp_path: Path, container: str) -> None:
    source = packed(described_layouts.fma(tmp_path / "fma"), container)
    clips = ingested("folder", source, tmp_path / "out", "labels=fma_metadata/tracks.csv", "speaker_column=artist.id")
    found = {
        clip.info.key.rpartition("/")[2]: (clip.info.label_name, clip.info.split, clip.info.speaker) for clip in clips
    }
    assert found == {
        "000002": ("Hip-Hop", "train", "0"),
        "000005": ("Hip-Hop", "validation", "0"),
        "000010": ("Pop", "test", "1"),
        "000140": (None, "train", "14"),
        "000155": ("Rock", "validation", "15"),
    }
    (reject,) = rejects_of(tmp_path / "out")
    top = "" if container == "folder" else "fma/"
    assert reject["reason"] == f"described, but not there: row 9 of {top}fma_metadata/tracks.csv"
    assert reject["source_uri"].endswith("/200")


@pytest.mark.parametrize("container", CONTAINERS)
def test_common_voice(tmp_path: Path, container: str) -> None:
    source = packed(described_layouts.common_voice(tmp_path / "cv"), container)
    clips = ingested("folder", source, tmp_path / "out", "labels=[train.tsv,dev.tsv,test.tsv]")
    assert splits_of(clips) == {"train": 3, "validation": 1, "test": 2}
    assert {clip.info.label_name for clip in clips} == {None}
    assert {clip.info.speaker for clip in clips if clip.info.split == "train"} == {"0abctrain", "1abctrain"}
    (reject,) = rejects_of(tmp_path / "out")
    assert reject["source_uri"].endswith("clips/common_voice_en_99.mp3")
    assert reject["reason"] == "not described: no row of the tables names it"


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_audio_folder(tmp_path: Path, container: str, kind: str) -> None:
    source = packed(described_layouts.audio_folder(tmp_path / "data", kind), container)
    clips = ingested("folder", source, tmp_path / "out", f"labels=metadata.{kind}")
    top = "" if container == "folder" else "data/"
    assert {
        clip.info.key: (clip.info.split, clip.info.label, clip.info.label_name, clip.info.speaker) for clip in clips
    } == {
        f"{top}train/000": ("train", 1, "10", "s0"),
        f"{top}train/a/001": ("train", 0, "9", "s1"),
        f"{top}train/a/002": ("train", 1, "10", "s2"),
        f"{top}test/000": ("test", 0, "9", "s0"),
        f"{top}test/a/001": ("test", 1, "10", "s1"),
    }
    assert rejects_of(tmp_path / "out") == []
    assert json.loads((tmp_path / "out/manifest.json").read_text())["label_names"] == ["9", "10"]


def test_a_table_may_lie_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = described_layouts.common_voice(tmp_path / "cv")
    found = []
    monkeypatch.chdir(tmp_path)
    shutil.copy(root / "en/test.tsv", tmp_path / "test.tsv")
    for number, (source, table) in enumerate(
        [
            (root, "en/test.tsv"),  # inside the source
            (root, "cv/en/test.tsv"),  # from here, and inside the source
            (root / "en/clips", str(root / "en/test.tsv")),  # above the source
            (root / "en/clips", "test.tsv"),  # elsewhere
        ]
    ):
        clips = ingested("folder", source, tmp_path / f"out{number}", f"labels={table}")
        found.append({clip.info.key.rpartition("/")[2]: (clip.info.split, clip.info.speaker) for clip in clips})
    assert found == [{f"common_voice_en_{n}": ("test", f"{n % 2}abctest") for n in (4, 5)}] * 4


def test_a_table_that_changed_is_another_run(tmp_path: Path) -> None:
    source = described_layouts.audio_folder(tmp_path / "data")
    assert len(ingested("folder", source, tmp_path / "out", "labels=metadata.csv")) == 5
    assert len(ingested("folder", source, tmp_path / "out", "labels=metadata.csv")) == 5
    table = source / "test/metadata.csv"
    table.write_bytes(table.read_bytes().replace(b"9", b"8"))
    with pytest.raises(UserError, match="input"):
        ingested("folder", source, tmp_path / "out", "labels=metadata.csv")
    assert {clip.info.label_name for clip in clips_of(tmp_path / "out")} == {"9", "10"}


def reads(table: str, names: list[str], place: str = "meta.csv", **keys: object) -> dict[str, object]:
    """What becomes of each name, and of each row without one, with a table of this text in the source."""
    settings = {"source": "/data/corpus", "out": "o", "corpus": "folder", "labels": [place], **keys}
    found = list(folder([*names, place], lambda name: table.encode(), FolderConfig(**settings)))  # type: ignore[arg-type]
    judged = [each.name for each in found if isinstance(each, (Entry, Passed))]
    assert len(judged) == len(set(judged)) and place in judged
    said: dict[str, object] = {"": [each.text for each in found if isinstance(each, Noted)]}
    for each in found:
        if isinstance(each, Entry):
            said[each.name] = (each.label, each.label_name, each.speaker, each.split)
        elif isinstance(each, Unusable):
            said[f"{each.name}: {each.reason}"] = None
    return said


def test_rows_and_files_without_the_other_are_listed() -> None:
    found = reads("file,label\na.wav,x\ngone.wav,y\n,z\nb.wav,x,9\n", ["a.wav", "b.wav"], split="hash")
    assert {name for name in found if name} == {
        "a.wav",
        "gone.wav: described, but not there: row 3 of meta.csv",
        "meta.csv: a row that names no file: row 4 of meta.csv",
        "meta.csv: a row that is not read: row 5 of meta.csv has 3 fields where the header has 2 "
        "(a delimiter that is not quoted?)",
        "b.wav: not described: no row of the tables names it",
    }


def test_a_row_that_says_the_same_again_counts_once_and_one_that_says_else_is_listed() -> None:
    found = reads("file,label\na.wav,x\na.wav,x\nA/../a.wav,y\n", ["a.wav"])
    assert found["a.wav"] == (0, "x", None, hash_split("a.wav"))
    assert "a.wav: described once more, and otherwise: row 4 of meta.csv; what was read first counts" in found
    assert "1 rows say again what another has said" in found[""]  # type: ignore[operator]


def test_what_was_taken_is_said_in_one_line() -> None:
    found = reads("id,genre,who\na,x,1\n", ["a.wav"], speaker_column="who")
    assert found[""] == [
        "meta.csv: its columns give files by id, labels by genre, speakers by who, splits by none; all: id, genre, who",
        "1 recordings are described, in 1 rows",
    ]


def test_labels_that_look_like_numbers_stay_as_they_are_written() -> None:
    found = reads("file,label\na.wav,007\nb.wav,7\nc.wav,10\nd.wav,1e3\n", ["a.wav", "b.wav", "c.wav", "d.wav"])
    assert [found[f"{name}.wav"][:2] for name in "abcd"] == [(0, "007"), (3, "7"), (1, "10"), (2, "1e3")]  # type: ignore[index]


def test_splits_of_a_column_have_many_names() -> None:
    names = ["train", "Training", "validation", "valid", "val", "dev", "TEST", "eval", ""]
    table = "file,label,split\n" + "".join(f"{n}.wav,x,{name}\n" for n, name in enumerate(names))
    found = reads(table, [f"{n}.wav" for n in range(len(names))])
    splits = [found[f"{n}.wav"][3] for n in range(len(names))]  # type: ignore[index]
    assert splits == ["train"] * 2 + ["validation"] * 4 + ["test", "validation", hash_split("8.wav")]
    assert "1 recordings have a row without a split: they are split by hash" in found[""]  # type: ignore[operator]


def test_a_column_that_is_called_split_and_holds_none_is_not_read_and_said_to_be_none() -> None:
    found = reads("file,label,subset\na.wav,x,small\n", ["a.wav"])
    assert found["a.wav"] == (0, "x", None, hash_split("a.wav"))
    assert any("its column subset holds 'small', which names no split" in each for each in found[""])  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=r"column subset says 'small', which names no split; say which .*test_values"):
        reads("file,label,subset\na.wav,x,small\n", ["a.wav"], split_column="subset")
    named = reads("file,label,subset\na.wav,x,small\n", ["a.wav"], test_values=["small"])
    assert named["a.wav"] == (0, "x", None, "test")


def test_values_of_splits_need_their_column() -> None:
    with pytest.raises(UserError, match="no column of splits for validation_values and test_values: file, label"):
        reads("file,label\na.wav,x\n", ["a.wav"], test_values=["5"])


def test_label_from_goes_on_where_the_table_is_told_to_leave_labels() -> None:
    found = reads("file,label\nb/a.wav,x\n", ["b/a.wav"], label_column="none")
    assert found["b/a.wav"][:2] == (0, "b")  # type: ignore[index]
    pattern = "(?P<label>.)/"
    found = reads("file\nb/a.wav\n", ["b/a.wav"], label_from="pattern", pattern=pattern)
    assert found["b/a.wav"][:2] == (0, "b")  # type: ignore[index]
    assert reads("file\nb/a.wav\n", ["b/a.wav"])["b/a.wav"][:2] == (None, None)  # type: ignore[index]


def test_a_table_that_names_nothing_of_the_source_is_refused() -> None:
    with pytest.raises(UserError, match=r"not one of 2 rows names a file of the source: u, v \(meta.csv: its columns"):
        reads("id\nu\nv\n", ["a.wav"])


def test_a_table_that_is_nowhere_is_answered_by_those_of_the_source(tmp_path: Path) -> None:
    source = described_layouts.esc50(tmp_path / "c")
    with pytest.raises(UserError) as caught:
        ingested("folder", source, tmp_path / "out", "labels=esc.csv")
    told = str(caught.value)
    assert "no such file, neither in the source nor elsewhere; the source has meta/esc50.csv" in told


@pytest.mark.parametrize("said", ["c/audio/{}", "./c/audio/{}", "data/c/audio/{}"])
def test_a_path_may_begin_above_the_source(tmp_path: Path, said: str) -> None:
    """As where a corpus's folder was given as source, and the table's paths begin with that folder."""
    for name in ("1.wav", "x/1.wav"):
        write_sound(tmp_path / "c/audio" / name, tone())
    table = tmp_path / "elsewhere/meta.csv"
    table.parent.mkdir()
    lines = [f"{said.format(name)},{name[0]}" for name in ("1.wav", "x/1.wav", "y/1.wav")]
    table.write_text("\n".join(["path,label", *lines]))
    for source in ("c", "c/audio"):
        clips = ingested("folder", tmp_path / source, tmp_path / f"out-{source[-1]}", f"labels={table}")
        assert sorted(clip.info.label_name or "" for clip in clips) == ["1", "x"]
        (reject,) = rejects_of(tmp_path / f"out-{source[-1]}")
        assert reject["reason"] == "described, but not there: row 4 of meta.csv"


def test_one_value_of_a_split_needs_no_brackets(tmp_path: Path) -> None:
    source = described_layouts.esc50(tmp_path / "c")
    keys = ["labels=meta/esc50.csv", "split_column=fold", "test_values=5", "limit=10"]
    clips = ingested("folder", source, tmp_path / "out", *keys)
    assert len(clips) == 10 and set(splits_of(clips)) == {"train", "test"}


NAMES = [
    "train/a.wav", "test/a.wav", "one/b.WAV", "one/b.c.flac", "000/000002.mp3", "000/000140.mp3", "deep/x/y.ogg",
    "deep/z/y.ogg", "é.wav", "two.wav", "two.flac", "0007.wav", "7.wav",
]  # fmt: skip


@pytest.mark.parametrize(
    ("said", "folder", "found"),
    [
        ("a.wav", "train", ["train/a.wav"]),
        ("a.wav", "", ["train/a.wav", "test/a.wav"]),
        ("test/a.wav", "train", ["test/a.wav"]),
        ("../test/a.wav", "train", ["test/a.wav"]),
        ("./a.wav", "test", ["test/a.wav"]),
        ("other/a.wav", "", []),
        ("test\\a.wav", "", ["test/a.wav"]),
        ("/home/ann/c/test/a.wav", "", ["test/a.wav"]),
        ("C:\\c\\train\\a.wav", "", ["train/a.wav"]),
        ("/home/ann/c/dev/a.wav", "", []),
        ("/home/ann/two.wav", "", ["two.wav"]),
        ("file:///x/test/a.wav", "", ["test/a.wav"]),
        ("b.wav", "", ["one/b.WAV"]),
        ("b", "", ["one/b.WAV"]),
        ("b.c", "", ["one/b.c.flac"]),
        ("b.mp3", "", ["one/b.WAV"]),
        ("2", "", ["000/000002.mp3"]),
        ("0140", "", ["000/000140.mp3"]),
        ("2.mp3", "", ["000/000002.mp3"]),
        ("3", "", []),
        ("7", "", ["7.wav"]),
        ("y", "", ["deep/x/y.ogg", "deep/z/y.ogg"]),
        ("x/y.ogg", "meta", ["deep/x/y.ogg"]),
        ("y.ogg", "deep/z/meta", ["deep/z/y.ogg"]),
        ("e\u0301.wav", "", ["é.wav"]),
        ("two", "", ["two.wav", "two.flac"]),
        ("two.FLAC", "", ["two.flac"]),
        ("../../../etc/passwd", "", []),
        ("", "", []),
        ("/", "", []),
    ],
)
def test_files_are_found_by_whatever_tables_call_them(said: str, folder: str, found: list[str]) -> None:
    assert sorted(Files(NAMES).find(said, folder)) == sorted(found)


PARTS = st.text("abé.-1", min_size=1, max_size=4).filter(lambda part: part not in (".", ".."))


@given(st.sets(st.lists(PARTS, min_size=1, max_size=3).map(lambda parts: "/".join(parts) + ".wav"), min_size=1))
def test_every_file_is_found_by_its_own_path_from_anywhere(names: set[str]) -> None:
    files = Files(sorted(names))
    for name in names:
        assert files.find(name, "") == [name]
        folder, _, file = name.rpartition("/")
        assert files.find(file, folder) == [name]
        assert name in files.find(file.removesuffix(".wav"), folder)


def test_upper_case_endings_are_recordings(tmp_path: Path) -> None:
    write_sound(tmp_path / "c/x.wav", tone()).rename(tmp_path / "c/X.WAV")
    (tmp_path / "c/meta.csv").write_text("file_name,label\nX.wav,low\n")
    (clip,) = ingested("folder", tmp_path / "c", tmp_path / "out", "labels=meta.csv")
    assert clip.info.label_name == "low"
