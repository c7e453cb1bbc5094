"""An inference run whose reconstructions are the clips themselves: what is joined of it must be the recordings, exactly.

Written as `infer` writes it: run.json, plan, Parquet, commits. The latent of a window says which one it is.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from invertone.cluster.formats.latents import ERROR, OK, SOUNDS, latents_schema, parquet_bytes
from invertone.cluster.formats.ledger import FAILED, Commit, Failure, Ledger, Output, Unit
from invertone.cluster.formats.runs import RUN
from invertone.cluster.formats.shards import Clip, load_manifest, read_shard
from invertone.cluster.storage.folder import Folder, sha256

SIZE = 3
"""Coordinates of a latent."""


def latent(key: str, start: int) -> list[float]:
    """Of the recording's window: a hash of its key, its start, one."""
    return [float(zlib.crc32(key.encode()) % 2**20), float(start), 1.0]


def identity_run(
    shards: Folder,
    out: Folder,
    *,
    failed: Mapping[str, str] | None = None,
    given_up: Mapping[str, str] | None = None,
    undone: tuple[str, ...] = (),
    rows: str = SOUNDS,
    sound: Callable[[Clip], bytes] = lambda clip: clip.data,
) -> Folder:
    """failed: clips by key, with the reason; given_up, undone: units. sound: the reconstruction of a clip."""
    manifest, failed, given_up = load_manifest(shards), failed or {}, given_up or {}
    about = {"method": "identity", "rows": rows, "inputs": {"shards": shards.uri}}
    about |= {"digests": {"shards": manifest.digest}}
    schema = latents_schema(SIZE, [], about, rows=rows)
    out.publish_json(RUN, {"stage": "infer", "name": "identity", "config": {}, "fingerprint": {}})
    ledger = Ledger(out)
    entries = {entry.name.removesuffix(".tar"): entry for entry in manifest.shards}
    ledger.fix_plan([Unit(name, dataclasses.asdict(each), each.count) for name, each in entries.items()], {})
    for unit, entry in entries.items():
        if unit in given_up:
            ledger.fail(Failure(unit, FAILED, given_up[unit]))
        elif unit not in undone:
            data = parquet_bytes([_row(clip, failed, sound) for clip in read_shard(shards, entry)], schema)
            name = f"{unit}.parquet"
            out.publish_bytes(name, data)
            ledger.commit(Commit(unit, entry.count, (Output(name, len(data), sha256(data)),), {"clips": entry.count}))
    return out


def _row(clip: Clip, failed: Mapping[str, str], sound: Callable[[Clip], bytes]) -> dict[str, Any]:
    info = clip.info
    names = ("key", "label", "label_name", "speaker", "split", "source_uri", "start", "length")
    row = {name: getattr(info, name) for name in names} | {"method": "identity"}
    if info.key in failed:
        return row | {"status": ERROR, "error": failed[info.key]}
    found = {"latent": latent(info.key, info.start), "status": OK}
    return row | found | {"reconstruction": {"bytes": sound(clip), "path": f"{info.key}.{clip.format}"}}
