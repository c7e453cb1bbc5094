"""WebDatasets of others: samples as the webdataset package makes them, metadata from what lies beside the sound."""

from __future__ import annotations

import io
import json
import tarfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
import webdataset as library
from hypothesis import given
from hypothesis import strategies as st

from invertone.audio.clip import decode
from invertone.cluster.errors import UserError
from invertone.cluster.formats.shards import load_manifest, read_shard
from invertone.cluster.storage.folder import Folder
from invertone.ingest.corpora.entry import Entry, Noted, hash_split
from invertone.ingest.corpora.webdataset import WebdatasetConfig, webdataset
from tests.ingest.layouts import clips_of, ingested, rejects_of, splits_of
from tests.made import made_shards
from tests.sounds import speechlike, write_sound

Files = Sequence[tuple[str, bytes]]


def sound(number: int, kind: str = "WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, speechlike(0.3, number), 16_000, format=kind)
    return file.getvalue()


def packed(path: Path, files: Files) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as tar:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def written(path: Path, samples: Sequence[dict[str, object]]) -> Path:
    """A shard as the package's own writer makes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with library.TarWriter(str(path)) as sink:
        for sample in samples:
            sink.write(sample)
    return path


def sample(number: int, **more: object) -> dict[str, object]:
    return {"__key__": f"{number:06d}", "wav": sound(number), **more}


@pytest.mark.parametrize("ending", [".tar", ".tar.gz"])
def test_shards_of_the_packages_writer_with_json(tmp_path: Path, ending: str) -> None:
    for shard, split in enumerate(("train", "train", "valid")):
        rows = [
            sample(
                number, json={"who": {"id": number % 2, "age": [3]}, "class": ("cat", "dog")[number % 2]}, txt="said"
            )
            for number in range(3 * shard, 3 * shard + 3)
        ]
        written(tmp_path / f"c/audio-{split}-{shard:06d}{ending}", rows)
    (tmp_path / "c/README.md").write_text("ours")
    clips = ingested("webdataset", tmp_path / "c", tmp_path / "out", "speaker_from=json:who.id")
    assert rejects_of(tmp_path / "out") == []
    assert splits_of(clips) == {"train": 6, "validation": 3}
    found = {clip.info.key: (clip.info.label, clip.info.label_name, clip.info.speaker) for clip in clips}
    assert found["audio-train-000000/000001"] == (1, "dog", "1")
    assert found["audio-valid-000002/000006"] == (0, "cat", "0")
    again = {row["__key__"]: row["wav"] for row in library.WebDataset(
        [str(each) for each in sorted((tmp_path / "c").glob("*.tar*"))], shardshuffle=False, empty_check=False
    )}  # fmt: skip
    assert {clip.info.key.rpartition("/")[2] for clip in clips} == set(again)
    for clip in clips:
        samples, _ = soundfile.read(io.BytesIO(again[clip.info.key.rpartition("/")[2]]), dtype="int16")
        assert (decode(clip.data)[: len(samples)] == samples).all()


def test_cls_beside_flac_mp3_and_ogg_is_a_label_without_being_asked_for(tmp_path: Path) -> None:
    files = [
        ("a/1.flac", sound(1, "FLAC")), ("a/1.cls", b"7"), ("a/1.json", b'{"label": "else"}'),
        ("a/2.MP3", sound(2, "MP3")), ("a/2.cls", b"10\n"),
        ("b/2.ogg", sound(3, "OGG")), ("b/2.txt", b"seven"),
    ]  # fmt: skip
    clips = ingested("webdataset", packed(tmp_path / "x.tar", files), tmp_path / "out")
    found = {clip.info.key: (clip.info.label, clip.info.label_name) for clip in clips}
    assert found == {"x/a/1": (0, "7"), "x/a/2": (1, "10"), "x/b/2": (None, None)}
    assert rejects_of(tmp_path / "out") == []
    clips = ingested("webdataset", tmp_path / "x.tar", tmp_path / "txt", "label_from=txt")
    assert {clip.info.label_name for clip in clips} == {None, "seven"}


def test_keys_that_restart_in_each_tar_are_other_samples_and_a_copy_counts_once(tmp_path: Path) -> None:
    for shard in range(2):
        rows = [{"__key__": f"{n:06d}", "wav": sound(n + 10 * shard), "cls": shard} for n in range(2)]
        written(tmp_path / f"c/{shard}.tar", rows)
    (tmp_path / "c/2.tar").write_bytes((tmp_path / "c/0.tar").read_bytes())
    clips = ingested("webdataset", tmp_path / "c", tmp_path / "out")
    assert {clip.info.key: clip.info.label_name for clip in clips} == {
        "0/000000": "0", "0/000001": "0", "1/000000": "1", "1/000001": "1",
    }  # fmt: skip
    (reject,) = rejects_of(tmp_path / "out")
    assert reject["reason"].startswith("holds 2 recordings of ")


def test_shards_of_ours_are_a_source_as_well(tmp_path: Path) -> None:
    made_shards(Folder.at(str(tmp_path / "ours")), train=(4, 3), validation=2)
    clips = ingested("webdataset", tmp_path / "ours", tmp_path / "out")
    folder = Folder.at(str(tmp_path / "ours"))
    before = {c.info.key: c for entry in load_manifest(folder).shards for c in read_shard(folder, entry)}
    assert len(clips) == len(before) == 9 and rejects_of(tmp_path / "out") == []
    for clip in clips:
        old = before[clip.info.key.partition("/")[2]]
        assert (clip.info.label_name, clip.info.speaker, clip.info.split) == (
            old.info.label_name,
            old.info.speaker,
            old.info.split,
        )
        assert np.array_equal(decode(clip.data), decode(old.data))


def test_what_is_damaged_is_listed_and_the_sound_beside_it_taken(tmp_path: Path) -> None:
    files = [
        ("1.wav", sound(1)), ("1.json", b'{"label": "x"}'),
        ("2.wav", sound(2)), ("2.json", b"{"),
        ("3.wav", sound(3)), ("3.json", b'{"label": ["x"]}'),
        ("4.json", b'{"label": "x"}'), ("4.txt", b""),
        ("5.wav", sound(5)[:500]), ("5.json", b'{"label": "y"}'),
        ("../6.wav", sound(6)), ("noending", b""),
    ]  # fmt: skip
    clips = ingested("webdataset", packed(tmp_path / "x.tar", files), tmp_path / "out")
    assert {clip.info.key: clip.info.label_name for clip in clips} == {"x/1": "x", "x/2": None, "x/3": None}
    told = {
        each["source_uri"].rpartition("!/")[2]: each["reason"].partition(":")[0]
        for each in rejects_of(tmp_path / "out")
    }
    assert told == {
        "2.json": "not read",
        "3.json": "not read",
        "4.json": "no recording",
        "5.wav": "truncated",
        "../6.wav": "path climbs out of the archive",
    }


def told(names: Sequence[str], texts: dict[str, str], **keys: str) -> tuple[dict[str, Entry], list[str], Counter[str]]:
    """Entries by name, notes, and how often each name is judged."""
    config = WebdatasetConfig(source="s", out="o", corpus="webdataset", **keys)
    found = list(webdataset(names, lambda name: texts.get(name, "").encode(), config))
    judged = Counter(each.name for each in found if not isinstance(each, Noted))
    entries = {each.name: each for each in found if isinstance(each, Entry)}
    return entries, [each.text for each in found if isinstance(each, Noted)], judged


NAME = st.text("ab./-_", min_size=1, max_size=6).map(lambda text: text.strip("/")).filter(bool)


@given(
    st.sets(
        st.tuples(
            st.sampled_from(["", "0.tar!/", "1.tar!/"]), NAME, st.sampled_from([".wav", ".json", ".cls", ""])
        ).map("".join)
    )
)
def test_every_name_is_judged_exactly_once(names: set[str]) -> None:
    _, _, judged = told(sorted(names), dict.fromkeys(names, '{"label": "1"}'))
    assert judged == Counter(names)


def test_files_of_a_sample_need_not_follow_each_other() -> None:
    names = ["x.tar!/1.json", "x.tar!/2.json", "x.tar!/1.wav", "x.tar!/2.wav"]
    entries, notes, _ = told(names, {names[0]: '{"label": "b"}', names[1]: '{"label": "a", "speaker": 3}'})
    assert {name[-5:]: (each.label, each.label_name, each.speaker) for name, each in entries.items()} == {
        "1.wav": (1, "b", None),
        "2.wav": (0, "a", "3"),
    }
    assert notes == [
        "labels by json:label; speakers by json:speaker; splits by none; 1 recordings have no speaker there"
    ]


def test_names_with_dots_have_what_is_theirs_beside_them() -> None:
    """webdataset ends keys at the first dot: songs called `Track 2.0 (live)` and `Track 2.1` are then one sample."""
    texts = {
        "x.tar!/Track 2.0 (Live).json": '{"label": "live"}',
        "x.tar!/Track 2.1.json": '{"label": "studio"}',
        "x.tar!/3.wav.json": '{"label": "named after the whole file"}',
        "x.tar!/4.json": '{"label": "of all"}',
    }
    names = [
        *texts,
        "x.tar!/Track 2.0 (Live).mp3",
        "x.tar!/Track 2.1.MP3",
        "x.tar!/3.wav",
        "x.tar!/4.left.flac",
        "x.tar!/4.wav",
    ]
    entries, notes, judged = told(names, texts)
    assert {name[7:]: each.label_name for name, each in entries.items()} == {
        "Track 2.0 (Live).mp3": "live",
        "Track 2.1.MP3": "studio",
        "3.wav": "named after the whole file",
        "4.left.flac": "of all",
        "4.wav": "of all",
    }
    assert notes == ["labels by json:label; speakers by none; splits by none"] and judged == Counter(names)


def test_a_field_may_stand_in_any_json_beside_the_sound() -> None:
    texts = {"x.tar!/1.info.json": '{"about": {"label": "a"}}', "x.tar!/2.INFO.json": '{"about": {"label": "b"}}'}
    names = [*texts, "x.tar!/1.wav", "x.tar!/2.wav", "x.tar!/3.wav"]
    entries, notes, _ = told(names, texts, label_from="info.json:about.label")
    assert [each.label_name for each in entries.values()] == ["a", "b", None]
    assert notes[0].startswith("labels by info.json:about.label; ") and "1 recordings have no label there" in notes[0]
    with pytest.raises(
        UserError, match=r"label_from=more\.json:x: the first samples have no \.more\.json that is read"
    ):
        told(names, texts, label_from="more.json:x")


def test_splits_are_of_the_field_asked_for_else_of_the_names_of_the_archives() -> None:
    names = [
        f"{archive}.tar!/1.{kind}"
        for archive in ("a-train-01", "a-val-01", "test-train", "x")
        for kind in ("json", "wav")
    ]
    texts = dict.fromkeys(names, '{"split": "dev", "subset": "small"}')
    by_field, notes, _ = told(names, texts)
    assert {each.split for each in by_field.values()} == {"validation"}
    assert notes[1] == "splits are those of json:split (4 validation); split=hash makes others"
    by_name, notes, _ = told(names, texts, split_from="none")
    assert [each.split for each in by_name.values()] == [
        "train", "validation", hash_split(names[5]), hash_split(names[7]),
    ]  # fmt: skip
    assert "(1 train, 1 validation); 2 others are split by hash" in notes[1]
    by_hash, notes, _ = told(names, texts, split="hash")
    assert [each.split for each in by_hash.values()] == [hash_split(name) for name in names[1::2]] and len(notes) == 1
    with pytest.raises(UserError, match="split_from=json:subset gives 'small', which names no split"):
        told(names, texts, split_from="json:subset")


def test_places_that_are_none_are_answered_by_those_that_are() -> None:
    names = ["x.tar!/1.json", "x.tar!/1.wav"]
    texts = {names[0]: '{"speakr": 1, "meta": {"word": "a"}}'}
    with pytest.raises(
        UserError, match=r"has no column 'wrod', but speakr, meta\.word; .* label_from=json:FIELD.*'word'"
    ):
        told(names, texts, label_from="json:wrod")
    with pytest.raises(UserError, match="label_from=cls: no sample has a file with this ending, but json, wav"):
        told(names, texts, label_from="cls")
    with pytest.raises(UserError, match=r"no \.json that is read"):
        told(names, {}, label_from="json:x")
    entries, _, _ = told(names, texts, label_from="json:word")
    assert entries[names[1]].label_name == "a"


def test_an_unpacked_webdataset_is_one_as_well(tmp_path: Path) -> None:
    write_sound(tmp_path / "c/train/1.wav", speechlike(0.3, 1))
    (tmp_path / "c/train/1.json").write_text(json.dumps({"label": 3}))
    (tmp_path / "c/LICENSE.md").write_text("x")
    (clip,) = ingested("webdataset", tmp_path / "c", tmp_path / "out")
    assert (clip.info.key, clip.info.label_name) == ("train/1", "3")
    assert clips_of(tmp_path / "out")[0].info == clip.info and rejects_of(tmp_path / "out") == []
