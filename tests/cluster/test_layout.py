"""A run folder is a data set to whoever opens it: what is ours is no data to any reader; older folders go on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from invertone.cluster.formats.latents import committed_parts
from invertone.cluster.formats.ledger import Commit, Ledger, Output, Unit
from invertone.cluster.formats.runs import RUN, SUMMARY
from invertone.cluster.jobs.driver import driving
from invertone.cluster.jobs.status import failed, status
from invertone.cluster.jobs.verify import unfinished_run, verify
from invertone.cluster.storage.folder import Folder, sha256
from invertone.cluster.storage.layout import OURS, OldRun, laid_out


def finished(folder: Folder, units: tuple[str, ...] = ("train-000000", "validation-000001")) -> None:
    """A run folder as bulk jobs leave it, three rows to a unit."""
    folder.publish_json(RUN, {"stage": "infer", "name": "encoder", "config": {}, "fingerprint": {}})
    with driving(folder) as driver:
        ledger = Ledger(folder, driver.term.session)
        ledger.fix_plan([Unit(name, {}, 3) for name in units], {})
        commits = []
        for name in units:
            buffer = pa.BufferOutputStream()
            pq.write_table(pa.table({"key": [f"{name}/{row}" for row in range(3)]}), buffer)
            data = buffer.getvalue().to_pybytes()
            folder.publish_bytes(f"{name}.parquet", data)
            ledger.begin(name, "here")
            output = Output(f"{name}.parquet", len(data), sha256(data))
            commits.append(Commit(name, 3, (output,), {"clips": 3}))
            assert ledger.commit(commits[-1])
        ledger.write_journal("first", commits)
        folder.publish_json(SUMMARY, {"units": len(units)})


def hugging_face(place: str) -> int:
    import datasets

    return sum(each.num_rows for each in datasets.load_dataset(place, cache_dir=f"{place}-cache").values())


READERS: dict[str, Callable[[str], int]] = {
    "pandas": lambda place: len(pd.read_parquet(place)),
    "pyarrow": lambda place: int(ds.dataset(place, format="parquet").count_rows()),
    "polars": lambda place: pl.read_parquet(f"{place}/**/*.parquet").height,
    "duckdb": lambda place: duckdb.sql(f"select * from '{place}/**/*.parquet'").shape[0],
    "datasets": hugging_face,
}


@pytest.mark.parametrize("reader", READERS)
def test_readers_find_the_rows_and_nothing_else(reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    finished(Folder.at(str(tmp_path / "run")))
    assert {each.name for each in (tmp_path / "run").iterdir() if each.is_dir()} == {OURS}
    assert not list((tmp_path / "run" / OURS).rglob("*.parquet"))
    assert READERS[reader](str(tmp_path / "run")) == 6


def test_a_folder_of_an_older_version_is_read_and_continued(tmp_path: Path) -> None:
    finished(OldRun(str(tmp_path / "run")), ("train-000000", "train-000001"))
    assert {"ledger", "run.json", "summary.json"} <= {each.name for each in (tmp_path / "run").iterdir()}
    assert (tmp_path / "run/ledger/units.parquet").exists() and not (tmp_path / "run" / OURS).exists()
    folder = Folder.at(str(tmp_path / "run"))
    assert status(folder).units["done"] == 2 and failed(folder) == [] and unfinished_run(folder) == ""
    assert [part.name for part in committed_parts(folder)] == ["train-000000.parquet", "train-000001.parquet"]
    assert [each.problem for each in verify(folder)] == ["", ""]
    with driving(laid_out(folder)) as driver:
        assert driver.term.number == 2
    assert not (tmp_path / "run" / OURS).exists()


def test_a_file_of_ours_that_an_older_folder_takes_is_not_missed(tmp_path: Path) -> None:
    folder = OldRun(str(tmp_path / "run"))
    finished(folder)
    name = f"{OURS}/rejects/train-000007.pq"
    folder.publish_bytes(name, b"table")
    ledger = Ledger(folder, "s")
    assert (tmp_path / "run/rejects/train-000007.parquet").read_bytes() == b"table"
    ledger.commit(Commit("train-000007", 1, (Output(name, 5, sha256(b"table")),), {}))
    assert ledger.lost(ledger.done()) == {}
    (tmp_path / "run/rejects/train-000007.parquet").unlink()
    assert ledger.lost(ledger.done()).keys() == {"train-000007"}
