"""One worker of bulk inference on one core: what it makes of a shard beside the arithmetic that nobody could leave out.

Networks are stubbed (zeros for latents, the clip itself for its reconstruction), so that what is left is the worker's own:
reading and verifying a shard, decoding, scores, encoding, Parquet. The floor is the same steps' bare calls, one after another,
on the same clips. Then the full-size mapper, whose forward pass alone is the floor; two workers on two cores beside one; and
where the time goes.

Rates are per second of processor time, which the machine's other work lengthens less than those of the clock.
"""

from __future__ import annotations

import contextlib
import cProfile
import dataclasses
import io
import os
import pstats
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest import mock

import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks import made
from benchmarks.cores import one_core
from invertone import command_line
from invertone.audio.clip import FULL_SCALE, decode, encode
from invertone.audio.front_end import FrontEnd
from invertone.cluster.config.loading import load
from invertone.cluster.formats.latents import LATENTS, RECONSTRUCTIONS, ROWS, SCORED, SOUNDING, SOUNDS
from invertone.cluster.formats.shards import Clip, ShardEntry, load_manifest, read_shard
from invertone.cluster.jobs.watch import Recorder, Watch
from invertone.cluster.storage.folder import Folder, sha256
from invertone.infer import stage
from invertone.infer.config import CATALOGUE
from invertone.infer.methods.method import Inversion
from invertone.models.networks.resnet import ResNet18
from invertone.models.scores import score

CLIPS, ROUNDS = 4_096, 5
TILE = 8


class Stub:
    """In place of the networks. rows: what is asked for."""

    def __init__(self, rows: str) -> None:
        self._rows = rows

    def __call__(self, target: Float[Tensor, "b n"], keys: Sequence[str]) -> Inversion:
        count = len(target)
        none, steps = torch.zeros(count), torch.zeros(count, dtype=torch.int64)
        loss, terms = (none, {"log_magnitude": none}) if self._rows in SCORED else (None, {})
        waveform = target.clone() if self._rows != LATENTS else None
        return Inversion(torch.zeros(count, 100), waveform, loss, terms, steps, steps, ["encoded"] * count)


class Worker:
    """What a worker process has once it is started. stubbed: without networks."""

    def __init__(self, place: Path, rows: str, *, stubbed: bool = True, mapper: str = "models/mapper") -> None:
        words = [f"shards={place}/shards", f"generator={place}/models/generator", f"mapper={place}/{mapper}"]
        config = load(CATALOGUE, "encoder", [*words, f"out={place}/out", f"rows={rows}", "device=cpu"])
        folder = Folder.at(config.shards)
        self.entries = [entry for entry in load_manifest(folder).shards if entry.count > 100]
        self.folder, self._out = folder, Folder.at(str(place / "out"))
        with contextlib.ExitStack() as patched:
            if stubbed:
                patched.enter_context(mock.patch.object(stage, "build_inverter", lambda *_: Stub(rows)))
            recorder = Recorder(tempfile.TemporaryFile(), create=True)  # noqa: SIM115 (as long-lived as this)
            self._process = stage.InversionStage(config, {"method": "encoder"}).open(1, Watch(recorder))

    def __call__(self, entry: ShardEntry) -> None:
        """As `cluster.jobs.worker_main` does a unit."""
        for name, data in self._process(dataclasses.asdict(entry)).files():
            self._out.publish_bytes(name, data)
            sha256(data)


def run(clips: int = CLIPS, side: str = "", place: str = "") -> None:
    """Prints tables in Markdown."""
    if side:
        _beside(Path(place), side)
        return
    with tempfile.TemporaryDirectory(prefix="invertone-bench-") as name, one_core():
        folder = Path(name)
        made.corpus(folder / "corpus", int(clips))
        made.models(Folder.at(str(folder / "models")))
        with contextlib.redirect_stdout(io.StringIO()):
            command = ["ingest", "sc09", f"source={folder}/corpus", f"out={folder}/shards", "workers=1"]
            assert command_line.main(command) == 0
        print("| one core, networks stubbed | clips per CPU second | floor | ratio |\n|---|---:|---:|---:|")
        for rows in ROWS:
            worker = Worker(folder, rows)
            ours, least = _rates(
                worker.entries, worker, lambda entry, rows=rows, worker=worker: _least(worker, entry, rows)
            )
            print(f"| rows={rows} | {ours:,.0f} | {least:,.0f} | {ours / least:.2f} |", flush=True)
        ours, least = _full_size(folder)
        print(
            f"| rows=latents, full-size mapper; floor: its forward pass alone | {ours:,.1f} | {least:,.1f} | ", end=""
        )
        print(f"{ours / least:.2f} |\n", flush=True)
        _two_cores(folder)
        _profile(folder)


