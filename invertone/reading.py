"""What inference left, row by row, as pandas, as tensors, as sound."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32

from invertone.cluster.errors import UserError
from invertone.cluster.formats.latents import OK, committed_parts, described, read_part
from invertone.cluster.formats.ledger import Output
from invertone.cluster.formats.runs import recorded
from invertone.cluster.storage.folder import Folder

if TYPE_CHECKING:
    import pandas
    import torch

SOUND = ("reconstruction", "audio")
"""Columns that hold sound; they weigh far more than all others."""


def latents(run: str) -> Latents:
    """The rows of an inference run, or of clips that were generated as Parquet; `run` is the `out` of `invertone infer`, local
    or `s3://…`. Raises UserError where there is no such run, or nothing of it was committed yet."""
    folder = Folder.at(run)
    recorded(folder)
    return Latents(folder, described(folder), committed_parts(folder))


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
        """All rows as one frame: all columns but those that hold sound, or `columns`. Raises UserError without pandas."""
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
    def audio(row: Mapping[str, Any]) -> Float32[np.ndarray, " n"]:
        """The sound of a row, float32 [16384] at 16 kHz. Raises UserError for a row without: one that failed, or of a run
        whose `rows` hold none."""
        import soundfile

        sound = next((row[name] for name in SOUND if row.get(name) is not None), None)
        if sound is None:
            raise UserError(
                "this row holds no sound", where=str(row.get("key")), fix="see its status, or give the whole row"
            )
        return soundfile.read(io.BytesIO(sound["bytes"]), dtype="float32")[0]
