"""Integrity of everything a path holds: shards against their manifest, checkpoints against theirs, a run's outputs
against its ledger. Reads every byte once, a file at a time."""

from __future__ import annotations

import io
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa

from invertone.cluster.errors import UserError, without_addresses
from invertone.cluster.formats import checkpoints, shards
from invertone.cluster.formats.checkpoints import CHECKPOINTS
from invertone.cluster.formats.ledger import Commit, Ledger, Output
from invertone.cluster.formats.runs import RUN
from invertone.cluster.storage.folder import Folder
from invertone.cluster.storage.layout import laid_out
from invertone.cluster.storage.parquet import parquet_rows

READERS = 4


@dataclass(frozen=True)
class Checked:
    """A file that was read: what is wrong with it, or "" if nothing. unit: what made it, by the folder's ledger; "" where
    there is none, and it cannot be made again from what the folder says."""

    name: str
    bytes: int
    problem: str
    unit: str = ""


@dataclass(frozen=True)
class _File:
    folder: Folder
    name: str
    check: Callable[[], int]
    unit: str = ""


def verify(folder: Folder) -> Iterator[Checked]:
    """Checks every file that a manifest, checkpoint or ledger vouches for, in the order found.

    Raises UserError where there is nothing to check, or where a manifest itself cannot be read.
    """
    folder = laid_out(folder)
    commits = sorted(Ledger(folder).commits(), key=lambda commit: commit.unit)
    listed = list(_shards(folder, {output.name: commit.unit for commit in commits for output in commit.outputs}))
    files = [*listed, *_outputs(folder, commits, {file.name for file in listed}), *_checkpoints(folder)]
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
        return Checked(where, file.check(), "", file.unit)
    except UserError as error:
        return Checked(where, 0, error.what, file.unit)
    except (OSError, pa.ArrowException) as error:
        return Checked(where, 0, f"cannot be read: {without_addresses(str(error))}", file.unit)


def _shards(folder: Folder, units: Mapping[str, str]) -> Iterable[_File]:
    if not folder.exists(shards.MANIFEST):
        return []
    manifest = shards.load_manifest(folder)
    return [
        _File(folder, entry.name, lambda entry=entry: _shard(folder, entry), units.get(entry.name, ""))  # type: ignore[misc]
        for entry in manifest.shards
    ]


def _shard(folder: Folder, entry: shards.ShardEntry) -> int:
    found = sum(1 for _ in shards.read_shard(folder, entry))
    if found != entry.count:
        raise UserError(f"holds {found} clips, the manifest says {entry.count}")
    return entry.bytes


def _outputs(folder: Folder, commits: Iterable[Commit], listed: Container[str]) -> Iterable[_File]:
    """What the ledger vouches for, less what is `listed` already: shards by their manifest."""
    for commit in commits:
        for output in commit.outputs:
            if output.name not in listed:
                yield _File(folder, output.name, lambda c=commit, o=output: _output(folder, c, o), commit.unit)  # type: ignore[misc]


def _output(folder: Folder, commit: Commit, output: Output) -> int:
    if not output.name.endswith(".parquet"):
        folder.verify(output.name, output.bytes, output.sha256, "")
    else:
        data = folder.read_verified(output.name, output.bytes, output.sha256, "")
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


def remove_damaged(folder: Folder, checked: Iterable[Checked]) -> set[str]:
    """Removes damaged files that the folder's job can make again. Returns their units."""
    units = set()
    for each in checked:
        if each.problem and each.unit:
            folder.remove(each.name.removeprefix(f"{folder.uri.rstrip('/')}/"))
            units.add(each.unit)
    return units


def unfinished_run(folder: Folder) -> str:
    """What a run folder's ledger says is missing, "" if nothing: such a run verifies, and is not whole."""
    folder = laid_out(folder)
    plan = Ledger(folder).plan() if folder.exists(RUN) else None
    missing = plan["units"] - len(Ledger(folder).done()) if plan else 0
    return f"{missing:,} of {plan['units']:,} units are not done" if plan and missing else ""
