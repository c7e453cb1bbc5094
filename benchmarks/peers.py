"""The real commands beside what a user would write in forty lines on public libraries (`benchmarks.peer_side`).

Ours and theirs run as processes of their own, one after the other, on the same shards and WAV files and on the same cores, to
which they and all that they start are pinned. Each job runs twice on a small corpus, of which the lesser numbers count, and
once on a large one. `clips per CPU second` (of the processor time of all its processes) and `warm` are rates of the
difference, so that what happens once (imports, Ray, weights) does not count; the first is the one to trust where others use
the machine. `whole`: the rate of the large run from its command to its end. `first`: seconds from the command until what it
wrote first can be relied on: our first commit; of the others the first file that can be read, or that the next one has
followed.

Networks: `least` is next to none (`benchmarks.least`), on both sides the same, so that the host's work is what is timed;
`width 16` is the debug mapper. They see 64 clips at a time, in our command at width 16 its default, 8. Rows: `latents`;
`sounds`, with FLAC of the reconstructions; `reconstructions`, with scores as well, which ours computes. Theirs hold FLAC, of
the clip itself, and sixteen samples in place of scores beside either.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks import least, made
from benchmarks.peer_side import BATCH
from invertone.audio.front_end import FrontEnd
from invertone.cluster.formats.latents import LATENTS, RECONSTRUCTIONS, SOUNDS
from invertone.cluster.formats.ledger import COMMITS
from invertone.cluster.formats.signals import USUAL
from invertone.cluster.storage.folder import Folder
from invertone.models.checkpoint import load_mapper
from invertone.models.networks.resnet import ResNet18

CLIPS, SMALL = 4_000, 512
ROOT = Path(__file__).parents[1]
POLL_S, ACCOUNT_S = 0.02, 0.25
LEAST, WIDTH_16, ALL = "least", "width 16", "all"
Ready = Callable[[Path], bool]
"""Whether there is something in a folder of results that can be relied on."""


@dataclass(frozen=True)
class Timed:
    """Of one command: seconds in all, those of processors, and those until its first result."""

    seconds: float
    processor: float
    first: float


@dataclass(frozen=True)
class Way:
    """command: its words for a source and a folder of results."""

    name: str
    command: Callable[[Path, Path], list[str]]
    ready: Ready


@dataclass(frozen=True)
class Speed:
    """processor, warm and whole in clips per second, first in seconds. NaN: not to be told from what happens once."""

    processor: float
    warm: float
    whole: float
    first: float


def run(clips: int = CLIPS, workers: str = "1") -> None:
    """Prints the table. workers: how many, each on a core of its own."""
    cores = sorted(os.sched_getaffinity(0))[-int(workers) :]
    assert len(cores) == int(workers), "each worker has a core"
    with tempfile.TemporaryDirectory(prefix="invertone-bench-") as name:
        place = Path(name)
        counts = (SMALL, SMALL + clips)
        sources = {count: made.corpus(place / f"corpus-{count}", count) for count in counts}
        shards = {count: place / f"ingest-ours-{count}" for count in counts}  # ingest comes first and leaves them
        found = {job: _compared(job, ways, sources, place, cores) for job, ways in _ingest(workers).items()}
        mappers, networks = _mappers(place), {}
        for network, mapper in mappers.items():
            networks[network] = _alone(mapper)
        for job, ways in _infer(workers, mappers, place).items():
            found[job] = _compared(job, ways, shards, place, cores)
    print(table(found))
    alone = ", ".join(f"{network}: {rate:,.0f}" for network, rate in networks.items())
    print(f"\n{SMALL + clips:,} clips, {SMALL:,} of them not warm; {len(cores)} of {os.cpu_count()} cores.", end=" ")
    print(f"The mapper alone, 64 at a time, clips per CPU second: {alone}.")


def table(found: dict[str, dict[str, Speed]]) -> str:
    """Markdown: a line for each job and way; ours comes first, and ratios are ours to theirs."""
    head = [
        "job",
        "way",
        "clips per CPU second",
        "ratio",
        "warm, clips/s",
        "ratio",
        "whole, clips/s",
        "ratio",
        "first, s",
    ]
    lines = [f"| {' | '.join(head)} |", "|---|---|" + "---:|" * 7]
    for job, ways in found.items():
        ours = next(iter(ways.values()))
        for way, speed in ways.items():
            pairs = [(getattr(speed, each), getattr(ours, each)) for each in ("processor", "warm", "whole")]
            rates = [
                f"{_number(rate, ',.0f')} | {'' if speed is ours else _number(own / rate, '.2f')}"
                for rate, own in pairs
            ]
            lines.append(f"| {job} | {way} | {' | '.join(rates)} | {speed.first:.1f} |")
    return "\n".join(lines)


def _number(value: float, form: str) -> str:
    return "?" if math.isnan(value) else format(value, form)


def _ingest(workers: str) -> dict[str, list[Way]]:
    def ours(source: Path, out: Path) -> list[str]:
        keys = [f"source={source}", f"out={out}", f"workers={workers}", "cpus_per_worker=1"]
        return ["invertone", "ingest", "sc09", *keys]

    def theirs(source: Path, out: Path) -> list[str]:
        return ["benchmarks.peer_side", "ingest", str(source), str(out), f"workers={workers}"]

    ways = [Way("ours", ours, committed), Way("soundfile, torchaudio, ShardWriter", theirs, followed)]
    return {"ingest": ways}


def _infer(workers: str, mappers: dict[str, str], place: Path) -> dict[str, list[Way]]:
    jobs = {}
    for rows, network in ((LATENTS, LEAST), (LATENTS, WIDTH_16), (SOUNDS, LEAST), (RECONSTRUCTIONS, LEAST)):
        mapper = mappers[network]

        tile = BATCH if network == LEAST else 0  # as theirs where the network is to cost nothing, else what a user gets

        def ours(source: Path, out: Path, rows: str = rows, mapper: str = mapper, tile: int = tile) -> list[str]:
            keys = {
                "shards": source, "out": out, "generator": least.GENERATOR, "mapper": mapper, "device": "cpu",
                "workers": workers, "cpus_per_worker": 1, "rows": rows, "tile": tile,
            }  # fmt: skip
            return ["invertone", "infer", "encoder", *(f"{key}={value}" for key, value in keys.items())]

        def theirs(way: str, number: int, rows: str = rows, mapper: str = mapper) -> Callable[[Path, Path], list[str]]:
            keys = [f"rows={LATENTS if rows == LATENTS else ALL}", f"mapper={mapper}", f"workers={number}"]
            return lambda source, out: ["benchmarks.peer_side", way, str(source), str(out), *keys]

        beside = int(workers) if int(workers) > 1 else 0  # on one core a process beside it is no help
        jobs[f"infer, {rows}, {network}"] = [
            Way("ours", ours, committed),
            Way("webdataset, DataLoader, pyarrow", theirs("infer-loader", beside), readable),
            Way("Ray Data", theirs("infer-ray", int(workers)), readable),
        ]
    return jobs


def _mappers(place: Path) -> dict[str, str]:
    torch.manual_seed(0)
    folder = Folder.at(str(place / "models"))
    networks = {LEAST: least.mapper(), WIDTH_16: ResNet18(least.LATENT, 16, FrontEnd(mels=64))}
    return {name: made.mapper(folder / name, network, least.GENERATOR) for name, network in networks.items()}


def _alone(mapper: str, batches: int = 20) -> float:
    """Clips per CPU second of the network's forward pass alone."""
    threads, network, batch = torch.get_num_threads(), load_mapper(mapper)[0], torch.zeros(64, USUAL.samples)
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            network(batch)
            since = time.process_time()
            for _ in range(batches):
                network(batch)
            return batches * len(batch) / (time.process_time() - since)
    finally:
        torch.set_num_threads(threads)


