"""Ingest and encoder inference through the engine, against a bare loop that does the same work without Ray.

Each way is run on a small and on the whole corpus; the rate is that of the difference, so that starting workers and
importing torch, which happen once, do not count ("warm"). The cold rate of the whole run stands beside it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import made
from invertone.cluster.config.loading import load
from invertone.cluster.formats.ledger import Unit
from invertone.cluster.formats.shards import load_manifest
from invertone.cluster.jobs.engine import UnitStage
from invertone.cluster.jobs.watch import Watch
from invertone.cluster.ray.session import session
from invertone.cluster.storage.folder import Folder
from invertone.infer.config import CATALOGUE as INFER
from invertone.infer.job import run as infer
from invertone.infer.stage import InversionStage
from invertone.ingest.config import CATALOGUE as INGEST
from invertone.ingest.job import ShardStage
from invertone.ingest.job import run as ingest
from invertone.ingest.plan.planning import make_plan
from invertone.ingest.sources.source import list_source

CLIPS, SMALL = 12_000, 2_000


def run(clips: int = CLIPS) -> None:
    """Prints the table."""
    with tempfile.TemporaryDirectory(prefix="invertone-bench-") as name, session() as capacity:
        place = Path(name)
        sources = {n: made.corpus(place / f"corpus-{n}", n) for n in (SMALL, SMALL + clips)}
        checkpoints = made.models(Folder.at(str(place / "models")))
        workers = sorted({1, capacity.cpus})
        rows = []
        bare = _timed(lambda n: _bare_ingest(sources[n], place), clips)
        for number in workers:
            ours = _timed(lambda n, w=number: _ingest(sources[n], place / f"shards-{n}-{w}", w), clips)
            rows.append((f"ingest, {number} workers", ours, bare))
        shards = {n: place / f"shards-{n}-1" for n in sources}
        bare = _timed(lambda n: _bare_infer(shards[n], place, checkpoints, capacity.cpus), clips)
        for number in workers:
            ours = _timed(lambda n, w=number: _infer(shards[n], place / f"latents-{n}-{w}", checkpoints, w), clips)
            rows.append((f"encoder, {number} workers", ours, bare))
    print(f"\n{clips:,} clips; bare loop: one process, torch on all CPUs; so is the engine with one worker")
    print(
        f"{'job':22} {'engine warm':>12} {'bare warm':>12} {'ratio':>7} {'engine cold':>12} {'bare cold':>12}   clips/s"
    )
    for label, ours, bare in rows:
        print(
            f"{label:22} {ours[0]:12,.0f} {bare[0]:12,.0f} {ours[0] / bare[0]:7.2f} {ours[1]:12,.0f} {bare[1]:12,.0f}"
        )


def _timed(work: Callable[[int], None], clips: int) -> tuple[float, float]:
    """Warm and cold rate in clips per second."""
    seconds = []
    for count in (SMALL, SMALL + clips):
        began = time.perf_counter()
        work(count)
        seconds.append(time.perf_counter() - began)
    return clips / (seconds[1] - seconds[0]), (SMALL + clips) / seconds[1]


def _ingest(source: Path, out: Path, workers: int) -> None:
    ingest("sc09", load(INGEST, "sc09", [f"source={source}", f"out={out}", f"workers={workers}"]))


def _bare_ingest(source: Path, place: Path) -> None:
    """List, plan, decode, encode, write: all that ingest does, in one loop."""
    with tempfile.TemporaryDirectory(dir=place) as out:
        folder = Folder.at(out)
        config = load(INGEST, "sc09", [f"source={source}", f"out={out}"])
        plan = make_plan(config, list_source(config.source), folder)
        _loop(folder, ShardStage(folder, config), plan.units, threads=1)


def _infer(shards: Path, out: Path, checkpoints: dict[str, str], workers: int) -> None:
    infer("encoder", _infer_config(shards, out, checkpoints, workers))


def _bare_infer(shards: Path, place: Path, checkpoints: dict[str, str], threads: int) -> None:
    with tempfile.TemporaryDirectory(dir=place) as out:
        manifest = load_manifest(Folder.at(str(shards)))
        stage = InversionStage(_infer_config(shards, Path(out), checkpoints, 1), {})
        _loop(Folder.at(out), stage, [Unit(entry.name, vars(entry)) for entry in manifest.shards], threads)


def _infer_config(shards: Path, out: Path, checkpoints: dict[str, str], workers: int) -> Any:
    given = {"shards": shards, "out": out, "workers": workers, "device": "cpu", **checkpoints}
    return load(INFER, "encoder", [f"{key}={value}" for key, value in given.items()])


def _loop(folder: Folder, stage: UnitStage, units: Sequence[Unit], threads: int) -> None:
    process = stage.open(threads, Watch())
    for unit in units:
        for name, data in process(unit.work).files():
            folder.publish_bytes(name, data)
