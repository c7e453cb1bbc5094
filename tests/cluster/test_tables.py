"""Tables of latents: pyarrow, DuckDB and pandas read them without us, and only committed files count."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from s3fs.core import S3File

from invertone.audio.clip import decode, encode
from invertone.cluster.errors import UserError
from invertone.cluster.formats.latents import (
    AUDIO,
    OK,
    committed_parts,
    described,
    latents_schema,
    parquet_bytes,
    read_columns,
    read_part,
)
from invertone.cluster.formats.ledger import Commit, Ledger, Output
from invertone.cluster.storage.folder import Folder, content_digest, sha256

SCHEMA = latents_schema(4, ["log_magnitude"], {"method": "hybrid", "shards": "d1"})


def row(key: str, **more: Any) -> dict[str, Any]:
    return {
        "key": key,
        "label": 3,
        "start": 0,
        "length": 16_384,
        "method": "hybrid",
        "latent": np.float32([0.25, -1, 0.1, 0]).tolist(),
        "reconstruction": {"bytes": b"fLaC", "path": f"{key}.flac"},
        "ssim": 0.5,
        "status": OK,
        **more,
    }


ROWS = [row("a"), row("b", latent=None, reconstruction=None, ssim=None, status="error", error="not finite")]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "part.parquet"
    path.write_bytes(parquet_bytes(ROWS, SCHEMA))
    return path


def test_pyarrow_reads_a_plain_fixed_size_list_and_nulls(file: Path) -> None:
    table = pq.read_table(file)
    assert table.schema.field("latent").type == pa.list_(pa.float32(), 4)
    assert table.schema.field("reconstruction").type == AUDIO
    assert table["latent"][0].as_py() == pytest.approx([0.25, -1, 0.1, 0], abs=1e-8)
    assert table["latent"][1].as_py() is None
    assert table["ssim"].to_pylist() == [0.5, None]
    assert table["reconstruction"].to_pylist() == [{"bytes": b"fLaC", "path": "a.flac"}, None]
    assert not any(isinstance(field.type, pa.BaseExtensionType) for field in table.schema)


def test_duckdb_reads_it(file: Path) -> None:
    rows = duckdb.sql(f"select key, latent[2], reconstruction.path, ssim from '{file}' order by key").fetchall()
    assert rows == [("a", -1.0, "a.flac", 0.5), ("b", None, None, None)]


def test_pandas_reads_it(file: Path) -> None:
    frame = pd.read_parquet(file).set_index("key")
    assert list(frame.loc["a", "latent"]) == pytest.approx([0.25, -1, 0.1, 0])
    assert frame.loc["b", "error"] == "not finite"
    assert np.isnan(frame.loc["b", "ssim"])


def test_polars_reads_it(file: Path) -> None:
    frame = pl.read_parquet(file)
    assert frame["latent"].dtype == pl.Array(pl.Float32, 4) and frame["latent"][0].to_list() == pytest.approx(
        [0.25, -1, 0.1, 0]
    )
    assert frame.filter(pl.col("status") == OK)["key"].to_list() == ["a"]
    assert frame.select(pl.col("reconstruction").struct.field("path"))["path"].to_list() == ["a.flac", None]


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The rows as Hugging Face datasets loads them, with a second of sound in each."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    samples = np.arange(-8_192, 8_192, dtype=np.int16)
    rows = [row(key, reconstruction={"bytes": encode(samples, "flac", 16_000), "path": f"{key}.flac"}) for key in "ab"]
    (tmp_path / "part.parquet").write_bytes(parquet_bytes(rows, SCHEMA))
    loaded = datasets.load_dataset(
        "parquet", data_files=str(tmp_path / "part.parquet"), split="train", cache_dir=str(tmp_path / "cache")
    )
    return loaded.cast_column("reconstruction", datasets.Audio(decode=False))


def test_hugging_face_datasets_takes_reconstructions_as_audio(dataset: Any) -> None:
    first = dataset[0]
    assert (first["key"], first["latent"]) == ("a", pytest.approx([0.25, -1, 0.1, 0]))
    assert first["reconstruction"]["path"] == "a.flac"
    assert decode(first["reconstruction"]["bytes"])[0] == -8_192


def test_hugging_face_datasets_decodes_reconstructions(dataset: Any) -> None:
    from datasets import Audio

    try:
        sound = dataset.cast_column("reconstruction", Audio())[1]["reconstruction"]
    except RuntimeError as error:
        if "Could not load libtorchcodec" not in str(error):
            raise
        pytest.skip("torchcodec, by which datasets decodes, finds no FFmpeg on this machine")
    assert sound["sampling_rate"] == 16_000 and len(sound["array"]) == 16_384
    assert sound["array"][0] == pytest.approx(-0.25, abs=1e-4)


def test_a_latent_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(pa.ArrowInvalid):
        parquet_bytes([row("a", latent=[1.0, 2.0])], SCHEMA)


def test_equal_rows_give_equal_bytes() -> None:
    assert parquet_bytes(ROWS, SCHEMA) == parquet_bytes(
        list(ROWS), latents_schema(4, ["log_magnitude"], {"shards": "d1", "method": "hybrid"})
    )


def test_only_committed_parts_are_listed_and_say_what_made_them(tmp_path: Path) -> None:
    folder = Folder.at(str(tmp_path))
    ledger = Ledger(folder, "s")
    with pytest.raises(UserError, match="no committed Parquet here"):
        described(folder)
    for name in ("train-1", "train-0", "crashed"):
        folder.publish_bytes(f"latents/{name}.parquet", parquet_bytes(ROWS, SCHEMA))
    for name in ("train-1", "train-0"):
        outputs = (Output(f"latents/{name}.parquet", 1, "d"), Output(f"{name}.txt", 1, "d"))
        ledger.commit(Commit(name, 3, outputs, {}))
    assert [part.name for part in committed_parts(folder)] == ["latents/train-0.parquet", "latents/train-1.parquet"]
    assert described(folder) == {"version": 1, "method": "hybrid", "shards": "d1"}


def test_somebody_else_s_parquet_is_refused(tmp_path: Path) -> None:
    folder = Folder.at(str(tmp_path))
    pq.write_table(pa.table({"x": [1]}), tmp_path / "x.parquet")
    Ledger(folder, "s").commit(Commit("x", 1, (Output("x.parquet", 1, "d"),), {}))
    with pytest.raises(UserError, match=r"x\.parquet: Parquet without our metadata"):
        described(folder)


def test_a_part_is_read_as_it_was_committed_or_not_at_all(tmp_path: Path) -> None:
    folder, data = Folder.at(str(tmp_path)), parquet_bytes(ROWS, SCHEMA)
    folder.publish_bytes("x.parquet", data)
    part = Output("x.parquet", len(data), sha256(data))
    assert read_part(folder, part).num_rows == len(ROWS)
    folder.publish_bytes("x.parquet", data[:-100])
    with pytest.raises(UserError, match=rf"x\.parquet: has {len(data) - 100} bytes, {len(data)} were recorded"):
        read_part(folder, part)
    folder.publish_bytes("x.parquet", data[:50] + bytes([data[50] ^ 1]) + data[51:])
    with pytest.raises(UserError, match=r"x\.parquet: content differs"):
        read_part(folder, part)
    other = Output("y.parquet", 1, "d")
    assert content_digest([part]) != content_digest([other]) != content_digest([part, other])


@pytest.fixture
def large(tmp_path: Path) -> tuple[Folder, Output]:
    """A file of 300 rows whose sound is most of it."""
    sound = np.random.default_rng(0)
    rows = [row(f"{n:03d}", ssim=n / 300, reconstruction={"bytes": sound.bytes(2_000), "path": ""}) for n in range(300)]
    data = parquet_bytes(rows, SCHEMA)
    folder = Folder.at(str(tmp_path))
    folder.publish_bytes("x.parquet", data)
    return folder, Output("x.parquet", len(data), sha256(data))


def chunk(folder: Folder, name: str) -> slice:
    """Where a column lies in x.parquet."""
    group = pq.read_metadata(folder.path_of("x.parquet")).row_group(0)
    column = next(group.column(at) for at in range(group.num_columns) if group.column(at).path_in_schema == name)
    start = min(each for each in (column.dictionary_page_offset, column.data_page_offset) if each is not None)
    return slice(start, start + column.total_compressed_size)


def flip(folder: Folder, at: int) -> None:
    path = Path(folder.path_of("x.parquet"))
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))


def test_columns_are_read_without_the_sound_beside_them(
    large: tuple[Folder, Output], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, part = large
    taken = list[int]()

    class Counted(io.FileIO):
        def read(self, size: int | None = -1) -> bytes:
            data = super().read(-1 if size is None else size)
            taken.append(len(data))
            return data

    monkeypatch.setattr(Folder, "open", lambda self, name, ahead=None: Counted(self.path_of(name)))
    found = read_columns(folder, part, ["key", "ssim", "latent", "no such column"])
    assert found.column_names == ["key", "ssim", "latent"] and found["ssim"].to_pylist() == [
        n / 300 for n in range(300)
    ]
    assert sum(taken) < 0.3 * part.bytes, "the rest was read as well"


@pytest.mark.parametrize("name", ["key", "ssim", "latent.list.element"])
def test_a_byte_that_flipped_in_what_is_read_is_found(large: tuple[Folder, Output], name: str) -> None:
    folder, part = large
    within = chunk(folder, name)
    flip(folder, within.stop - 3)
    with pytest.raises(UserError, match=r"x\.parquet: content differs from what was written: .*CRC"):
        read_columns(folder, part, ["key", "ssim", "latent"])


def test_a_byte_that_flipped_in_what_is_not_read_is_left_to_verify(large: tuple[Folder, Output]) -> None:
    folder, part = large
    flip(folder, chunk(folder, "reconstruction.bytes").stop - 3)
    assert read_columns(folder, part, ["ssim"]).num_rows == 300
    with pytest.raises(UserError, match="content differs from what was recorded"):
        read_part(folder, part)


def test_columns_of_a_file_cut_short_or_gone_or_no_parquet_are_refused(large: tuple[Folder, Output]) -> None:
    folder, part = large
    path = Path(folder.path_of("x.parquet"))
    data = path.read_bytes()
    path.write_bytes(data[:-9])
    with pytest.raises(UserError, match=f"has {part.bytes - 9} bytes, {part.bytes} were recorded"):
        read_columns(folder, part, ["ssim"])
    path.write_bytes(data[:-9] + bytes(9))
    with pytest.raises(UserError, match="content differs from what was written"):
        read_columns(folder, part, ["ssim"])
    path.unlink()
    with pytest.raises(UserError, match=r"x\.parquet: file is missing"):
        read_columns(folder, part, ["ssim"])


def test_columns_of_an_older_file_are_verified_by_the_whole_of_it(large: tuple[Folder, Output]) -> None:
    folder, _ = large
    pq.write_table(pa.Table.from_pylist(ROWS, schema=SCHEMA), folder.path_of("x.parquet"))
    data = folder.read_bytes("x.parquet")
    old = Output("x.parquet", len(data), sha256(data))
    assert read_columns(folder, old, ["ssim"])["ssim"].to_pylist() == [0.5, None]
    flip(folder, chunk(folder, "reconstruction.path").stop - 3)
    with pytest.raises(UserError, match="content differs from what was recorded"):
        read_columns(folder, old, ["ssim"])


def test_storage_that_fails_while_columns_are_read_is_no_damage(
    large: tuple[Folder, Output], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Lost(io.FileIO):
        def read(self, size: int | None = -1) -> bytes:
            raise TimeoutError("the disk does not answer")

    monkeypatch.setattr(Folder, "open", lambda self, name, ahead=None: Lost(self.path_of(name)))
    with pytest.raises(TimeoutError, match="does not answer"):
        read_columns(*large, ["ssim"])


def test_columns_are_read_from_every_storage(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """From S3 by a few requests, for little more than what is asked for."""
    sound = np.random.default_rng(0)
    rows = [row(f"{n:03d}", reconstruction={"bytes": sound.bytes(15_000), "path": ""}) for n in range(300)]
    data = parquet_bytes(rows, SCHEMA)
    part = Output("x.parquet", len(data), sha256(data))
    with pytest.raises(UserError, match=r"x\.parquet: file is missing"):
        read_columns(folder, part, ["ssim"])
    folder.publish_bytes("x.parquet", data)
    asked = list[int]()
    fetch = S3File._fetch_range

    def counted(self: S3File, start: int, end: int) -> bytes:
        asked.append(end - start)
        return bytes(fetch(self, start, end))

    monkeypatch.setattr(S3File, "_fetch_range", counted)
    found = read_columns(folder, part, ["key", "ssim", "status"])
    assert found["key"].to_pylist() == [f"{n:03d}" for n in range(300)] and found["status"].to_pylist() == [OK] * 300
    assert bool(asked) == folder.uri.startswith("s3") and len(asked) <= 5 and sum(asked) < 0.5 * len(data), asked
    folder.publish_bytes("x.parquet", data[:-1])
    with pytest.raises(UserError, match="were recorded"):
        read_columns(folder, part, ["ssim"])
