"""Sums in run folders: one file per unit, `sums/UNIT.safetensors`, one tensor per table row and measure."""

from __future__ import annotations

from collections.abc import Mapping

import safetensors.numpy

from invertone.cluster.formats.ledger import Ledger
from invertone.cluster.storage.folder import Folder
from invertone.eval.measures.estimates import Sums, add

FOLDER = "sums"


def file_name(unit: str) -> str:
    """Where a unit's sums lie in the run folder."""
    return f"{FOLDER}/{unit}.safetensors"


def packed(rows: Mapping[str, Sums]) -> bytes:
    """The sums of each table row as one file."""
    return safetensors.numpy.save(
        {f"{row}/{name}": value for row, sums in rows.items() for name, value in sums.items()}
    )


def unpacked(data: bytes) -> dict[str, Sums]:
    """What `packed` packed."""
    rows: dict[str, Sums] = {}
    for path, value in safetensors.numpy.load(data).items():
        row, _, name = path.rpartition("/")
        rows.setdefault(row, {})[name] = value
    return rows


def merged(folder: Folder) -> dict[str, Sums]:
    """The sums of all committed units, read one at a time in the order of their names."""
    outputs = {output.name: output for commit in Ledger(folder).commits() for output in commit.outputs}
    total: dict[str, Sums] = {}
    for name in sorted(outputs):
        data = folder.read_verified(name, outputs[name].bytes, outputs[name].sha256, "run the same eval with a new out")
        for row, sums in unpacked(data).items():
            add(total.setdefault(row, {}), sums)
    return total