def _least(worker: Worker, entry: ShardEntry, rows: str) -> None:
    """What is asked for: bytes read and hashed, clips decoded, in single precision; scores of tiles; FLAC."""
    clips: list[Clip] = list(read_shard(worker.folder, entry))
    waves = [torch.from_numpy(decode(clip.data)).float() / FULL_SCALE for clip in clips]
    if rows in SCORED:
        for first in range(0, len(waves), TILE):
            tile = torch.stack(waves[first : first + TILE])
            score(tile, tile, None)
    if rows in SOUNDING:
        for wave in waves:
            encode((wave * FULL_SCALE).short().numpy(), "flac", 16_000)


def _rates(
    entries: Sequence[ShardEntry], ours: Callable[[ShardEntry], object], floor: Callable[[ShardEntry], object]
) -> tuple[float, float]:
    """Clips per second of processor time of either; in turn, so that what else the machine does slows both. Medians."""
    found: tuple[list[float], list[float]] = ([], [])
    for number in range(ROUNDS + 1):
        for rates, work in zip(found, (ours, floor), strict=True):
            entry = entries[number % len(entries)]
            began = time.process_time()
            work(entry)
            rates.append(entry.count / (time.process_time() - began))
    return statistics.median(found[0][1:]), statistics.median(found[1][1:])


def _full_size(place: Path) -> tuple[float, float]:
    """The encoder with a mapper of width 64 on one shard, and its forward pass on the same tiles."""
    torch.manual_seed(0)
    mapper = ResNet18(100, 64, FrontEnd()).eval().requires_grad_(False)
    made.mapper(Folder.at(str(place / "full")), mapper, f"{place}/models/generator")
    worker = Worker(place, LATENTS, stubbed=False, mapper="full/mapper")

    def alone(entry: ShardEntry) -> None:
        with torch.no_grad():
            for _ in range(0, entry.count, TILE):
                mapper(tile)

    tile = torch.randn(TILE, 16_384) / 10
    return _rates(worker.entries, worker, alone)


def _two_cores(place: Path) -> None:
    """Clips per second of the clock: one worker on a core, and two at once on two."""
    cores = range(min(2, os.cpu_count() or 1))
    print("| workers at once, a core each | clips/s | ratio |\n|---|---:|---:|")
    for rows in (LATENTS, RECONSTRUCTIONS):
        rates = []
        for count in range(1, len(cores) + 1):
            words = [sys.executable, "-m", "benchmarks", "bulk", f"place={place}"]
            sides = [
                subprocess.Popen([*words, f"side={rows}:{core}"], stdout=subprocess.PIPE, text=True)
                for core in cores[:count]
            ]
            rates.append(sum(float(side.communicate()[0]) for side in sides))
            ratio = f"{rates[-1] / rates[0]:.2f}" if count > 1 else ""
            print(f"| {count}, rows={rows} | {rates[-1]:,.0f} | {ratio} |", flush=True)
    print()


def _beside(place: Path, side: str) -> None:
    """One of several workers: prints its rate over all shards, for as long as all of them surely work."""
    rows, _, core = side.partition(":")
    os.sched_setaffinity(0, {int(core)})
    worker, done = Worker(place, rows), 0
    worker(worker.entries[0])
    began = time.monotonic()
    while time.monotonic() - began < 10:
        entry = worker.entries[done % len(worker.entries)]
        worker(entry)
        done += 1
    print(sum(worker.entries[at % len(worker.entries)].count for at in range(done)) / (time.monotonic() - began))


def _profile(place: Path) -> None:
    """Where one worker's time goes, functions by their own time."""
    worker = Worker(place, RECONSTRUCTIONS)
    worker(worker.entries[0])
    steps: dict[str, Callable[[ShardEntry], object]] = {
        "read and verify": lambda entry: list(read_shard(worker.folder, entry)),
        "… and decode": lambda entry: _least(worker, entry, LATENTS),
        "… and encode": lambda entry: _least(worker, entry, SOUNDS),
        "… and score": lambda entry: _least(worker, entry, RECONSTRUCTIONS),
        "the worker": worker,
    }
    print("| rows=reconstructions | ms a clip |\n|---|---:|")
    for name, step in steps.items():
        print(f"| {name} | {1e3 / _rate(worker.entries, step):.3f} |", flush=True)
    profile = cProfile.Profile()
    profile.runcall(worker, worker.entries[0])
    text = io.StringIO()
    pstats.Stats(profile, stream=text).strip_dirs().sort_stats("tottime").print_stats(12)
    print(f"\nThe calling thread, a shard of {worker.entries[0].count:,} clips:\n\n```\n{text.getvalue().strip()}\n```")


def _rate(entries: Sequence[ShardEntry], step: Callable[[ShardEntry], object]) -> float:
    rates = []
    for entry in entries[:ROUNDS]:
        began = time.process_time()
        step(entry)
        rates.append(entry.count / (time.process_time() - began))
    return statistics.median(rates)
