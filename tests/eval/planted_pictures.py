"""Inference runs over pictures that no model made: pictures as shards, and rows with whatever reconstructions a test plants."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from invertone.cluster.formats.latents import latents_schema, parquet_bytes
from invertone.cluster.formats.ledger import Commit, Ledger, Output, Unit
from invertone.cluster.formats.shards import MANIFEST, Clip, load_manifest
from invertone.cluster.storage.folder import Folder, sha256
from invertone.images.picture import Pixels, encode, views
from invertone.images.reading import decode
from invertone.models.picture_scores import score
from tests.made import write_shards
from tests.pictures import LATENT, SMALL

Made = Callable[[Clip], Pixels | None]
"""From a picture to its reconstruction; None where inverting it failed."""


def picture_run(
    place: Folder,
    name: str,
    groups: Sequence[Sequence[Clip]],
    made: Made,
    *,
    generator: tuple[str, str] = ("nowhere", "g"),
    inputs: Mapping[str, str] | None = None,
    places: Mapping[str, str] | None = None,
    shards: str = "shards",
    latent: Callable[[Clip], np.ndarray] | None = None,
) -> Folder:
    """A finished run `name` below `place` over `shards` there, which are written where they are not. inputs: digests of other
    checkpoints that it was made with, by role; places: where those are said to lie.
    latent: of each picture; zeros unless it is given."""
    if not (place / shards).exists(MANIFEST):
        write_shards(place / shards, groups, SMALL)
    folder, out = place / shards, place / name
    manifest = load_manifest(folder)
    about = {
        "method": "encoder",
        "name": name,
        "inputs": {"generator": generator[0], "shards": folder.uri, **(places or {})},
        "digests": {"generator": generator[1], "shards": manifest.digest, **(inputs or {})},
    }
    schema = latents_schema(LATENT, [], about, format=SMALL)
    fingerprint = {"input.generator": generator[1], "input.shards": manifest.digest, "method": "encoder"}
    fingerprint |= {f"input.{role}": digest for role, digest in (inputs or {}).items()}
    out.publish_json("__invertone/run.json", {"stage": "infer", "name": name, "fingerprint": fingerprint})
    ledger = Ledger(out, "planted")
    ledger.fix_plan([Unit(entry.name, {}, entry.count) for entry in manifest.shards], {})
    for entry, group in zip(manifest.shards, groups, strict=True):
        rows = [_row(clip, made(clip), latent) for clip in group]
        data = parquet_bytes(rows, schema)
        output = Output(entry.name.replace(".tar", ".parquet"), len(data), sha256(data))
        out.publish_bytes(output.name, data)
        lost = sum(row["status"] != "ok" for row in rows)
        ledger.commit(Commit(entry.name, len(group), (output,), {"clips": len(group), "failed": lost}))
    return out


def _row(clip: Clip, pixels: Pixels | None, latent: Callable[[Clip], np.ndarray] | None) -> dict[str, Any]:
    info = clip.info
    known = {name: getattr(info, name) for name in ("key", "label", "label_name", "speaker", "split", "source_uri")}
    if pixels is None:
        return known | {"status": "error", "error": "planted"}
    wanted, found = (torch.from_numpy(views([each])) for each in (decode(clip.data), pixels))
    scores = {
        name: float(value[0])
        for name, value in dataclasses.asdict(score(wanted, found, None)).items()
        if value is not None
    }
    return (
        known
        | scores
        | {
            "status": "ok",
            "latent": np.zeros(LATENT, np.float32) if latent is None else latent(clip),
            "reconstruction": {"bytes": encode(pixels), "path": f"{info.key}.png"},
            "evaluations": 0,
        }
    )
