"""The one room in which Parquet is read.

Arrow's dataset readers (`read_table`, `pyarrow.dataset`) hand a Python file, or a buffer over Python's bytes, to threads of
their pool. The last reference may be let go there after the answer is out, even while the interpreter ends; then the thread
cannot get the interpreter's lock, and the process aborts after its work is done. What is read here is read in the thread that
asks, which alone ever holds the file.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq


def read_parquet(data: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """The table in `data`, whole or some `columns` of it. Raises pyarrow.ArrowException for what is no Parquet."""
    wanted = None if columns is None else list(columns)
    return _opened(io.BytesIO(data)).read(columns=wanted, use_threads=False)


def checked_columns(file: IO[bytes], columns: Sequence[str], note: bytes) -> pa.Table | None:
    """Of `columns` those that a Parquet file has, without reading the rest of it, every page verified by its checksum; None for
    a file whose metadata does not hold the key `note`, by which its writer says that pages have checksums.

    Raises pyarrow.ArrowException for what is damaged; what `file` raises is passed on. The footer, which says where pages lie,
    has no checksum: what it names is.
    """
    told = _Told(file)
    try:
        parquet = pq.ParquetFile(told, pre_buffer=False, page_checksum_verification=True)
        if note not in (parquet.schema_arrow.metadata or {}):
            return None
        return parquet.read(columns=list(columns), use_threads=False)
    except OSError as error:  # Arrow's own, of a page that is not as it was written, is one as well
        if told.failure is not None:
            raise
        raise pa.ArrowInvalid(str(error)) from None


class _Told(io.RawIOBase):
    """A file that remembers what it raised."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.failure: BaseException | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        try:
            return self._file.read(size)
        except BaseException as error:
            self.failure = error
            raise


def parquet_rows(file: IO[bytes]) -> int:
    """How many rows a Parquet file says that it has."""
    return int(_opened(file).metadata.num_rows)


def parquet_schema(file: IO[bytes]) -> pa.Schema:
    """Columns and metadata of a Parquet file."""
    return _opened(file).schema_arrow


def row_groups(file: IO[bytes], columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """The row groups of a Parquet file, one by one and in order, whole or some `columns` of them."""
    parquet = _opened(file)
    wanted = None if columns is None else list(columns)
    for number in range(parquet.num_row_groups):
        yield parquet.read_row_group(number, columns=wanted, use_threads=False)


def row_group(file: IO[bytes], number: int) -> pa.Table:
    """One row group of a Parquet file; no other is read."""
    return _opened(file).read_row_group(number, use_threads=False)


def row_batches(file: IO[bytes], columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
    """The rows of a Parquet file, at most `rows` at a time, of `columns` those that it has."""
    parquet = _opened(file)
    present = [name for name in columns if name in parquet.schema_arrow.names]
    yield from parquet.iter_batches(rows, columns=present, use_threads=False)


def _opened(file: IO[bytes]) -> pq.ParquetFile:
    return pq.ParquetFile(file, pre_buffer=False)  # ahead of the reader only threads of the pool would read
