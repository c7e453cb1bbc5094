"""Styles of clips that were encoded before: chosen rows of an `infer` run of the same checkpoint."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from invertone.audio.windows import uniform_hash
from invertone.cluster.errors import UserError
from invertone.cluster.formats.checkpoints import CheckpointManifest
from invertone.cluster.formats.latents import OK, committed_parts, described, read_columns
from invertone.cluster.formats.ledger import Output
from invertone.cluster.storage.folder import Folder, content_digest
from invertone.cluster.storage.layout import laid_out


@dataclass(frozen=True)
class ClipStyles:
    """keys: of the clips, in the order in which their styles are taken; styles [n, z]."""

    keys: tuple[str, ...]
    styles: npt.NDArray[np.float32]


def check_latents(uri: str, manifest: CheckpointManifest) -> str:
    """The digest of the rows at `uri`. Raises UserError where they are no latents, or those of another checkpoint."""
    folder = laid_out(Folder.at(uri))
    parts = committed_parts(folder)
    about = described(folder, parts)
    if about.get("digests", {}).get("generator") != manifest.digest:
        raise UserError(
            "latents are of another checkpoint", where=uri, fix="infer clips with generator=CHECKPOINT first"
        )
    return content_digest(parts)


def clip_styles(uri: str, count: int, seed: int) -> ClipStyles:
    """The styles of `count` clips, those whose keys have the smallest hashes with the seed: neither the order of rows nor how
    they are cut into files matters. Raises UserError where there are fewer."""
    folder = laid_out(Folder.at(uri))
    parts = committed_parts(folder)
    chosen = heapq.nsmallest(count, _hashed(folder, parts, seed))
    if len(chosen) < count:
        raise UserError(
            f"has {len(chosen):,} clips, {count:,} styles are wanted", where=uri, fix="infer more clips, or lower count"
        )
    by_part: dict[int, dict[int, int]] = {}
    for place, (_, _, part, row) in enumerate(chosen):
        by_part.setdefault(part, {})[row] = place
    found: dict[int, npt.NDArray[np.float32]] = {}
    for part, rows in by_part.items():
        column = read_columns(folder, parts[part], ("latent",))["latent"].take(list(rows))
        found |= dict(zip(rows.values(), np.array(column.to_pylist(), np.float32), strict=True))
    return ClipStyles(tuple(key for _, key, _, _ in chosen), np.stack([found[place] for place in range(count)]))


def _hashed(folder: Folder, parts: Sequence[Output], seed: int) -> Iterator[tuple[int, str, int, int]]:
    """Hash, key, part and row of every clip that is no error."""
    for number, part in enumerate(parts):
        table = read_columns(folder, part, ("key", "status"))
        for row, (key, status) in enumerate(zip(table["key"].to_pylist(), table["status"].to_pylist(), strict=True)):
            if status == OK:
                yield uniform_hash(f"{seed}\0{key}"), key, number, row
