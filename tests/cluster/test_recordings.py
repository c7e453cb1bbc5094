"""Rows of windows become recordings, whatever files they lie in; tables of them are read without us."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from invertone.cluster.errors import UserError
from invertone.cluster.formats.latents import ERROR, METADATA_KEY, OK, table_bytes
from invertone.cluster.formats.recordings import (
    WINDOW,
    Missing,
    Recording,
    by_unit,
    missing_table,
    recordings_in,
    recordings_schema,
    recordings_table,
    rows_without,
)
from invertone.cluster.formats.shards import Clip, ClipInfo, clip_key, recording_of, window_key

VECTORS = {"latent": 2, "guided_latent": 1}


def row(recording: str, start: int, status: str = OK, **more: Any) -> dict[str, Any]:
    found = {"latent": [float(start), 1.0], "guided_latent": [-1.0]} if status == OK else {"error": "not finite"}
    return {
        "key": window_key(recording, start),
        "label_name": "six",
        "speaker": "s1",
        "split": "test",
        "source_uri": f"{recording}.wav",
        "start": start,
        "length": 10,
        "status": status,
        **found,
        **more,
    }


def table(*rows: dict[str, Any]) -> pa.Table:
    vectors = [(name, pa.list_(pa.float32(), size)) for name, size in VECTORS.items()]
    return pa.Table.from_pylist(list(rows), pa.schema([*WINDOW, *vectors]))


def read(*tables: pa.Table) -> list[Recording]:
    return list(recordings_in(tables, list(VECTORS)))


@given(st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda text: "/" not in text), st.integers(0, 10**12))
def test_a_window_s_key_names_its_recording_and_no_other_key_does(path: str, start: int) -> None:
    key = clip_key(path)
    assert recording_of(key) == (key, False)
    assert recording_of(window_key(key, start)) == (key, True)


def test_shards_are_of_the_unit_that_their_names_say_in_its_order() -> None:
    names = [f"train-000007-{number:04d}" for number in (100_000, 10_000, 9_999, 2, 1)]
    found = by_unit([*names, "train-000007", "test-000007", "train-000070", "of-another-kind"])
    assert found == {
        "of-another-kind": ["of-another-kind"],
        "test-000007": ["test-000007"],
        "train-000007": ["train-000007", *reversed(names)],  # the numbers count, not the letters
        "train-000070": ["train-000070"],
    }


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5), st.sets(st.integers(1, 20)))
def test_where_files_end_makes_no_difference(windows: list[int], ends: set[int]) -> None:
    rows = [row(f"r{number}", 8 * at) for number, count in enumerate(windows) for at in range(count)]
    cuts = sorted({0, len(rows), *(end for end in ends if end < len(rows))})
    found = read(*(table(*rows[a:b]) for a, b in zip(cuts, cuts[1:], strict=False)))
    assert [each.key for each in found] == [f"r{number}" for number in range(len(windows))]
    for each, count in zip(found, windows, strict=True):
        assert each.starts.tolist() == [8 * at for at in range(count)] and each.lengths.tolist() == [10] * count
        assert each.latents.tolist() == [[8.0 * at, 1.0] for at in range(count)] and each.latents.dtype == np.float32
        assert each.vectors["guided_latent"].shape == (count, 1)
        assert (each.begin, each.samples, each.missing) == (0, 8 * (count - 1) + 10, ())
        key, starts, latents = each
        assert (key, starts is each.starts, latents is each.latents) == (each.key, True, True)


def test_what_failed_leaves_a_gap_and_is_told() -> None:
    (found,) = read(table(row("a", 0), row("a", 8, ERROR)), table(row("a", 16), row("a", 24, ERROR, length=3)))
    assert found.starts.tolist() == [0, 16] and found.latents[:, 0].tolist() == [0, 16]
    assert [(gap.key, gap.start, gap.length, gap.reason, gap.lacks) for gap in found.missing] == [
        ("a@0000000008", 8, 10, "not finite", "latent"),
        ("a@0000000024", 24, 3, "not finite", "latent"),
    ]
    assert found.samples == 27  # the recording is as long as it is
    (none,) = read(table(row("a", 0, ERROR)))
    assert none.latents.shape == (0, 2) and none.vectors["guided_latent"].shape == (0, 1) and none.samples == 10


def test_clips_that_were_not_inverted_are_windows_that_are_missing() -> None:
    info = ClipInfo("a@0000000008", "test", "a.wav", 8, 10, 16_000, 3, "six", "s1", "f", 60, (0.5,))
    (found,) = read(table(row("a", 0)), rows_without([Clip(info, b"", "flac")], "worker died", VECTORS))
    assert found.starts.tolist() == [0] and [gap.reason for gap in found.missing] == ["worker died"]
    (alone,) = read(rows_without([Clip(info, b"", "flac")], "worker died", VECTORS))
    assert (alone.label, alone.label_name, alone.speaker, alone.split) == (3, "six", "s1", "test")


def test_a_clip_that_is_no_window_is_a_recording_that_begins_where_it_does() -> None:
    one, other = read(table(row("a", 70, key="a"), row("b", 0, key="b")))
    assert (one.key, one.windowed, one.begin, one.samples, len(one.starts)) == ("a", False, 70, 80, 1)
    assert (other.key, other.begin, other.samples) == ("b", 0, 10)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("a", 0), ("b", 0), ("a", 8)], "a: windows of one recording do not lie together"),
        ([("a", 8), ("a", 0)], "a: windows of one recording are not in the order of time"),
        ([("a", 8), ("a", 8)], "a: windows of one recording are not in the order of time"),
    ],
)
def test_what_is_relied_on_is_checked(rows: list[tuple[str, int]], said: str) -> None:
    with pytest.raises(UserError) as refused:
        read(*(table(row(*each)) for each in rows))
    assert str(refused.value).startswith(said)


def test_memory_holds_one_recording_and_one_table() -> None:
    taken = []

    def tables() -> Any:
        for number in range(10):
            taken.append(number)
            yield table(row(f"r{number}", 0))

    for number, each in enumerate(recordings_in(tables(), list(VECTORS))):
        assert each.key == f"r{number}" and taken[-1] <= number + 1


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = read(table(row("a", 0), row("a", 8, ERROR), row("a", 16), row("b", 0), row("c", 0), row("c", 8)))
    schema = recordings_schema(VECTORS, {"method": "gaae", "sample_rate": 16_000})
    made = recordings_table(found, schema, {"a": "sounds/a.flac"}, {"b": "killed its worker"})
    assert made.schema.equals(schema)
    path = tmp_path / "recordings" / "train-000000.parquet"
    path.parent.mkdir()
    path.write_bytes(table_bytes(made))
    return path


def test_pyarrow_reads_lists_of_plain_fixed_size_lists(file: Path) -> None:
    found = pq.read_table(file)
    assert found.schema.field("latent").type == pa.list_(pa.list_(pa.float32(), 2))
    assert found["latent"].to_pylist() == [[[0, 1], [16, 1]], [], [[0, 1], [8, 1]]]
    assert found["start"].to_pylist() == [[0, 16], [], [0, 8]] and found["windows"].to_pylist() == [2, 0, 2]
    assert found["missing"].to_pylist() == [[8], [], []] and found["samples"].to_pylist() == [26, 10, 18]
    assert found["status"].to_pylist() == ["ok", "error", "ok"]
    assert found["error"].to_pylist() == [None, "killed its worker", None]
    assert found["sound"].to_pylist() == ["sounds/a.flac", None, None]
    assert b'"sample_rate": 16000' in found.schema.metadata[METADATA_KEY]


def test_duckdb_pandas_and_polars_read_them(file: Path) -> None:
    rows = duckdb.sql(f"select key, latent[2][1], len(start) from '{file.parent}/*.parquet' order by key").fetchall()
    assert rows == [("a", 16.0, 2), ("b", None, 0), ("c", 8.0, 2)]
    frame = pd.read_parquet(file.parent).set_index("key")
    assert np.stack(list(frame.loc["c", "latent"])).tolist() == [[0, 1], [8, 1]]
    lazy = pl.read_parquet(file)
    assert lazy["latent"].dtype == pl.List(pl.Array(pl.Float32, 2)) and lazy["latent"][0].to_list() == [[0, 1], [16, 1]]


def test_hugging_face_datasets_read_them(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    loaded = datasets.load_dataset(
        "parquet", data_files=str(file.parent / "*.parquet"), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert loaded["key"][:] == ["a", "b", "c"] and loaded[0]["latent"] == [[0, 1], [16, 1]]


def test_a_table_of_no_recordings_has_the_same_columns() -> None:
    schema = recordings_schema(VECTORS, {})
    assert recordings_table([], schema, {}, {}).schema.equals(schema)


def test_what_is_missing_is_a_table() -> None:
    rows = [Missing("a", "a@0000000008", 8, 10, "not finite"), Missing(None, None, None, None, "shard is damaged")]
    assert missing_table(rows).to_pylist()[0] == {
        "recording": "a",
        "key": "a@0000000008",
        "start": 8,
        "length": 10,
        "lacks": "latent",
        "reason": "not finite",
    }
    assert missing_table(rows)["start"].to_pylist() == [8, None] and len(missing_table([])) == 0
