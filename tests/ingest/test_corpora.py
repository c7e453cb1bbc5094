"""Readers: what each corpus's native layout says, the same from a folder and from every kind of archive."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from invertone.audio.clip import decode
from invertone.cluster.errors import UserError
from invertone.cluster.formats.shards import Clip
from invertone.cluster.formats.signals import USUAL
from invertone.ingest.corpora.entry import Entry, Finding, Noted, Passed, Unusable, hash_split
from invertone.ingest.corpora.folder import FolderConfig
from invertone.ingest.corpora.folder import folder as folder_reader
from invertone.ingest.corpora.librispeech import LibrispeechConfig, ReadersConfig, librispeech
from invertone.ingest.corpora.nsynth import NsynthConfig, nsynth
from invertone.ingest.corpora.speech_commands import (
    DIGITS,
    WORDS,
    Sc09Config,
    SpeechCommandsConfig,
    sc09,
    speech_commands,
)
from tests.ingest import layouts
from tests.ingest.layouts import CONTAINERS, LAYOUTS, ingested, packed, rejects_of, splits_of

PLACES = {"source": "s", "out": "o"}


def described(clips: list[Clip]) -> dict[str, tuple[object, ...]]:
    return {
        c.info.key: (c.info.split, c.info.label, c.info.label_name, c.info.speaker, c.info.gender, c.info.pitch)
        for c in clips
    }


@pytest.mark.parametrize("corpus", LAYOUTS)
def test_a_corpus_gives_the_same_clips_from_its_folder_and_every_archive(tmp_path: Path, corpus: str) -> None:
    folder = LAYOUTS[corpus](tmp_path / "corpus")
    found = {}
    for container in CONTAINERS:
        clips = ingested(corpus, packed(folder, container), tmp_path / f"out{container}")
        assert rejects_of(tmp_path / f"out{container}") == []
        prefix = "corpus/" if corpus == "folder" and container != "folder" else ""
        found[container] = {clip.info.key.removeprefix(prefix): clip.data for clip in clips}
        if not prefix:
            found[f"{container} says"] = described(clips)
    assert found["folder"]
    for container in CONTAINERS:
        assert found[container] == found["folder"]
        assert found.get(f"{container} says", found["folder says"]) == found["folder says"]


def test_a_corpus_s_parent_folder_gives_the_same_keys(tmp_path: Path) -> None:
    for corpus in ("sc09", "librispeech", "nsynth", "fsdd"):
        folder = LAYOUTS[corpus](tmp_path / corpus / "corpus")
        inside = ingested(corpus, folder, tmp_path / f"{corpus}-1")
        above = ingested(corpus, folder.parent, tmp_path / f"{corpus}-2")
        assert described(inside) == described(above)


def test_sc09_takes_the_digit_words_with_their_official_split(tmp_path: Path) -> None:
    clips = ingested("sc09", layouts.speech_commands(tmp_path / "corpus"), tmp_path / "out")
    found = described(clips)
    assert len(found) == 10
    assert found["zero/a1b2c3d4_nohash_0"] == ("validation", 0, "zero", "a1b2c3d4", None, None)
    assert found["nine/ffd2ba2f_nohash_0"] == ("test", 9, "nine", "ffd2ba2f", None, None)
    assert found["nine/a1b2c3d4_nohash_0"][0] == "train"
    assert {len(decode(clip.data)) for clip in clips} == {USUAL.samples}
    assert {clip.info.length for clip in clips} == {16_000, 12_800}


def test_speech_commands_numbers_words_the_same_whatever_is_there(tmp_path: Path) -> None:
    found = described(ingested("speech_commands", layouts.speech_commands(tmp_path / "c"), tmp_path / "out"))
    assert len(found) == 20
    assert {(values[1], values[2]) for values in found.values()} == {
        (WORDS.index(word), word) for word in ("zero", "nine", "bed", "tree")
    }
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["label_names"] == list(WORDS)


def test_the_wavegan_authors_sc09_folders_are_read(tmp_path: Path) -> None:
    found = described(ingested("sc09", layouts.wavegan_sc09(tmp_path / "sc09"), tmp_path / "out"))
    assert found["zero/0a7c2a8d_nohash_0"] == ("train", 0, "zero", "0a7c2a8d", None, None)
    assert found["nine/0a7c2a8d_nohash_5"] == ("test", 9, "nine", "0a7c2a8d", None, None)
    assert splits_of_rows(found) == {"train": 2, "validation": 2, "test": 2}


def splits_of_rows(found: dict[str, tuple[object, ...]]) -> dict[object, int]:
    return {split: sum(values[0] == split for values in found.values()) for split in ("train", "validation", "test")}


def test_split_by_hash_keeps_speakers_apart(tmp_path: Path) -> None:
    clips = ingested("speech_commands", layouts.speech_commands(tmp_path / "c"), tmp_path / "out", "split=hash")
    for clip in clips:
        assert clip.info.split == hash_split(clip.info.speaker or "")


def test_the_hash_rule_is_the_one_of_the_official_lists(corpora: Path) -> None:
    root = corpora / "speech_commands_v0.01"
    lists = {
        name: split
        for file, split in (("validation_list.txt", "validation"), ("testing_list.txt", "test"))
        for name in (root / file).read_text().split()
    }
    names = [path.relative_to(root).as_posix() for path in root.glob("*/*_nohash_*.wav")]
    assert len(names) == 300
    assert {hash_split(name.split("/")[1].split("_nohash_")[0]) for name in names} == {"train", "validation", "test"}
    for name in names:
        assert hash_split(name.split("/")[1].split("_nohash_")[0]) == lists.get(name, "train"), name


@settings(max_examples=5)
@given(st.lists(st.text(st.characters(exclude_categories=("Cs",))), min_size=400, max_size=400, unique=True))
def test_a_tenth_of_speakers_is_for_validation_and_a_tenth_for_test(speakers: list[str]) -> None:
    splits = [hash_split(speaker) for speaker in speakers]
    assert 0.02 < splits.count("validation") / 400 < 0.2
    assert 0.02 < splits.count("test") / 400 < 0.2


def many_readers(each: int) -> tuple[list[str], bytes]:
    """Names of a corpus with so many readers of each sex, two utterances each, and its SPEAKERS.TXT."""
    readers = [(str(100 + number), "FM"[number % 2]) for number in range(2 * each)]
    names = [f"train-clean-100/{reader}/1/{reader}-1-{take:04d}.flac" for reader, _ in readers for take in range(2)]
    return [*names, "SPEAKERS.TXT"], "\n".join(
        f"{reader} | {sex} | train-clean-100 | 1 | X" for reader, sex in readers
    ).encode()


def drawn(each: int, **values: int) -> dict[str, tuple[str, int]]:
    """Split and label of each reader that is drawn."""
    names, table = many_readers(each)
    config = LibrispeechConfig(**PLACES, corpus="librispeech", readers=ReadersConfig(**values))
    found = list(librispeech(names, lambda name: table, config))
    assert len(found) == len(names)
    entries = [each for each in found if isinstance(each, Entry)]
    splits = {entry.speaker: (entry.split, entry.label) for entry in entries}
    assert len(entries) == 2 * len(splits)  # readers come with all their utterances
    return splits  # type: ignore[return-value]


def test_readers_are_drawn_so_many_of_each_sex_and_are_in_one_split() -> None:
    found = drawn(40, train=10, test=5, seed=3)
    counts = Counter(found.values())
    assert counts == {("train", 0): 10, ("train", 1): 10, ("test", 0): 5, ("test", 1): 5}
    assert found == drawn(40, train=10, test=5, seed=3) != drawn(40, train=10, test=5, seed=4)
    fewer = drawn(40, train=6, seed=3)
    assert all(found[reader] == place for reader, place in fewer.items()) and len(fewer) == 12


def test_more_readers_than_there_are_cannot_be_drawn() -> None:
    with pytest.raises(UserError, match=r"readers: 10 \+ 5 of sex F are asked for, 12 are there"):
        drawn(12, train=10, test=5)


def test_real_readers_are_drawn(corpora: Path) -> None:
    names = sorted(str(each.relative_to(corpora / "LibriSpeech")) for each in (corpora / "LibriSpeech").rglob("*.*"))
    config = LibrispeechConfig(**PLACES, corpus="librispeech", readers=ReadersConfig(train=10, test=5))
    found = list(librispeech(names, lambda name: (corpora / "LibriSpeech" / name).read_bytes(), config))
    entries = [each for each in found if isinstance(each, Entry)]
    readers = {(entry.split, entry.gender, entry.speaker) for entry in entries}
    assert Counter((split, sex) for split, sex, _ in readers) == {
        ("train", "F"): 10,
        ("train", "M"): 10,
        ("test", "F"): 5,
        ("test", "M"): 5,
    }
    assert len({reader for _, _, reader in readers}) == 30


def test_librispeech_labels_by_sex_and_splits_by_subset(tmp_path: Path) -> None:
    found = described(ingested("librispeech", layouts.librispeech(tmp_path / "c"), tmp_path / "out"))
    assert found["train-clean-100/19/198/19-198-0000"] == ("train", 0, "F", "19", "F", None)
    assert found["dev-clean/26/495/26-495-0001"] == ("validation", 1, "M", "26", "M", None)
    assert found["dev-clean/77/1/77-1-0000"] == ("validation", None, None, "77", None, None)
    assert len(found) == 6
    only = ingested("librispeech", tmp_path / "c", tmp_path / "only", "subsets=[dev-clean]")
    assert {clip.info.speaker for clip in only} == {"26", "77"}


def test_all_windows_of_an_utterance_follow_each_other(tmp_path: Path) -> None:
    folder = layouts.librispeech(tmp_path / "c")
    clips = ingested("librispeech", folder, tmp_path / "out", "window=all", "hop=8192")
    for name, samples in (("train-clean-100/19/198/19-198-0000", 40_000), ("dev-clean/77/1/77-1-0000", 17_600)):
        windows = [clip for clip in clips if clip.info.key.startswith(f"{name}@")]
        assert [clip.info.start for clip in windows] == [8_192 * n for n in range(len(windows))]
        assert len(windows) == 1 + math.ceil((samples - USUAL.samples) / 8_192)
        whole, _ = soundfile.read(folder / f"{name}.flac", dtype="int16")
        for clip in windows:
            stretch = whole[clip.info.start : clip.info.start + USUAL.samples]
            sound = decode(clip.data)
            assert clip.info.length == len(stretch)
            assert (sound[: len(stretch)] == stretch).all()
            assert not sound[len(stretch) :].any()


def test_a_random_window_is_a_stretch_of_its_recording_chosen_by_seed(tmp_path: Path) -> None:
    folder = layouts.librispeech(tmp_path / "c")
    runs = [ingested("librispeech", folder, tmp_path / f"o{n}", f"seed={seed}") for n, seed in enumerate((0, 0, 1))]
    places = [{clip.info.key: clip.info.start for clip in run} for run in runs]
    assert places[0] == places[1] != places[2]
    for clip in runs[0]:
        whole, _ = soundfile.read(clip.info.source_uri, dtype="int16")
        assert (decode(clip.data) == whole[clip.info.start : clip.info.start + USUAL.samples]).all()


def test_nsynth_filters_families_sources_and_pitches(tmp_path: Path) -> None:
    folder = layouts.nsynth(tmp_path / "nsynth-valid")
    shipped = described(ingested("nsynth", folder, tmp_path / "shipped"))
    assert shipped == {
        "guitar_acoustic_000-060-100": ("validation", 0, "guitar", "guitar_acoustic_000", None, 60),
        "string_acoustic_001-040-100": ("validation", 1, "string", "string_acoustic_001", None, 40),
    }
    every = described(ingested("nsynth", folder, tmp_path / "all", "families=[]", "sources=[]", "split=hash"))
    assert {values[2]: values[1] for values in every.values()} == {"guitar": 3, "string": 8, "bass": 0}
    assert all(values[0] == hash_split(str(values[3])) for values in every.values())
    low = ingested("nsynth", folder, tmp_path / "low", "families=[]", "sources=[]", "pitch_max=40")
    assert {clip.info.pitch for clip in low} == {30, 40}


def findings(found: list[Finding]) -> dict[str, str]:
    return {
        each.name: "entry" if isinstance(each, Entry) else "passed" if isinstance(each, Passed) else each.reason
        for each in found
    }


def test_every_name_is_judged_exactly_once() -> None:
    """Silence would hide a file: each name is an entry, unusable or passed over, and each only once."""
    names = [
        "stray.wav",
        "train/examples.json",
        "train/audio/a.wav",
        "train/audio/b.wav",
        "train/notes/x.wav",
        "train/README.md",
        "train/inner/examples.json",
        "train/inner/audio/c.wav",
        "zero/a_nohash_0.wav",
        "zero/a_nohash_1.mp3",
        "validation_list.txt",
        "nothing/x.wav",
        "dev-clean/1/2/1-2-0000.flac",
        "dev-clean/1/2/1-2-0000.wav",
        "dev-clean/1/2/2-2-0000.flac",
        "SPEAKERS.TXT",
    ]
    note = {"instrument_family_str": "bass", "instrument_source_str": "acoustic", "instrument_str": "i", "pitch": 1}
    sides = {
        "train/examples.json": json.dumps({"a": note, "gone": note, "bad": {}}).encode(),
        "train/inner/examples.json": json.dumps({"c": note}).encode(),
    }

    def read(name: str) -> bytes:
        return sides.get(name, b"")

    readers = [
        (nsynth, NsynthConfig(**PLACES, corpus="nsynth")),
        (sc09, Sc09Config(**PLACES, corpus="sc09")),
        (speech_commands, SpeechCommandsConfig(**PLACES, corpus="speech_commands")),
        (librispeech, LibrispeechConfig(**PLACES, corpus="librispeech")),
        (folder_reader, FolderConfig(**PLACES, corpus="folder")),
    ]
    for reader, config in readers:
        found = list(reader(names, read, config))  # type: ignore[operator]
        judged = [each.name for each in found if each.name in names]
        missing = {*names} - {*judged} - ({*sides} if reader is nsynth else set())
        assert not missing, reader
        assert len(judged) == len(set(judged)), reader
    notes = findings(list(nsynth(names, read, NsynthConfig(**PLACES, corpus="nsynth"))))
    assert notes["train/audio/a.wav"] == notes["train/inner/audio/c.wav"] == "entry"
    assert notes["train/audio/b.wav"] == "examples.json does not describe it"
    assert notes["train/audio/gone.wav"] == "examples.json describes it, but it is not there"
    assert notes["train/notes/x.wav"] == "not an audio/NOTE.wav file"
    assert notes["stray.wav"] == "no examples.json beside it"
    utterances = findings(list(librispeech(names, read, LibrispeechConfig(**PLACES, corpus="librispeech"))))
    assert utterances["dev-clean/1/2/1-2-0000.flac"] == "entry"
    assert utterances["dev-clean/1/2/1-2-0000.wav"].startswith("wrong extension")
    assert utterances["dev-clean/1/2/2-2-0000.flac"].startswith("not named")
    words = findings(list(sc09(names, read, Sc09Config(**PLACES, corpus="sc09"))))
    assert words["zero/a_nohash_0.wav"] == "entry"
    assert words["zero/a_nohash_1.mp3"].startswith("wrong extension: .mp3")
    assert words["nothing/x.wav"] == "not in a folder named after a word of the corpus"


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xff"])
def test_a_damaged_examples_json_is_a_user_error(content: bytes) -> None:
    config = NsynthConfig(**PLACES, corpus="nsynth")
    with pytest.raises(UserError, match=r"examples\.json"):
        list(nsynth(["examples.json", "audio/a.wav"], lambda name: content, config))
    with pytest.raises(UserError, match=r"no examples\.json in the source"):
        list(nsynth(["audio/a.wav"], lambda name: content, config))


def folders(names: list[str], **options: str) -> dict[str, Entry | Unusable]:
    config = FolderConfig(**PLACES, corpus="folder", **options)
    found = folder_reader(names, lambda name: b"", config)
    return {each.name: each for each in found if not isinstance(each, Noted)}  # type: ignore[misc]


def splits_of_tree(names: list[str], **options: str) -> tuple[dict[str, str], list[str]]:
    """The split of each file, and what is said of them."""
    config = FolderConfig(**PLACES, corpus="folder", **options)
    found = list(folder_reader(names, lambda name: b"", config))
    said = [each.text for each in found if isinstance(each, Noted)]
    return {each.name: each.split for each in found if isinstance(each, Entry)}, said


def test_any_tree_is_labelled_by_folder() -> None:
    found = folders(["b/1.wav", "x/a/2.flac", "3.ogg", "b/notes.txt", "b/none"])
    assert [(e.label, e.label_name) for e in found.values() if isinstance(e, Entry)] == [
        (1, "b"),
        (0, "a"),
        (None, None),
    ]
    assert found["b/notes.txt"] == Unusable("b/notes.txt", "wrong extension: .txt is no audio format known here")
    assert isinstance(found["b/none"], Unusable)


def test_labels_that_are_numbers_stand_in_their_order() -> None:
    found = folders([f"{label}/1.wav" for label in (10, 9, 0, 2)])
    assert {each.label_name: each.label for each in found.values() if isinstance(each, Entry)} == {
        "0": 0,
        "2": 1,
        "9": 2,
        "10": 3,
    }


def test_any_tree_is_labelled_by_a_pattern_with_speaker_and_split() -> None:
    pattern = r"(?P<split>Train|dev|Validation|VAL)/(?P<speaker>\w+)_(?P<label>\w+)_"
    names = ["Train/ann_yes_1.wav", "dev/bob_no_1.wav", "Validation/cy_no_1.wav", "VAL/dee_yes_1.wav", "Train/x.wav"]
    found = folders(names, label_from="pattern", pattern=pattern)
    entries = [each for each in found.values() if isinstance(each, Entry)]
    assert [(e.split, e.label, e.label_name, e.speaker) for e in entries] == [
        ("train", 1, "yes", "ann"),
        ("validation", 0, "no", "bob"),
        ("validation", 0, "no", "cy"),
        ("validation", 1, "yes", "dee"),
    ]
    assert found["Train/x.wav"] == Unusable("Train/x.wav", "the pattern does not match its path")
    by_hash = folders(names[:2], label_from="pattern", pattern=pattern, split="hash")
    assert [e.split for e in by_hash.values() if isinstance(e, Entry)] == [hash_split("ann"), hash_split("bob")]


def test_an_archive_s_name_is_no_label() -> None:
    found = folders(["000000.tar!/1.wav", "000001.tar!/1.wav", "x.zip!/a/1.wav", "Wow!/1.wav"])
    told = {e.path: e.label_name for e in found.values() if isinstance(e, Entry)}
    assert told == {"000000/1.wav": None, "000001/1.wav": None, "x/a/1.wav": "a", "Wow!/1.wav": "Wow!"}


def test_folders_named_as_splits_are_no_labels() -> None:
    found = folders(["train/1.wav", "test/2.wav"])
    assert [(e.split, e.label) for e in found.values() if isinstance(e, Entry)] == [("train", None), ("test", None)]
    by_hash = folders(["train/1.wav", "test/2.wav"], split="hash")
    assert [e.label_name for e in by_hash.values() if isinstance(e, Entry)] == ["train", "test"]


def test_a_split_of_the_pattern_that_is_none_is_refused() -> None:
    pattern = r"(?P<split>\w+)/(?P<label>\w+)/"
    with pytest.raises(
        UserError, match=r"extra/a/1\.wav: the pattern's group split says 'extra', which names no split"
    ):
        splits_of_tree(["train/a/1.wav", "extra/a/1.wav"], label_from="pattern", pattern=pattern)
    told = splits_of_tree(["train/a/1.wav", "extra/a/1.wav"], label_from="pattern", pattern=pattern, split="hash")
    assert told == ({name: hash_split(name) for name in told[0]}, [])


@pytest.mark.parametrize(
    ("names", "options", "splits"),
    [
        (["train/a/1", "test/a/2", "Val/b/3"], {}, ["train", "test", "validation"]),
        (["x/y/dev/a/1", "x/y/eval/b/2", "x/y/training/b/3"], {}, ["validation", "validation", "train"]),
        (["train/1", "test/2"], {"label_from": "none"}, ["train", "test"]),
        (["x/train/a/1", "x/train/b/2"], {}, ["train", "train"]),
        (["a/test/1", "a/train/2"], {"label_from": "none"}, ["test", "train"]),
        (["train/a/1", "test/a/2", "a/3"], {}, ["train", "test", None]),
        (["train/1", "test/2"], {}, ["train", "test"]),
        (["train.tar!/1", "Test.tar.gz!/a/2"], {}, ["train", "test"]),
        (["train/1", "test/a/2", "3"], {"label_from": "none"}, ["train", "test", None]),
        # classes, not splits
        (["train/1", "test/2", "x/other/3"], {}, [None, None, None]),
        (["train/x/1", "car/x/2"], {}, [None, None]),
        (["a/1", "b/2"], {}, [None, None]),
        (["train/a/1", "test/a/2"], {"split": "hash"}, [None, None]),
    ],
)
def test_folders_named_as_splits_are_the_corpus_s_own(
    names: list[str], options: dict[str, str], splits: list[str | None]
) -> None:
    found, said = splits_of_tree([f"{name}.wav" for name in names], **options)
    assert found == {f"{n}.wav": split or hash_split(f"{n}.wav") for n, split in zip(names, splits, strict=True)}
    known = sum(split is not None for split in splits)
    assert len(said) == (known > 0)
    assert not said or ("files outside them are split by hash" in said[0]) == (known < len(names))


@pytest.mark.parametrize("pattern", ["", "(", "(?P<other>x)"])
def test_a_pattern_that_finds_no_label_is_a_user_error(pattern: str) -> None:
    with pytest.raises(UserError, match="pattern"):
        folders(["a.wav"], label_from="pattern", pattern=pattern)


@pytest.mark.parametrize("container", CONTAINERS)
def test_real_sc09_from_every_container(corpora: Path, tmp_path: Path, container: str) -> None:
    source = corpora / "speech_commands_v0.01"
    if container != "folder":
        (tmp_path / source.name).symlink_to(source)
        source = packed(Path(layouts.shutil.copytree(source, tmp_path / "copy" / source.name)), container)
    clips = ingested("sc09", source, tmp_path / "out")
    assert splits_of(clips) == {"train": 62, "validation": 16, "test": 22}
    assert {clip.info.label_name for clip in clips} == set(DIGITS)
    assert rejects_of(tmp_path / "out") == []
    again = ingested("sc09", corpora / "speech_commands_v0.01", tmp_path / "folder")
    assert {c.info.key: c.data for c in clips} == {c.info.key: c.data for c in again}


def test_real_fsdd_has_its_official_split(corpora: Path, tmp_path: Path) -> None:
    clips = ingested("fsdd", corpora / "fsdd", tmp_path / "out")
    assert splits_of(clips) == {"train": 2_250, "test": 250}
    assert all(int(c.info.key.split("_")[2]) < 5 for c in clips if c.info.split == "test")


def test_real_nsynth_with_the_shipped_config(corpora: Path, tmp_path: Path) -> None:
    clips = ingested("nsynth", corpora / "nsynth-mini", tmp_path / "out")
    notes = json.loads((corpora / "nsynth-mini/examples.json").read_text())
    wanted = {
        name
        for name, note in notes.items()
        if note["instrument_family_str"] in ("guitar", "string", "mallet")
        and note["instrument_source_str"] == "acoustic"
    }
    assert {clip.info.key for clip in clips} == wanted
    assert len(clips) == 60
    assert all(clip.info.pitch == notes[clip.info.key]["pitch"] for clip in clips)


def test_real_librispeech_gives_as_many_windows_as_its_durations_say(corpora: Path, tmp_path: Path) -> None:
    paths = sorted((corpora / "LibriSpeech").rglob("*.flac"))
    windows = sum(
        1 + max(0, math.ceil((soundfile.info(path).frames - USUAL.samples) / USUAL.samples)) for path in paths
    )
    clips = ingested("librispeech", corpora / "LibriSpeech", tmp_path / "out", "window=all")
    assert len(clips) == windows > 1_000
    assert len({clip.info.key.split("@")[0] for clip in clips}) == len(paths)
    readers = {clip.info.speaker: clip.info.label_name for clip in clips}
    assert sorted(readers.values()).count("F") == sorted(readers.values()).count("M") == 70
