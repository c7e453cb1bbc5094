"""How fast the reconstruction table is made, of inference's rows and of sound, and whether its memory stays flat: at 2,000 rows
and at 200,000.

The rows are 512 made clips and their inversions, whose files stand under many names (hard links): a large archive on a small
disk. Everything is read and verified as often as it is named. One worker of one thread. Rates are of the difference between
two sizes, which leaves out what happens once, by the processor time of all processes: machines are busy with other things too.
"""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import made
from benchmarks.memory import peak
from invertone.cluster.formats.latents import METADATA_KEY, committed_parts, read_part, table_bytes
from invertone.cluster.formats.ledger import Commit, Ledger, Output, Unit
from invertone.cluster.formats.shards import MANIFEST, ShardEntry, ShardManifest, load_manifest
from invertone.cluster.storage.folder import Folder, sha256
from invertone.eval.measures.draws import key_digests, sampled

SIZES = (2_000, 200_000)
HEARD = (512, 2_048)
CLIPS, SAMPLE = 512, 1_000
SOUND = "columns=[clips,accuracy,inception_score,frechet_logits,frechet_penultimate,ssim]"
"""Frechet distances on penultimate activations need the sound."""


def run(rows: int = SIZES[1]) -> None:
    """Prints the table, and a rate after each pair of sizes."""
    heads = ("seconds", 8), ("processor", 10), ("all processes", 14), ("driver", 8), ("largest worker", 15)
    print(
        f"{'judged by':22} {'rows':>8} {'sample':>7} "
        + " ".join(f"{head:>{width}}" for head, width in heads)
        + "   peak MB"
    )
    with tempfile.TemporaryDirectory(prefix="invertone-bench-") as name:
        place = Path(name)
        models = made.models(Folder.at(str(place / "models")))
        models["classifier"] = made.classifier(Folder.at(str(place / "models")))
        shards = _shards(place)
        scores, sounds = (_inferred(place, shards, models, kind) for kind in ("scores", "reconstructions"))
        _pair("rows", place / "a", shards, scores, (SIZES[0], rows), ["sample=1"])
        _pair("rows and baselines", place / "b", shards, scores, (SIZES[0], rows), [f"sample={SAMPLE}"])
        _pair("sound", place / "c", shards, sounds, HEARD, ["sample=1", SOUND])


def _pair(what: str, place: Path, shards: Folder, latents: Folder, sizes: Sequence[int], words: list[str]) -> None:
    measured, sampled_too = list[tuple[int, float]](), f"sample={SAMPLE}" in words
    for count in sizes:
        many = _repeated(place / f"many-{count}", shards, latents, max(1, count // CLIPS))
        seed = _seed(latents, count) if sampled_too else 0
        out, since, before = place / f"table-{count}", time.monotonic(), _processor_seconds()
        given = [
            f"latents={many}",
            f"out={out}",
            "device=cpu",
            "workers=1",
            "cpus_per_worker=1",
            f"seed={seed}",
            *words,
        ]
        whole, driver, worker = peak(["eval", "reconstruction", *given])
        seconds, spent = time.monotonic() - since, _processor_seconds() - before
        clips = {row["row"]: row["clips"] for row in json.loads((out / "table.json").read_text())["rows"]}
        judged, heard = clips["real"], clips.get("silence", 0)
        print(
            f"{what:22} {judged:8,} {heard:7,} {seconds:8,.1f} {spent:10,.1f} {whole:14,.0f} {driver:8,.0f} {worker:15,.0f}",
            flush=True,
        )
        measured.append((judged, spent))
    (few, short), (all_rows, long) = measured
    print(f"{what}: {(all_rows - few) / (long - short):,.0f} rows/s of one core", flush=True)


def _seed(latents: Folder, count: int) -> int:
    """A seed by which the sample takes of these clips, which all shards have in common, as many as it would of others, or one:
    no shard is spared."""
    (part,) = committed_parts(latents)
    digests, share = key_digests(read_part(latents, part)["key"].to_pylist()), min(1.0, SAMPLE / count)
    wanted = max(1, round(share * CLIPS)) if share < 0.1 else None
    return next(seed for seed in range(10_000) if wanted in (None, int(sampled(digests, seed, share).sum())))


def _processor_seconds() -> float:
    """Of the processes that were started here and ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _shards(place: Path) -> Folder:
    """One shard of clips."""
    made.corpus(place / "corpus" / "test", CLIPS)
    words = [f"source={place / 'corpus'}", f"out={place / 'shards'}", f"clips_per_shard={CLIPS}"]
    peak(["ingest", "folder", *words])
    return Folder.at(str(place / "shards"))


def _inferred(place: Path, shards: Folder, models: dict[str, str], rows: str) -> Folder:
    given = [f"{role}={models[role]}" for role in ("generator", "mapper", "classifier")]
    peak(["infer", "encoder", f"shards={shards.uri}", f"out={place / rows}", f"rows={rows}", *given])
    return Folder.at(str(place / rows))


def _repeated(place: Path, shards: Folder, latents: Folder, times: int) -> str:
    """Shards and an inference run of the same clips `times` over; the address of the run."""
    (place / "shards").mkdir(parents=True)
    (place / "latents").mkdir()
    (entry,), (part,) = load_manifest(shards).shards, committed_parts(latents)
    entries = list[ShardEntry]()
    for number in range(times):
        entries.append(dataclasses.replace(entry, name=f"test-{number:06d}.tar"))
        os.link(shards.path_of(entry.name), place / "shards" / entries[-1].name)
    manifest: ShardManifest = dataclasses.replace(load_manifest(shards), shards=tuple(entries))
    Folder.at(str(place / "shards")).publish_json(MANIFEST, manifest.to_json())
    return _run(place, manifest, latents, part)


def _run(place: Path, manifest: ShardManifest, latents: Folder, part: Output) -> str:
    """An inference run whose Parquet files say that they are of these shards."""
    folder = Folder.at(str(place / "latents"))
    folder.publish_json("__invertone/run.json", latents.read_json("__invertone/run.json"))
    ledger = Ledger(folder, "benchmark")
    stems = [entry.name.removesuffix(".tar") for entry in manifest.shards]
    ledger.fix_plan([Unit(stem, {}, items=CLIPS) for stem in stems], {})
    table = read_part(latents, part)
    about = json.loads(table.schema.metadata[METADATA_KEY])
    about["digests"]["shards"], about["inputs"]["shards"] = manifest.digest, str(place / "shards")
    data = table_bytes(table.replace_schema_metadata({METADATA_KEY: json.dumps(about)}))
    (place / "rows.parquet").write_bytes(data)
    for stem in stems:
        os.link(place / "rows.parquet", place / "latents" / f"{stem}.parquet")
        ledger.commit(Commit(stem, CLIPS, (Output(f"{stem}.parquet", len(data), sha256(data)),), {}))
    return folder.uri
