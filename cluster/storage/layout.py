"""Where our own files lie in a run folder: all below `__invertone/`, so that whoever opens the folder finds data alone.

What begins with `_` is no data by the convention of Spark and Hive, which pandas and pyarrow keep, what begins with `__`
is none to Hugging Face datasets; for globs as DuckDB's `**/*.parquet`, which know no such names, nothing in there is
called `.parquet` (tables of ours end in `.pq`). Polars takes a folder for data only if each file in it has the same ending.
Run folders of older versions had these files beside the data, and go on as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

from invertone.cluster.storage.folder import Folder

OURS = "__invertone"


@dataclass(frozen=True)
class OldRun(Folder):
    """A run folder of an older version: names of our files mean the places they had then."""

    def path_of(self, name: str) -> str:
        if name.startswith(f"{OURS}/"):
            name = name.removeprefix(f"{OURS}/")
            name = f"{name.removesuffix('.pq')}.parquet" if name.endswith(".pq") else name
        return super().path_of(name)


def laid_out(folder: Folder) -> Folder:
    """`folder`, such that names of our files find them, however old the run is. One request where it is of today."""
    if isinstance(folder, OldRun) or folder.exists(f"{OURS}/run.json"):
        return folder
    return OldRun(folder.uri) if folder.exists("run.json") or folder.exists("ledger") else folder
