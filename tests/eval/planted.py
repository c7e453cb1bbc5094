"""Inference runs that no model made: clips as shards, and a committed Parquet with whatever latents a test plants."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from invertone.cluster.formats.latents import latents_schema, parquet_bytes
from invertone.cluster.formats.ledger import Commit, Ledger, Output, Unit
from invertone.cluster.formats.shards import MANIFEST, Clip
from invertone.cluster.formats.signals import USUAL, ClipFormat
from invertone.cluster.storage.folder import Folder, sha256
from tests.made import write_shards

Vectors = Callable[[Clip], Mapping[str, np.ndarray]]
"""From a clip to its latent columns."""


def planted_run(
    place: Folder,
    name: str,
    groups: Sequence[Sequence[Clip]],
    vectors: Vectors,
    *,
    generator: tuple[str, str] = ("nowhere", "g"),
    made_by: str | None = None,
    failed: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    clips: ClipFormat = USUAL,
) -> Folder:
    """Shards in `name`-shards (one per group) and a finished run in `name` below `place`.

    generator: where it is said to lie, and its digest. made_by: digest of the generator that made the clips. failed: keys whose
    rows are errors. settings: what the run's fingerprint says besides. clips: what they all are.
    """
    shards, out = place / f"{name}-shards", place / name
    manifest = write_shards(shards, groups, clips)
    if made_by is not None:
        manifest = dataclasses.replace(manifest, extra={"digests": {"generator": made_by}})
        shards.publish_json(MANIFEST, manifest.to_json())
    digests = {"shards": manifest.digest, "generator": generator[1]}
    about = {
        "method": "encoder",
        "name": "encoder",
        "inputs": {"generator": generator[0], "shards": shards.uri},
        "digests": digests,
    }
    fingerprint = {"input.generator": generator[1], "input.shards": manifest.digest, "method": "encoder"}
    out.publish_json("__invertone/run.json", {"stage": "infer", "fingerprint": fingerprint | dict(settings or {})})
    ledger = Ledger(out, "planted")
    ledger.fix_plan([Unit(entry.name, {}, entry.count) for entry in manifest.shards], {})
    sizes = {column: len(each) for column, each in vectors(groups[0][0]).items()}
    schema = latents_schema(sizes.pop("latent"), ["log_magnitude"], about, sizes)
    for entry, group in zip(manifest.shards, groups, strict=True):
        data = parquet_bytes([_row(clip, vectors, clip.info.key in failed) for clip in group], schema)
        output = Output(entry.name.replace(".tar", ".parquet"), len(data), sha256(data))
        out.publish_bytes(output.name, data)
        lost = sum(clip.info.key in failed for clip in group)
        ledger.commit(Commit(entry.name, len(group), (output,), {"clips": len(group), "failed": lost}))
    return out


def _row(clip: Clip, vectors: Vectors, failed: bool) -> dict[str, Any]:
    info = clip.info
    known = {name: getattr(info, name) for name in ("key", "label", "label_name", "speaker", "split", "source_uri")}
    if failed:
        return known | {"status": "error", "error": "planted"}
    number = len(info.key) % 7 / 7
    scores = {"waveform_mse": 0.01 + number, "spectrogram_mae": number, "ssim": 1 - number}
    return known | scores | {"status": "ok", **vectors(clip)}


def noise_of(clip: Clip, size: int, *parts: object) -> np.ndarray:
    """Standard normal numbers that depend on the clip's key and on `parts` alone."""
    seed = int(sha256(repr((clip.info.key, parts)).encode())[:12], 16)
    return np.random.default_rng(seed).standard_normal(size).astype(np.float32)
