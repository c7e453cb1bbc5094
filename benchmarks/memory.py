"""Peak memory of ingest and encoder inference at 2,000 and at 20,000 clips: it should be the same.

Memory is the proportional set size of the command and all its processes, sampled ten times a second (Linux). The
command runs on its own Ray session, as a user would run it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from pathlib import Path

from benchmarks import made
from invertone.cluster.storage.folder import Folder

SIZES = (2_000, 20_000)


def run(clips: int = SIZES[1]) -> None:
    """Prints the table."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="invertone-bench-") as name:
        place = Path(name)
        checkpoints = made.models(Folder.at(str(place / "models")))
        models = [f"{role}={uri}" for role, uri in checkpoints.items()]
        for count in (SIZES[0], clips):
            source, shards = made.corpus(place / f"corpus-{count}", count), place / f"shards-{count}"
            rows.append(("ingest", count, *peak(["ingest", "sc09", f"source={source}", f"out={shards}"])))
            latents = [f"shards={shards}", f"out={place / f'latents-{count}'}", *models]
            rows.append(("encoder", count, *peak(["infer", "encoder", *latents])))
    print(f"\n{'job':10} {'clips':>8} {'all processes':>14} {'driver':>10} {'largest worker':>15}   peak MB")
    for job, count, whole, driver, worker in sorted(rows):
        print(f"{job:10} {count:8,} {whole:14,.0f} {driver:10,.0f} {worker:15,.0f}")


def peak(words: list[str]) -> tuple[float, float, float]:
    """Runs `invertone words` and returns peaks in MB: of the sum over its processes, of the driver, of one worker."""
    process = subprocess.Popen([sys.executable, "-m", "invertone", *words], stderr=subprocess.DEVNULL)
    over = threading.Event()
    peaks = [0.0, 0.0, 0.0]

    def sample() -> None:
        while not over.wait(0.1):
            sizes = {pid: _proportional_mb(pid) for pid in _family(process.pid)}
            workers = [size for pid, size in sizes.items() if "invertone.cluster.jobs.worker_main" in _title(pid)]
            for at, value in enumerate((sum(sizes.values()), sizes.get(process.pid, 0.0), max(workers, default=0.0))):
                peaks[at] = max(peaks[at], value)

    sampler = threading.Thread(target=sample)
    sampler.start()
    code = process.wait()
    over.set()
    sampler.join()
    assert code == 0, f"invertone {' '.join(words)} ended with {code}"
    return peaks[0], peaks[1], peaks[2]


def _family(root: int) -> list[int]:
    children = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                children[int((entry / "stat").read_text().rpartition(")")[2].split()[1])].append(int(entry.name))
            except OSError:
                continue
    found = [root]
    for pid in found:
        found += children[pid]
    return found


def _proportional_mb(pid: int) -> float:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""
