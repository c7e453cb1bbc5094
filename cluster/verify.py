"""Integrity of everything a path holds: shards against their manifest, checkpoints against theirs, a run's outputs
against its ledger. Reads every byte once, a file at a time."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa

from cluster import checkpoints, shards
from cluster.checkpoints import CHECKPOINTS
from cluster.errors import UserError
from cluster.ledger import Commit, Ledger, Output
from cluster.parquet import parquet_rows
from cluster.runs import RUN
from cluster.storage import Folder

READERS = 4


@dataclass(frozen=True)
class Checked:
    """A file that was read: what is wrong with it, or "" if nothing."""

    name: str
    bytes: int
    problem: str


@dataclass(frozen=True)
class _File:
    folder: Folder
    name: str
    check: Callable[[], int]


def verify(folder: Folder) -> Iterator[Checked]:
    """Checks every file that a manifest, checkpoint or ledger vouches for, in the order found.

    Raises UserError where there is nothing to check, or where a manifest itself cannot be read.
    """
    files = [*_shards(folder), *_outputs(folder), *_checkpoints(folder)]
    if not files:
        raise UserError(
            "nothing to verify: no manifest.json, checkpoint.json or ledger",
            where=folder.uri,
            fix="give the out of a job, a folder of shards or a checkpoint",
        )
    with ThreadPoolExecutor(READERS) as pool:
        yield from pool.map(_checked, files)


def _checked(file: _File) -> Checked:
    where = file.folder.path_of(file.name)
    try:
        return Checked(where, file.check(), "")
    except UserError as error:
        return Checked(where, 0, error.what)
    except (OSError, pa.ArrowException) as error:
        return Checked(where, 0, f"cannot be read: {error}")


def _shards(folder: Folder) -> Iterable[_File]:
    if not folder.exists(shards.MANIFEST):
        return []
    manifest = shards.load_manifest(folder)
    return [_File(folder, entry.name, lambda entry=entry: _shard(folder, entry)) for entry in manifest.shards]  # type: ignore[misc]


def _shard(folder: Folder, entry: shards.ShardEntry) -> int:
    found = sum(1 for _ in shards.read_shard(folder, entry))
    if found != entry.count:
        raise UserError(f"holds {found} clips, the manifest says {entry.count}")
    return entry.bytes


def _outputs(folder: Folder) -> Iterable[_File]:
    """What the ledger vouches for, less the shards that the manifest already does."""
    listed = {file.name for file in _shards(folder)}
    for commit in sorted(Ledger(folder).commits(), key=lambda commit: commit.unit):
        for output in commit.outputs:
            if output.name not in listed:
                yield _File(folder, output.name, lambda c=commit, o=output: _output(folder, c, o))  # type: ignore[misc]


def _output(folder: Folder, commit: Commit, output: Output) -> int:
    data = folder.read_verified(output.name, output.bytes, output.sha256, "")
    if output.name.endswith(".parquet"):
        rows = parquet_rows(io.BytesIO(data))
        if "/" not in output.name and rows != commit.items:
            raise UserError(f"holds {rows} rows, its unit has {commit.items}")
    return output.bytes


def _checkpoints(folder: Folder) -> Iterable[_File]:
    places = [folder, *(folder / f"{CHECKPOINTS}/{name}" for name in folder.folders(CHECKPOINTS))]
    for place in places:
        manifest = checkpoints.read_manifest(place)
        if manifest is None:
            continue
        for name in manifest.files:
            yield _File(place, name, lambda p=place, m=manifest, n=name: len(checkpoints.read_file(p, m, n)))  # type: ignore[misc]


def unfinished_run(folder: Folder) -> str:
    """What a run folder's ledger says is missing, "" if nothing: such a run verifies, and is not whole."""
    plan = Ledger(folder).plan() if folder.exists(RUN) else None
    missing = plan["units"] - len(Ledger(folder).done()) if plan else 0
    return f"{missing:,} of {plan['units']:,} units are not done" if plan and missing else ""


def to_json(checked: Iterable[Checked]) -> list[dict[str, object]]:
    return [dataclasses.asdict(each) for each in checked]
