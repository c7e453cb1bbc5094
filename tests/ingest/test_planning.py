"""Plans: the same whatever the listing's order, one row group per shard, every file accounted for."""

from __future__ import annotations

import gc
import io
import itertools
import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from invertone.cluster.errors import UserError
from invertone.cluster.formats.shards import Reject, load_manifest
from invertone.cluster.storage.folder import Folder
from invertone.cluster.storage.layout import laid_out
from invertone.ingest.corpora.keys import IngestConfig
from invertone.ingest.job import plan
from invertone.ingest.plan.entries import ENTRIES, PLAN_REJECTS, read_rows, saved_plan
from invertone.ingest.plan.planning import make_plan, uncollected
from invertone.ingest.sources.members import Listing, Member
from tests.ingest.layouts import LAYOUTS, configured, ingested, wavegan_sc09

NAMES = [f"{word}/{speaker}_nohash_{n}.wav" for word in ("zero", "one") for speaker in "abcdefg" for n in range(3)]


def listing(names: list[str], **more: Member) -> Listing:
    return Listing([Member(name, 10 + at) for at, name in enumerate(sorted(names))] + list(more.values()))


def config_of(tmp_path: Path, *overrides: str) -> IngestConfig:
    return configured("sc09", tmp_path / "source", tmp_path / "out", "clips_per_shard=8", *overrides)


def keys(folder: Folder, units: int) -> list[list[str]]:
    return [[files[0]["key"] for files in read_rows(folder, number)] for number in range(units)]


def test_a_plan_reads_back_from_its_folder(tmp_path: Path) -> None:
    folder, config = Folder.at(str(tmp_path)), config_of(tmp_path)
    made = make_plan(config, listing([*NAMES, "README.md", "zero/notes.txt"]), folder)
    saved = saved_plan(folder)
    assert saved is not None
    assert (saved.units, saved.files, saved.bytes, saved.rejects) == (made.units, made.files, made.bytes, made.rejects)
    assert saved.label_names == made.label_names
    assert (made.files, made.rejects, made.passed) == (42, 1, 1)
    assert sum(unit.items for unit in made.units) == 42
    assert all(unit.items <= 8 for unit in made.units)
    assert pq.ParquetFile(io.BytesIO(folder.read_bytes(ENTRIES))).num_row_groups == len(made.units)
    for unit in made.units:
        rows = read_rows(folder, unit.work["row_group"])
        assert len(rows) == unit.items
        assert {row["split"] for (row,) in rows} == {unit.work["split"]}
        assert unit.name.startswith(f"{unit.work['split']}-0000")


def test_a_plan_that_did_not_come_to_its_end_is_made_again(tmp_path: Path) -> None:
    folder, config = Folder.at(str(tmp_path)), config_of(tmp_path)
    assert saved_plan(folder) is None
    make_plan(config, listing(NAMES), folder)
    folder.remove(PLAN_REJECTS)
    assert saved_plan(folder) is None


def test_the_listing_s_order_does_not_matter_and_the_seed_does(tmp_path: Path) -> None:
    shuffled = listing(NAMES)
    random.Random(3).shuffle(shuffled.members)
    found = []
    for number, (listed, seed) in enumerate([(listing(NAMES), 0), (shuffled, 0), (listing(NAMES), 1)]):
        folder = Folder.at(str(tmp_path / str(number)))
        plan = make_plan(config_of(tmp_path, f"seed={seed}"), listed, folder)
        found.append(keys(folder, len(plan.units)))
    assert found[0] == found[1] != found[2]
    assert sorted(itertools.chain(*found[0])) == sorted(itertools.chain(*found[2]))


def test_a_shard_mixes_words(tmp_path: Path) -> None:
    folder = Folder.at(str(tmp_path))
    plan = make_plan(config_of(tmp_path), listing(NAMES), folder)
    first = next(unit for unit in plan.units if unit.items == 8)
    rows = read_rows(folder, first.work["row_group"])
    assert {row["label_name"] for (row,) in rows} == {"zero", "one"}


def test_names_and_keys_that_occur_twice_are_listed(tmp_path: Path) -> None:
    folder, config = Folder.at(str(tmp_path)), config_of(tmp_path)
    twice = listing(["zero/a_nohash_0.wav"], again=Member("zero/a_nohash_0.wav", 10, "/c/x.tar", 512))
    plan = make_plan(config, Listing([*twice.members, Member("copy/zero/a_nohash_0.wav", 10)]), folder)
    rejects = pq.read_table(io.BytesIO(folder.read_bytes(PLAN_REJECTS))).to_pylist()
    assert plan.files == 1
    assert [(each["source_uri"], each["reason"]) for each in rejects] == [
        ("/c/x.tar!/zero/a_nohash_0.wav", "duplicate: another entry has the same name"),
    ]
    (files,) = read_rows(folder, plan.units[0].work["row_group"])  # a worker takes the first of them that is sound
    assert [each["name"] for each in files] == ["zero/a_nohash_0.wav", "copy/zero/a_nohash_0.wav"]
    again = saved_plan(folder)
    assert again and (again.files, again.units) == (plan.files, plan.units) and plan.units[0].items == 1


