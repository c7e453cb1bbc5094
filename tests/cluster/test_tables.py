"""Tables of latents: pyarrow, DuckDB and pandas read them without us, and only committed files count."""

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

from invertone.audio.clip import decode, encode
from invertone.cluster.errors import UserError
from invertone.cluster.formats.latents import (
    AUDIO,
    OK,
    committed_parts,
    described,
    latents_schema,
    parquet_bytes,
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
    rows = [row(key, reconstruction={"bytes": encode(samples, "flac"), "path": f"{key}.flac"}) for key in "ab"]
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