def _compared(
    job: str, ways: Sequence[Way], sources: dict[int, Path], place: Path, cores: Sequence[int]
) -> dict[str, Speed]:
    speeds = {}
    for way in ways:
        runs = []
        few, many = sources
        for number, count in enumerate((few, few, many)):
            name = way.name.split(",")[0].replace(" ", "-")
            out = place / "-".join([*job.replace(",", "").split(), name, str(count), *["again"] * (number == 1)])
            runs.append(timed(way.command(sources[count], out), out, way.ready, cores))
            if number == 1:
                shutil.rmtree(out)
        # a first run may find files that nobody has read or compiled yet, and others may use the machine
        large, once = (
            runs[2],
            Timed(*(min(getattr(run, each) for run in runs[:2]) for each in ("seconds", "processor", "first"))),
        )
        warm = _rate(many - few, large.seconds - once.seconds)
        processor = _rate(many - few, large.processor - once.processor)
        speeds[way.name] = Speed(processor, warm, many / large.seconds, large.first)
        for count, each in zip((few, few, many), runs, strict=True):
            print(f"{job}, {way.name}, {count:,} clips: {each.seconds:.1f} s, {each.processor:.1f} CPU s", flush=True)
    return speeds


def _rate(clips: int, seconds: float) -> float:
    return clips / seconds if seconds > 0 else math.nan  # a start varies, and few clips take less than that


