"""The job that puts windows together: one unit per unit of the ingest, which holds whole recordings."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from invertone.cluster.errors import UserError
from invertone.cluster.formats.latents import RECONSTRUCTIONS, SOUNDING, SOUNDS, committed_parts, metadata_of
from invertone.cluster.formats.ledger import EXCLUDED, LIMIT, Ledger, Output, Unit, first_items
from invertone.cluster.formats.recordings import MISSING_SCHEMA, by_unit, vectors_of
from invertone.cluster.formats.runs import recorded
from invertone.cluster.formats.shards import ShardManifest, load_manifest
from invertone.cluster.formats.signals import clips_of
from invertone.cluster.jobs.bulk import BulkJob, bulk_job
from invertone.cluster.jobs.engine import Outcome
from invertone.cluster.storage.folder import Folder, content_digest
from invertone.cluster.storage.layout import laid_out
from invertone.cluster.storage.parquet import read_parquet
from invertone.infer.join.config import JoinConfig
from invertone.infer.join.stage import MISSING_PARTS, JoinStage, Source

MISSING = "missing.parquet"


@dataclasses.dataclass(frozen=True)
class _Run:
    """The inference run that is joined."""

    source: Source
    units: list[Unit]
    digests: dict[str, str]
    notes: list[str]


def plan(config: JoinConfig) -> list[str]:
    """What --dry-run prints."""
    run = _inputs(config)
    windows = sum(unit.items for unit in run.units)
    sounds = f", and a {config.format.upper()} file for each recording" if config.sounds else ""
    return [
        f"would join: {windows:,} windows, of {len(run.units):,} units of the ingest",
        *run.notes,
        f"would write: {len(run.units):,} Parquet files into {config.out}{sounds}",
    ]


def run(name: str, config: JoinConfig) -> None:
    """Puts together every unit that is not committed yet."""
    made = _inputs(config)
    with bulk_job("join", name, config, made.digests) as job:
        for note in made.notes:
            print(note)
        outcome = job.run_units(JoinStage(job.folder, config, made.source), made.units, items="windows")
        _publish_missing(job.folder)
        job.summarise(outcome.statistics)
        _say(job, outcome, config)


def _say(job: BulkJob, outcome: Outcome, config: JoinConfig) -> None:
    found = outcome.statistics
    job.say(f"{found['recordings']:,} recordings of {found['windows']:,} windows: {job.folder.uri}")
    if config.sounds:
        job.say(f"{found['sounds']:,} sounds, {found['seconds']:,.1f} s: {job.folder.path_of('sounds')}")
    gaps = [f"{found['missing']:,} windows are missing"] * bool(found["missing"])
    gaps += [f"{found['silent']:,} have no sound"] * bool(found["silent"])
    if gaps:
        job.say(f"{' and '.join(gaps)}, listed with reasons in {job.folder.path_of(MISSING)}")


def _inputs(config: JoinConfig) -> _Run:
    """What is there to be joined, checked before anything starts."""
    folder = laid_out(Folder.at(config.latents))
    if recorded(folder).get("stage") != "infer":
        raise UserError("is no run of infer", where=config.latents, fix="give the out of `invertone infer`")
    parts = committed_parts(folder)
    if not parts:
        raise UserError("no committed Parquet here", where=folder.uri, fix="run `invertone infer` to its end")
    about = metadata_of(folder, parts[0])
    _check_sound(config, about)
    place = config.shards or about["inputs"]["shards"]
    manifest = load_manifest(Folder.at(place))
    if manifest.digest != about["digests"]["shards"]:
        raise UserError(
            "latents were made from other shards",
            where=config.latents,
            fix=f"give the shards they were made from, not {place}",
        )
    clips = clips_of(manifest.format, "shards", place)
    described = {
        "method": about["method"],
        "name": about.get("name", about["method"]),
        "inputs": {"latents": config.latents, "shards": place},
        "digests": {**about["digests"], "latents": content_digest(parts)},
        "sample_rate": clips.sample_rate,
        "clip_samples": clips.samples,
        "channels": clips.channels,
    }
    source = Source(config.latents, place, vectors_of(folder, parts[0]), described, clips)
    units = first_items(_units(folder, parts, manifest), config.limit)
    notes = _notes(config, units, manifest)
    return _Run(source, units, {"latents": described["digests"]["latents"], "shards": manifest.digest}, notes)


def _check_sound(config: JoinConfig, about: dict[str, Any]) -> None:
    # what older versions did not say was what they always wrote
    if config.sounds and about.get("rows", RECONSTRUCTIONS) not in SOUNDING:
        raise UserError(
            f"rows={about['rows']} hold no sound",
            where=config.latents,
            fix=f"infer again with rows={SOUNDS} or rows={RECONSTRUCTIONS}, or leave sounds out",
        )


def _units(folder: Folder, parts: Sequence[Output], manifest: ShardManifest) -> Iterator[Unit]:
    """A unit for each of ingest's. Raises UserError where inference has not come to its end."""
    ledger = Ledger(folder)
    planned = ledger.planned()
    items = dict(zip(planned["name"].to_pylist(), planned["items"].to_pylist(), strict=True))
    done = {part.name.removesuffix(".parquet"): part for part in parts}
    given_up = {each.unit: each for each in ledger.failures() if each.state != EXCLUDED}
    left = [name for name in items if name not in done and name not in given_up]
    if left:
        raise UserError(
            f"only {len(items) - len(left):,} of {len(items):,} units are inferred",
            where=folder.uri,
            fix="finish `invertone infer` first",
        )
    entries = {entry.name.removesuffix(".tar"): entry for entry in manifest.shards}
    for unit, names in by_unit(items).items():
        pieces = list[dict[str, Any]]()
        for name in names:
            if name in done:
                pieces.append({"part": dataclasses.asdict(done[name])})
                continue
            shard = dataclasses.asdict(entries[name])
            shard |= {LIMIT: items[name]} if items[name] < entries[name].count else {}
            failure = given_up[name]
            pieces.append({"shard": shard, "reason": f"{failure.state}: {failure.error}"})
        yield Unit(unit, {"name": unit, "pieces": pieces}, sum(items[name] for name in names))


def _notes(config: JoinConfig, units: Sequence[Unit], manifest: ShardManifest) -> list[str]:
    notes = []
    lost = sum("part" not in piece for unit in units for piece in unit.work["pieces"])
    if lost:
        notes.append(f"{lost:,} shards have no latents, because inference failed; their windows are listed as missing")
    if config.sounds and manifest.levels == "peak":
        notes.append("levels=peak: every window was scaled to full scale for itself, and its sound is as loud as that")
    return notes


def _publish_missing(folder: Folder) -> None:
    """One table of the units' own, of which memory holds one at a time."""
    with tempfile.TemporaryDirectory(prefix="invertone-join-") as temporary:
        path = folder.scratch(MISSING, Path(temporary))
        try:
            with pq.ParquetWriter(path, MISSING_SCHEMA, compression="zstd") as writer:
                for table in _missing_parts(folder):
                    writer.write_table(table)
            folder.publish_file(MISSING, path)
        finally:
            path.unlink(missing_ok=True)


def _missing_parts(folder: Folder) -> Iterator[pa.Table]:
    names = [
        output
        for commit in Ledger(folder).commits()
        for output in commit.outputs
        if output.name.startswith(f"{MISSING_PARTS}/")
    ]
    for output in sorted(names, key=lambda each: each.name):
        data = folder.read_verified(output.name, output.bytes, output.sha256, "run the same join again")
        yield read_parquet(data).replace_schema_metadata(None)
