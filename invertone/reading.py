"""What inference left, row by row, as pandas, as tensors, as sound or pictures."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32, UInt8

from invertone.cluster.errors import UserError
from invertone.cluster.formats.latents import OK, committed_parts, described, read_part
from invertone.cluster.formats.ledger import Output
from invertone.cluster.formats.recordings import Recording, by_unit, recordings_in, rows_of, vectors_of
from invertone.cluster.formats.runs import recorded
from invertone.cluster.storage.folder import Folder
from invertone.cluster.storage.layout import laid_out

if TYPE_CHECKING:
    import pandas
    import torch

SOUND = ("reconstruction", "audio")
"""Columns that hold sound or pictures; they weigh far more than all others."""
PICTURE = ".png"
"""How the names of files end that are pictures."""


def latents(run: str) -> Latents:
    """The rows of an inference run, or of clips that were generated as Parquet; `run` is the `out` of `invertone infer`, local
    or `s3://…`. Raises UserError where there is no such run, or nothing of it was committed yet."""
    folder = Folder.at(run)
    recorded(folder)
    return Latents(folder, described(folder), committed_parts(folder))


def recordings(run: str) -> Recordings:
    """The recordings of an inference run, windows of each put together in the order of time; `run` is the `out` of `invertone
    infer` over shards of `window=all`, or over any others, where every clip is a recording of one window. Raises UserError
    where there is no such run, or nothing of it was committed yet.

    >>> for key, starts, latents in recordings("runs/latents"):  # doctest: +SKIP
    ...     print(key, starts.shape, latents.shape)
    """
    folder = laid_out(Folder.at(run))
    if recorded(folder).get("stage") != "infer":
        raise UserError("is no run of infer", where=run, fix="give the out of `invertone infer`")
    return Recordings(folder, described(folder), committed_parts(folder))


class Latents:
    """Rows of committed Parquet files, in order of files; memory holds one file at a time.

    about: what made them (method, models and their digests, shards). A row is a dict: `key`, `label_name`, `latent` and the
    other columns of docs/formats.md. Files are checked against the ledger as they are read: a damaged one raises UserError.
    """

    def __init__(self, folder: Folder, about: Mapping[str, Any], parts: Sequence[Output]) -> None:
        self.about = about
        self._folder, self._parts = folder, parts

    def __repr__(self) -> str:
        return f"Latents({self._folder.uri!r}, method={self.about.get('method')!r}, files={len(self._parts)})"

    def __len__(self) -> int:
        """How many rows there are; reads one column."""
        return sum(len(read_part(self._folder, part, ["key"])) for part in self._parts)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self.rows()

    def rows(self, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """Every row with all its columns, or with `columns` alone."""
        for part in self._parts:
            yield from read_part(self._folder, part, columns).to_pylist()

    def to_pandas(self, columns: Sequence[str] | None = None) -> pandas.DataFrame:
        """All rows as one frame: all columns but those that hold sound or pictures, or
        `columns`. Raises UserError without pandas."""
        try:
            import pandas
        except ModuleNotFoundError:
            raise UserError("pandas is not installed", where="to_pandas", fix="pip install pandas") from None
        wanted = list(columns) if columns is not None else None
        frames = []
        for part in self._parts:
            table = read_part(self._folder, part, wanted)
            if wanted is None:
                wanted = [name for name in table.column_names if name not in SOUND]
            frames.append(table.select(wanted).to_pandas())
        return pandas.concat(frames, ignore_index=True)

    def to_torch(self) -> tuple[list[str], torch.Tensor]:
        """Keys, and latents float32 [n, z], of the rows that have one, in the same order."""
        import torch

        keys, found = list[str](), list[np.ndarray]()
        for row in self.rows(["key", "latent", "status"]):
            if row["status"] == OK:
                keys.append(row["key"])
                found.append(np.asarray(row["latent"], np.float32))
        return keys, torch.from_numpy(np.stack(found)) if found else torch.empty(0, 0)

    @staticmethod
    def audio(row: Mapping[str, Any]) -> Float32[np.ndarray, "n ..."]:
        """The sound of a row, float32 [n], of two channels [n, 2], at the generator's rate. Raises UserError for a row without:
        one that failed, or of a run whose `rows` hold none."""
        import soundfile

        sound = _held(row, "sound")
        if sound["path"].endswith(PICTURE):
            raise UserError("this row holds a picture", where=str(row.get("key")), fix="use Latents.picture")
        return soundfile.read(io.BytesIO(sound["bytes"]), dtype="float32")[0]

    @staticmethod
    def picture(row: Mapping[str, Any]) -> UInt8[np.ndarray, "h w 3"]:
        """The picture of a row, as its file has it: red, green and blue of 8 bits. Raises UserError for a row without: one that
        failed, or of a run whose `rows` hold none, or of clips."""
        from invertone.images.reading import decode

        held = _held(row, "picture")
        if not held["path"].endswith(PICTURE):
            raise UserError("this row holds sound", where=str(row.get("key")), fix="use Latents.audio")
        return decode(held["bytes"])


def _held(row: Mapping[str, Any], what: str) -> Mapping[str, Any]:
    """The file in a row."""
    found = next((row[name] for name in SOUND if row.get(name) is not None), None)
    if found is None:
        raise UserError(
            f"this row holds no {what}", where=str(row.get("key")), fix="see its status, or give the whole row"
        )
    return dict(found)


class Recordings:
    """Recordings in order of the ingest's units; memory holds one of them and one Parquet file.

    about: what made their latents. Each is a `Recording`: `key`, `starts` int64 [windows], `latents` float32 [windows, z]
    (as which it unpacks), `lengths`, `vectors`, `label_name`, `speaker`, `split`, `source_uri`, `samples`, and `missing`: the
    windows that failed, which are in none of these. Of shards that inference has not done, or gave up, nothing is here;
    `invertone join` lists them. Raises UserError for a damaged file, and where windows are not in order.
    """

    def __init__(self, folder: Folder, about: Mapping[str, Any], parts: Sequence[Output]) -> None:
        self.about = about
        self._folder = folder
        by_name = {part.name.removesuffix(".parquet"): part for part in parts}
        self._units = [[by_name[name] for name in names] for names in by_unit(by_name).values()]
        self._vectors = vectors_of(folder, parts[0])

    def __repr__(self) -> str:
        return (
            f"Recordings({self._folder.uri!r}, method={self.about.get('method')!r}, files={sum(map(len, self._units))})"
        )

    def __iter__(self) -> Iterator[Recording]:
        """One after the other, as often as asked."""
        for unit in self._units:
            yield from recordings_in((rows_of(self._folder, part, self._vectors) for part in unit), list(self._vectors))