def timed(words: Sequence[str], out: Path, ready: Ready, cores: Sequence[int]) -> Timed:
    """Runs `python -m words` on `cores`; raises RuntimeError with what it said if it fails."""
    since, first, accounted, account = time.monotonic(), None, 0.0, Account()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", *words],
            cwd=ROOT,
            stdout=said,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),  # inherited by all that it starts
        )
        while process.poll() is None:
            if first is None and ready(out):
                first = time.monotonic() - since
            if time.monotonic() - accounted > ACCOUNT_S:
                account.look(process.pid)
                accounted = time.monotonic()
            time.sleep(POLL_S)
        seconds = time.monotonic() - since
        if process.returncode:
            said.seek(0)
            raise RuntimeError(f"{' '.join(words)}\n{said.read()[-2_000:]}")
    return Timed(seconds, account.seconds, seconds if first is None else first)


class Account:
    """Processor time of a process and all that descend from it, as far as they were seen: one that ends between two looks has
    used a little more."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, int], float] = {}

    @property
    def seconds(self) -> float:
        return sum(self._seen.values())

    def look(self, root: int) -> None:
        """Takes what each has used by now."""
        found = dict(_stats())
        children: dict[int, list[int]] = {}
        for pid, stat in found.items():
            children.setdefault(stat.parent, []).append(pid)
        family = [root]
        for pid in family:  # grows while it is gone through
            family += children.get(pid, [])
        for pid in family:
            if pid in found:
                self._seen[pid, found[pid].began] = found[pid].seconds


@dataclass(frozen=True)
class _Stat:
    parent: int
    began: int
    seconds: float


def _stats() -> Iterator[tuple[int, _Stat]]:
    ticks = os.sysconf("SC_CLK_TCK")
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):  # it may have ended
                # fields as proc(5) counts them, from the third on: a name may hold anything, blanks too
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                used = int(fields[11]) + int(fields[12])
                yield int(folder.name), _Stat(int(fields[1]), int(fields[19]), used / ticks)


def committed(out: Path) -> bool:
    """A unit of ours is done once its commit is there."""
    return any((out / COMMITS).glob("*.json"))


def readable(out: Path) -> bool:
    """A Parquet file can be read once its footer is there."""
    return any(_has_rows(each) for each in out.glob("*.parquet"))


def _has_rows(file: Path) -> bool:
    try:
        return pq.read_metadata(file).num_rows > 0
    except (pa.ArrowException, OSError):
        return False


def followed(out: Path) -> bool:
    """A tar of ShardWriter's is whole once the next has begun."""
    return len(list(out.glob("*.tar"))) > 1
