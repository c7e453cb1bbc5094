"""How fast the reconstruction table is made, and whether its memory stays flat: at 2,000 rows and at 200,000.

The rows are 500 made clips and their inversions, whose files stand under many names (hard links): a large archive on a small
disk. Everything is read, verified, decoded and judged as often as it is named.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks import made
from benchmarks.memory import peak
from invertone.cluster.formats.latents import METADATA_KEY, committed_parts
from invertone.cluster.formats.ledger import Commit, Ledger, Output, Unit
from invertone.cluster.formats.shards import MANIFEST, ShardEntry, ShardManifest, load_manifest
from invertone.cluster.storage.folder import Folder, sha256

SIZES = (2_000, 200_000)
CLIPS = 500


def run(rows: int = SIZES[1]) -> None:
    """Prints the table."""
    print(
        f"{'rows':>8} {'seconds':>8} {'rows/s':>7} {'all processes':>14} {'driver':>8} {'largest worker':>15}   peak MB"
    )
    with tempfile.TemporaryDirectory(prefix="invertone-bench-") as name:
        place = Path(name)
        models = made.models(Folder.at(str(place / "models")))
        classifier = made.classifier(Folder.at(str(place / "models")))
        shards, latents = _first(place, models)
        for count in (SIZES[0], rows):
            many = _repeated(place / f"many-{count}", shards, latents, max(1, count // CLIPS))
            out, since = place / f"table-{count}", time.monotonic()
            words = ["eval", "reconstruction", f"latents={many}", f"out={out}", f"classifier={classifier}"]
            whole, driver, worker = peak(words)
            seconds = time.monotonic() - since
            judged = json.loads((out / "table.json").read_text())["rows"][0]["clips"]
            print(
                f"{judged:8,} {seconds:8,.0f} {judged / seconds:7,.0f} {whole:14,.0f} {driver:8,.0f} {worker:15,.0f}",
                flush=True,
            )


def _first(place: Path, models: dict[str, str]) -> tuple[Folder, Folder]:
    """One shard of clips and its inference run."""
    source, shards, latents = made.corpus(place / "corpus", CLIPS), place / "shards", place / "latents"
    peak(["ingest", "folder", f"source={source}", f"out={shards}", f"clips_per_shard={CLIPS}", "split=hash"])
    given = [f"{role}={models[role]}" for role in ("generator", "mapper")]
    peak(["infer", "encoder", f"shards={shards}", f"out={latents}", *given])
    return Folder.at(str(shards)), Folder.at(str(latents))


def _repeated(place: Path, shards: Folder, latents: Folder, times: int) -> str:
    """Shards and an inference run of the same clips `times` over; the address of the run."""
    (place / "shards").mkdir(parents=True)
    (place / "latents").mkdir()
    known, parts = load_manifest(shards), {part.name: part for part in committed_parts(latents)}
    entries, outputs = list[ShardEntry](), list[tuple[str, int, Path]]()
    for entry in known.shards:
        for number in range(times):
            stem = f"{entry.split}-{len(entries):06d}"
            os.link(shards.path_of(entry.name), place / "shards" / f"{stem}.tar")
            entries.append(dataclasses.replace(entry, name=f"{stem}.tar"))
            outputs.append((stem, entry.count, Path(latents.path_of(entry.name.replace(".tar", ".parquet")))))
            assert number < times and entry.name.replace(".tar", ".parquet") in parts
    manifest: ShardManifest = dataclasses.replace(known, shards=tuple(entries))
    Folder.at(str(place / "shards")).publish_json(MANIFEST, manifest.to_json())
    return _run(place, manifest, latents, outputs)


def _run(place: Path, manifest: ShardManifest, latents: Folder, outputs: list[tuple[str, int, Path]]) -> str:
    """An inference run whose Parquet files say that they are of these shards."""
    folder = Folder.at(str(place / "latents"))
    folder.publish_json("__invertone/run.json", latents.read_json("__invertone/run.json"))
    ledger = Ledger(folder, "benchmark")
    ledger.fix_plan([Unit(stem, {}, items=count) for stem, count, _ in outputs], {})
    written: dict[Path, tuple[Path, int, str]] = {}
    for stem, count, source in outputs:
        if source not in written:
            table = pq.read_table(source)
            about = json.loads(table.schema.metadata[METADATA_KEY])
            about["digests"]["shards"] = manifest.digest
            about["inputs"]["shards"] = str(place / "shards")
            buffer = io.BytesIO()
            pq.write_table(table.replace_schema_metadata({METADATA_KEY: json.dumps(about)}), buffer)
            copy = place / f"{len(written)}.parquet"
            copy.write_bytes(buffer.getvalue())
            written[source] = (copy, len(buffer.getvalue()), sha256(buffer.getvalue()))
        copy, size, digest = written[source]
        os.link(copy, place / "latents" / f"{stem}.parquet")
        ledger.commit(Commit(stem, count, (Output(f"{stem}.parquet", size, digest),), {}))
    return folder.uri
