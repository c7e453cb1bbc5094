"""Peak memory and shards of an ingest with every window, for recordings of 1, 10 and 40 hours: flat, and as asked."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.memory import peak
from invertone.cluster.formats.shards import load_manifest
from invertone.cluster.formats.signals import USUAL
from invertone.cluster.storage.folder import Folder

HOURS = (1, 10, 40)
CLIPS_PER_SHARD = 512


def run(*hours: int) -> None:
    """Prints the table: one recording of so many hours, then as many recordings of one hour."""
    rows = []
    for count in hours or HOURS:
        for files in {1, count}:
            with tempfile.TemporaryDirectory(prefix="invertone-bench-") as name:
                place = Path(name)
                for number in range(files):
                    _write(place / f"corpus/a/{number:03d}.wav", count // files)
                words = [f"source={place}/corpus", f"out={place}/out", "window=all", "workers=1"]
                began = time.monotonic()
                whole, driver, worker = peak(["ingest", "folder", *words, f"clips_per_shard={CLIPS_PER_SHARD}"])
                seconds = time.monotonic() - began
                counts = [entry.count for entry in load_manifest(Folder.at(f"{place}/out")).shards]
                rows.append((count, files, whole, driver, worker, sum(counts), len(counts), max(counts), seconds))
    print(
        f"\n{'hours':>6} {'files':>6} {'all MB':>8} {'driver':>8} {'worker':>8} {'clips':>9} {'shards':>7} {'largest':>8} s"
    )
    for count, files, whole, driver, worker, clips, shards, largest, seconds in sorted(rows):
        print(
            f"{count:6} {files:6} {whole:8,.0f} {driver:8,.0f} {worker:8,.0f} {clips:9,} {shards:7,} {largest:8,} {seconds:.0f}"
        )


def _write(path: Path, hours: int) -> None:
    """Noise, one minute after the other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(hours)
    with soundfile.SoundFile(
        path, "w", USUAL.sample_rate, 1, "PCM_16", format="RF64" if hours > 20 else "WAV"
    ) as sound:
        for _ in range(60 * hours):
            sound.write(draw.integers(-3_000, 3_000, 60 * USUAL.sample_rate, np.int16))
