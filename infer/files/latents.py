"""Latents of a file, whatever form it has: .npy, the .json of invert, Parquet; in batches, each row with a name."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from invertone.cluster.errors import UserError
from invertone.cluster.formats.latents import GENERATOR_LABEL_NAME
from invertone.cluster.storage.folder import Folder
from invertone.cluster.storage.parquet import parquet_rows, parquet_schema, row_batches
from invertone.infer.files.config import DecodeConfig

Latents = npt.NDArray[np.float32]
Batches = Iterator[tuple[list[str], Latents, list[str] | None]]
"""Names of clips, their latents [b, z], and the labels that their generator was told, where rows say so."""
_FORMS = "give .npy, the .json of invert, or Parquet with a column of latents"


def read_latents(config: DecodeConfig, size: int) -> tuple[int, Batches]:
    """How many rows there are, and batches of latents [b, z] with a name each; rows without a latent give none."""
    folder, _, name = config.latents.rpartition("/")
    suffix = Path(name).suffix.lower()
    if suffix not in (".npy", ".json"):
        files = _parquet_files(config)
        return sum(map(_rows, files)), _of_parquet(config, size, files)
    try:
        data = Folder(folder).read_bytes(name)
    except FileNotFoundError:
        raise UserError("no such file", where=config.latents, fix=_FORMS) from None
    labels = None
    if suffix == ".npy":
        found = _of_array(data, config.latents)
    else:
        found, labels = _of_json(data, config.latents)
    latents = _checked(found, size, config.latents)
    return len(latents), _numbered(latents, labels, config.batch)


def _numbered(latents: Latents, labels: list[str] | None, batch: int) -> Batches:
    width = len(str(max(0, len(latents) - 1)))
    for first in range(0, len(latents), batch):
        part, told = latents[first : first + batch], None if labels is None else labels[first : first + batch]
        yield [str(number).zfill(width) for number in range(first, first + len(part))], part, told


def _of_array(data: bytes, where: str) -> npt.NDArray[Any]:
    try:
        found = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise UserError(f"is no .npy file: {str(error).splitlines()[0]}", where=where, fix=_FORMS) from None
    if not isinstance(found, np.ndarray):
        raise UserError("holds several arrays", where=where, fix="save the latents alone by numpy.save")
    return found


def _of_json(data: bytes, where: str) -> tuple[npt.NDArray[Any], list[str] | None]:
    """What `invert` wrote; or a list of numbers, or of such lists."""
    try:
        values, labels = json.loads(data), None
        if isinstance(values, dict):
            clips = values["clips"]
            values = [clip["latent"] for clip in clips]
            labels = _labels(clips)
        return np.asarray(values, np.float64), labels
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"holds no latents: {error}", where=where, fix=_FORMS) from None


def _labels(rows: Sequence[dict[str, Any]]) -> list[str] | None:
    """What the generator was told, None unless every row says it."""
    told = [row.get(GENERATOR_LABEL_NAME) for row in rows]
    return None if None in told else [str(each) for each in told]


def _checked(found: npt.NDArray[Any], size: int, where: str) -> Latents:
    """float32 [n, size]."""
    if not np.issubdtype(found.dtype, np.number) or np.iscomplexobj(found):
        raise UserError(f"holds {found.dtype}, no numbers", where=where, fix=_FORMS)
    if found.ndim == 1:
        found = found[None]
    if found.ndim != 2 or found.shape[1] != size or not len(found):
        raise UserError(
            f"has the shape {found.shape}; latents of this generator are [n, {size}]",
            where=where,
            fix="give the latents' own generator",
        )
    latents = found.astype(np.float32)
    if not np.isfinite(latents).all():
        raise UserError("holds numbers that are not finite", where=where, fix="mend the latents")
    return latents


@dataclass(frozen=True)
class _File:
    """A Parquet file by its place."""

    folder: Folder
    name: str

    @property
    def place(self) -> str:
        return self.folder.path_of(self.name)

    @contextmanager
    def opened(self) -> Iterator[IO[bytes]]:
        """Raises UserError where what is read turns out to be no Parquet."""
        with self.folder.open(self.name) as file:
            try:
                yield file
            except pa.ArrowException as error:
                first = str(error).splitlines()[0]
                raise UserError(f"is no Parquet: {first}", where=self.place, fix=_FORMS) from None


def _parquet_files(config: DecodeConfig) -> list[_File]:
    """The one that is named, or all of a folder (Spark's folders are named as files are)."""
    folder, _, name = config.latents.rpartition("/")
    if name in Folder(folder).names():
        if name.endswith(".parquet"):
            return [_File(Folder(folder), name)]
        raise UserError("holds no latents by its name", where=config.latents, fix=_FORMS)
    inside = Folder(config.latents)
    files = [_File(inside, each) for each in inside.names() if each.endswith(".parquet")]
    if not files:
        what = "no Parquet file here" if inside.exists() else "no such file"
        raise UserError(what, where=config.latents, fix=_FORMS)
    return files


def _rows(each: _File) -> int:
    with each.opened() as file:
        return parquet_rows(file)


def _of_parquet(config: DecodeConfig, size: int, files: Sequence[_File]) -> Batches:
    found = 0
    for each in files:
        with each.opened() as file:
            _check_column(parquet_schema(file).names, config, each.place)
            for batch in row_batches(file, [config.column, "key", GENERATOR_LABEL_NAME], config.batch):
                rows = [row for row in batch.to_pylist() if row[config.column] is not None]
                if rows:
                    own = [str(row.get("key", found + at)) for at, row in enumerate(rows)]
                    found += len(rows)
                    yield own, _checked(_array(rows, config), size, each.place), _labels(rows)
    if not found:
        raise UserError("holds no latents", where=config.latents, fix="give the out of an infer that has results")


def _check_column(there: Sequence[str], config: DecodeConfig, where: str) -> None:
    if config.column not in there:
        raise UserError(
            f"has no column {config.column!r}", where=where, fix=f"choose one of {', '.join(there)} by column=…"
        )


def _array(rows: list[dict[str, Any]], config: DecodeConfig) -> npt.NDArray[Any]:
    try:
        return np.asarray([row[config.column] for row in rows], np.float64)
    except (ValueError, TypeError):
        raise UserError(f"column {config.column!r} holds no vectors of one length", where=config.latents) from None
