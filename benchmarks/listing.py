"""A dry run of an ingest over so many files, beside the least that anybody must do: list the folders and ask for each file's
size and time.

The files are hard links to one WAV in folders of a thousand. Each round does the least and then the dry run, so that a busy
machine slows both; the ratio is the median of the rounds', seconds are of processor time. Both begin with what the system
holds of the folders in memory.
"""

from __future__ import annotations

import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from benchmarks.cores import one_core
from invertone.audio.clip import encode
from invertone.cluster.config.loading import load
from invertone.ingest.config import CATALOGUE
from invertone.ingest.job import plan

FILES, IN_FOLDER, ROUNDS = 100_000, 1_000, 3
Result = TypeVar("Result")


def run(files: int = FILES) -> None:
    """Prints a table in Markdown."""
    with tempfile.TemporaryDirectory(prefix="invertone-bench-") as name, one_core():
        source = _tree(Path(name) / "corpus", files)
        config = load(CATALOGUE, "folder", [f"source={source}", f"out={name}/out"])
        least, ours = list[float](), list[float]()
        for _ in range(ROUNDS):
            assert _timed(lambda: _least(str(source)), least) == files
            lines = _timed(lambda: plan(config), ours)
            assert lines[0].startswith(f"would read: {files:,} recordings")
        ratio = statistics.median(mine / floor for mine, floor in zip(ours, least, strict=True))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024
        print("| files | scandir and stat, s | dry run, s | dry run, µs a file | of the least | peak, MB |")
        print("|---:|---:|---:|---:|---:|---:|")
        floor, mine = statistics.median(least), statistics.median(ours)
        print(f"| {files:,} | {floor:.2f} | {mine:.2f} | {1e6 * mine / files:.1f} | {ratio:.1f} | {peak:,.0f} |")


def _tree(root: Path, files: int) -> Path:
    first = root / "000000.wav"
    root.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(-3_000, 3_000, 16_000).astype(np.int16)
    first.write_bytes(encode(noise, "wav", 16_000))
    links, inode = os.pathconf(root, "PC_LINK_MAX"), first
    for number in range(1, files):
        path = root / f"{number // IN_FOLDER:04d}" / f"{number:07d}.wav"
        if number % IN_FOLDER == 0 or number == 1:
            path.parent.mkdir(exist_ok=True)
        if number % (links - 1) == 0:  # an inode takes so many names and no more
            path.write_bytes(first.read_bytes())
            inode = path
        else:
            os.link(inode, path)
    return root


def _least(root: str) -> int:
    found, folders = dict[str, tuple[int, float]](), [root]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir():
                    folders.append(entry.path)
                else:
                    status = entry.stat()
                    found[entry.path] = status.st_size, status.st_mtime
    return len(found)


def _timed(work: Callable[[], Result], seconds: list[float]) -> Result:
    began = time.process_time()
    result = work()
    seconds.append(time.process_time() - began)
    return result