def test_all_windows_make_shards_of_fewer_recordings(tmp_path: Path) -> None:
    plan = make_plan(config_of(tmp_path, "window=all", "clips_per_shard=24"), listing(NAMES), None)
    assert max(unit.items for unit in plan.units) == 2


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    make_plan(config_of(tmp_path), listing(NAMES), None)
    assert list(tmp_path.iterdir()) == []


def test_a_source_without_a_clip_says_what_is_there_instead(tmp_path: Path) -> None:
    found = Listing([Member("README.md", 3), Member("x.wav", 3)], [Reject("/c/cut.tar", "", "not a readable tar")])
    with pytest.raises(UserError) as caught:
        make_plan(config_of(tmp_path), found, None)
    line = str(caught.value)
    assert "no clip of this corpus found (2 files, 1 filtered out; /c/cut.tar: not a readable tar; " in line
    assert "layout of sc09" in line


def test_a_list_that_cannot_be_read_is_a_user_error(tmp_path: Path) -> None:
    found = Listing([Member("zero/a_nohash_0.wav", 3), Member("validation_list.txt", 3)])
    with pytest.raises(UserError, match=r"validation_list\.txt: cannot be read"):
        make_plan(config_of(tmp_path), found, None)


def test_a_limit_takes_its_share_of_every_split_and_more_begin_with_the_same(tmp_path: Path) -> None:
    names = [f"{word}/{speaker}_nohash_0.wav" for word in ("zero", "one") for speaker in map(str, range(400))]
    found = {}
    for limit in (0, 100, 200):
        folder = Folder.at(str(tmp_path / str(limit)))
        plan = make_plan(config_of(tmp_path, f"limit={limit}"), listing(names), folder)
        found[limit] = {key for shard in keys(folder, len(plan.units)) for key in shard}
        assert plan.files == len(found[limit]) == (limit or 800)
        splits = {unit.work["split"] for unit in plan.units}
        assert splits == {"train", "validation", "test"}
    assert found[100] < found[200] < found[0]


@pytest.mark.parametrize("corpus", [*LAYOUTS, "webdataset"])
def test_every_corpus_has_a_limit(tmp_path: Path, corpus: str) -> None:
    """With it the labels are still those of the whole, also where such a run goes on."""
    source = LAYOUTS.get(corpus, wavegan_sc09)(tmp_path / "c")
    whole = ingested(corpus, source, tmp_path / "whole")
    config = configured(corpus, source, tmp_path / "out", "limit=2")
    assert plan(config)[0].startswith("would read: 2 recordings (")
    few = {clip.info.key: clip.info for clip in ingested(corpus, source, tmp_path / "out", "limit=2")}
    assert len(few) == 2 and few.items() <= {clip.info.key: clip.info for clip in whole}.items()
    names = [load_manifest(Folder.at(str(tmp_path / out))).label_names for out in ("whole", "out")]
    saved = saved_plan(laid_out(Folder.at(str(tmp_path / "out"))))
    assert saved is not None and names[0] == names[1] == saved.label_names


def test_labels_that_have_no_recording_keep_their_place(tmp_path: Path) -> None:
    """A class of which there are only empty files, and a plan of an older version, which left it without a name."""
    config = configured("folder", tmp_path / "c", tmp_path / "out")
    found = Listing([Member("a/1.wav", 3), Member("b/1.wav", 0), Member("c/1.wav", 3)])
    folder = Folder.at(str(tmp_path / "plan"))
    assert make_plan(config, found, folder).label_names == ("a", "b", "c")
    rows = [row for files in read_rows(folder, 0) for row in files]
    assert {row["label"]: row["label_name"] for row in rows} == {0: "a", 2: "c"}
    older = pq.read_table(io.BytesIO(folder.read_bytes(ENTRIES))).replace_schema_metadata({"label_names": "a\n\nc"})
    buffer = io.BytesIO()
    pq.write_table(older, buffer)
    folder.publish_bytes(ENTRIES, buffer.getvalue())
    saved = saved_plan(folder)
    assert saved is not None and saved.label_names == ("a", "", "c")


def test_objects_are_looked_through_again_after_a_plan_that_failed() -> None:
    assert gc.isenabled()
    with pytest.raises(KeyError), uncollected():
        assert not gc.isenabled()
        raise KeyError
    assert gc.isenabled()
