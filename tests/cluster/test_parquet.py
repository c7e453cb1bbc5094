"""Parquet is read in one room, by the thread that asks for it."""

from __future__ import annotations

import ast
import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from invertone.cluster.storage.parquet import (
    parquet_rows,
    parquet_schema,
    read_parquet,
    row_batches,
    row_group,
    row_groups,
)
from tests.test_floors import FLOORS, ROOT, files_of

TABLE = pa.table({"x": list(range(10)), "y": [f"{number}" for number in range(10)]})
READERS = {
    "read_table", "ParquetFile", "ParquetDataset", "read_schema", "read_metadata", "open_input_file", "open_input_stream",
    "read_pandas", "read_feather", "read_csv", "memory_map",
}  # fmt: skip
MODULES = {"dataset", "csv", "feather", "json", "orc", "ipc"}


def parquet() -> bytes:
    buffer = io.BytesIO()
    pq.write_table(TABLE, buffer, row_group_size=4)
    return buffer.getvalue()


class Watched(io.BytesIO):
    """A file that notes which threads read it."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.threads: set[int] = set()

    def read(self, size: int | None = -1) -> bytes:
        self.threads.add(threading.get_ident())
        return super().read(size)

    def readinto(self, buffer: Any) -> int:
        self.threads.add(threading.get_ident())
        return super().readinto(buffer)


def test_what_is_read_is_what_was_written() -> None:
    data = parquet()
    assert read_parquet(data) == TABLE
    assert read_parquet(data, ("y",)) == TABLE.select(["y"])
    assert parquet_rows(io.BytesIO(data)) == 10
    assert parquet_schema(io.BytesIO(data)) == TABLE.schema
    assert [group.num_rows for group in row_groups(io.BytesIO(data), ["x"])] == [4, 4, 2]
    assert row_group(io.BytesIO(data), 2)["x"].to_pylist() == [8, 9]
    assert [batch.schema.names for batch in row_batches(io.BytesIO(data), ["y", "z"], 100)] == [["y"]]
    with pytest.raises(pa.ArrowException):
        read_parquet(b"none")


@pytest.mark.parametrize("how", ["groups", "group", "batches", "rows", "schema"])
def test_only_the_thread_that_asks_touches_the_file(how: str) -> None:
    file = Watched(parquet())
    if how == "groups":
        list(row_groups(file))
    elif how == "group":
        row_group(file, 1)
    elif how == "batches":
        list(row_batches(file, ["x", "y"], 3))
    elif how == "rows":
        parquet_rows(file)
    else:
        parquet_schema(file)
    assert file.threads == {threading.get_ident()}


def readers(path: Path) -> Iterator[str]:
    """Every use of Arrow's own readers in a file, with its line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr in READERS:
            yield f"{path.relative_to(ROOT)}:{node.lineno} {node.attr}"
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            yield from (f"{path.relative_to(ROOT)}:{node.lineno} {name}" for name in names if _reads(name))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pyarrow"):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (f"{path.relative_to(ROOT)}:{node.lineno} {name}" for name in names if _reads(name))


def _reads(name: str) -> bool:
    first, *rest = name.split(".")
    return first == "pyarrow" and bool(rest) and (rest[0] in MODULES or rest[-1] in READERS)


def test_no_other_room_reads_parquet() -> None:
    room = ROOT / "cluster" / "storage" / "parquet.py"
    assert any("ParquetFile" in found for found in readers(room))
    paths = [path for floor in FLOORS for path in files_of(floor) if path != room]
    assert not [found for path in paths for found in readers(path)]
