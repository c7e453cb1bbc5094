"""What every bulk job that makes shards has in common: what a unit publishes, and the manifest made from the commits."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

from cluster.engine import Outcome, UnitResult
from cluster.layout import OURS
from cluster.ledger import Ledger
from cluster.runs import SUMMARY
from cluster.shards import (
    MANIFEST,
    REJECTS,
    SPLITS,
    Clip,
    Reject,
    ShardEntry,
    ShardManifest,
    read_rejects,
    rejects_parquet,
    write_shard,
)
from cluster.storage import Folder

REJECT_PARTS = f"{OURS}/rejects"


def shard_result(name: str, clips: Sequence[Clip], rejects: Sequence[Reject], clipped_samples: int) -> UnitResult:
    """What the unit of the shard `name` (its split, a hyphen, its number) publishes."""
    outputs: dict[str, bytes] = {}
    if clips:
        outputs[f"{name}.tar"] = write_shard(clips)
    if rejects:
        outputs[f"{REJECT_PARTS}/{name}.pq"] = rejects_parquet(rejects)
    return UnitResult(outputs, {"clips": len(clips), "rejects": len(rejects), "clipped_samples": clipped_samples})


def publish_manifest(
    folder: Folder, corpus: ShardManifest, outcome: Outcome, rejects: Sequence[Reject] = ()
) -> ShardManifest:
    """`corpus` with the shards that are committed. Writes rejects table (those of the units and the ones given),
    summary and, last, the manifest that vouches for all.
    """
    shards, rejects = [], list(rejects)
    for commit in Ledger(folder).commits():
        for output in commit.outputs:
            if output.name.endswith(".tar"):
                split, count = output.name.rpartition("-")[0], commit.statistics["clips"]
                shards.append(ShardEntry(output.name, split, count, output.bytes, output.sha256))
            else:
                rejects += read_rejects(folder, output.name)
    shards.sort(key=lambda entry: entry.name)
    manifest = dataclasses.replace(corpus, shards=tuple(shards), rejects=len(rejects))
    counts = {split: manifest.count(split) for split in SPLITS}
    totals = {"clips": manifest.count(), **counts, "rejects": len(rejects), "shards": len(shards)}
    folder.publish_bytes(REJECTS, rejects_parquet(rejects))
    folder.publish_json(SUMMARY, outcome.summary() | totals)
    folder.publish_json(MANIFEST, manifest.to_json())
    return manifest


def shard_lines(folder: Folder, manifest: ShardManifest, inputs: str) -> list[str]:
    """What a job says at its end: how many clips in which splits, and why how many `inputs` did not become any."""
    splits = ", ".join(f"{manifest.count(split):,} {split}" for split in SPLITS if manifest.count(split))
    size = megabytes(sum(each.bytes for each in manifest.shards))
    lines = [f"{manifest.count():,} clips ({splits}) in {len(manifest.shards):,} shards, {size}: {folder.uri}"]
    if manifest.rejects:
        where = folder.path_of(REJECTS)
        lines.append(f"{manifest.rejects:,} {inputs} did not become clips, listed with reasons in {where}:")
        reasons = Counter(each.reason.split(":")[0] for each in read_rejects(folder))  # without their particulars
        lines += [f"  {count:6,}  {reason}" for reason, count in reasons.most_common(20)]
    return lines


def megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
