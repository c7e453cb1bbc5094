"""Ingest in one process on one core, beside the least that anybody must do for the same shards.

The least: each WAV decoded with soundfile, padded, encoded as FLAC; the bytes of each shard joined, hashed and written. Both
do every unit in turn, so that a busy machine slows both, and the ratio is the median of the units'; seconds are of the
process's processor time, which the machine's other work lengthens less than those of the clock.
"""

from __future__ import annotations

import hashlib
import io
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import soundfile

from benchmarks import made
from benchmarks.cores import one_core
from invertone.audio.clip import encode, fit
from invertone.audio.recording.decoder import Decoder
from invertone.cluster.config.loading import load
from invertone.cluster.formats.ledger import Unit
from invertone.cluster.formats.shards import parse_shard, write_shard
from invertone.cluster.formats.signals import USUAL
from invertone.cluster.jobs.watch import Recorder, Watch
from invertone.cluster.storage.folder import Folder, sha256
from invertone.ingest.config import CATALOGUE
from invertone.ingest.job import ShardStage
from invertone.ingest.plan.entries import INDICES, ShardWork, read_rows
from invertone.ingest.plan.planning import make_plan
from invertone.ingest.sources.members import Member
from invertone.ingest.sources.opener import Opener
from invertone.ingest.sources.source import list_source

CLIPS, ROUNDS, BY_STEP, OF_ARCHIVE = 15_000, 12, 2, 6
"""Clips of the corpus; units that are timed beside the least, whose steps are timed, and of each kind of source."""
Result = TypeVar("Result")


def run(clips: int = CLIPS) -> None:
    """Prints tables in Markdown."""
    with tempfile.TemporaryDirectory(prefix="invertone-bench-") as name:
        place = Path(name)
        source = made.corpus(place / "corpus", clips)
        with one_core():
            _beside_the_least(source, place)
            _by_source(source, place)
        _whole_command(source, place / "out", clips)


class _Ours:
    """What a worker process has once it is started, for units of `source`; each is published into `folder`."""

    def __init__(self, source: Path, out: Path) -> None:
        began = time.process_time()
        config = load(CATALOGUE, "sc09", [f"source={source}", f"out={out}"])
        self.folder, self.source = Folder.at(str(out)), config.source
        self.units: list[Unit] = make_plan(config, list_source(config.source), self.folder).units
        self.planned = time.process_time() - began
        self._recorded = tempfile.TemporaryFile()  # noqa: SIM115 (as long-lived as this)
        self.watch = Watch(Recorder(self._recorded, create=True))
        self._process = ShardStage(self.folder, config).open(1, self.watch)

    def __call__(self, unit: Unit) -> None:
        """As `cluster.jobs.worker_main` does a unit."""
        for name, data in self._process(unit.work).files():
            self.folder.publish_bytes(name, data)
            sha256(data)

    def members(self, unit: Unit) -> list[Member]:
        rows = [files[0] for files in read_rows(self.folder, ShardWork(**unit.work).row_group)]
        return [Member(row["name"], row["size"], row["archive"], row["offset"], row["stamp"]) for row in rows]


def _beside_the_least(source: Path, place: Path) -> None:
    ours, spent = _Ours(source, place / "ours"), Counter[str]()
    for unit in ours.units[:2]:  # what is loaded at first use
        ours(unit)
        _least([source / each.name for each in ours.members(unit)], place, Counter())
    units = ours.units[: ROUNDS + BY_STEP][:-BY_STEP] or ours.units
    clips, ratios = sum(unit.items for unit in units), list[float]()
    for unit in units:
        paths = [source / each.name for each in ours.members(unit)]
        before = spent.copy()
        _timed(spent, "least", lambda paths=paths: _least(paths, place, spent))
        _timed(spent, "ours", lambda unit=unit: ours(unit))
        ratios.append((spent["least"] - before["least"]) / (spent["ours"] - before["ours"]))
    rates = {name: clips / spent[name] for name in ("ours", "least")}
    print(f"\n{clips:,} clips of a second, one process on one core, processor time\n")
    print("| | clips/s | µs a clip |\n|---|---:|---:|")
    for name, rate in rates.items():
        print(f"| {name} | {rate:,.0f} | {1e6 / rate:,.0f} |")
    print(f"| ours / least, median of {len(ratios)} units | {statistics.median(ratios):.2f} | |")
    print("\n| step of the least | µs a clip |\n|---|---:|")
    for name in ("decode", "encode", "sha256", "write"):
        print(f"| {name} | {1e6 * spent[name] / clips:,.0f} |")
    _by_step(ours, ours.units[-BY_STEP:])


def _least(paths: Sequence[Path], place: Path, spent: Counter[str]) -> None:
    clips = []
    for path in paths:
        samples = _timed(spent, "decode", lambda path=path: fit(soundfile.read(path, dtype="int16")[0], USUAL.samples))
        clips.append(_timed(spent, "encode", lambda samples=samples: _flac(samples)))
    data = b"".join(clips)
    _timed(spent, "sha256", lambda: hashlib.sha256(data).hexdigest())
    _timed(spent, "write", lambda: (place / "least").write_bytes(data))
    (place / "least").unlink()  # a file that is new costs more than one that is written over


def _flac(samples: Any) -> bytes:
    assert len(samples) == USUAL.samples
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, USUAL.sample_rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def _by_step(ours: _Ours, units: Sequence[Unit]) -> None:
    """Each step alone, over the same clips; what is left of the whole is what lies between them."""
    spent, opener, clips = Counter[str](), Opener(ours.source, ours.folder / INDICES), sum(each.items for each in units)
    for unit in units:
        members = _timed(spent, "rows of the plan", lambda unit=unit: ours.members(unit))
        files = _timed(spent, "read files", lambda members=members: [opener.open(each) for each in members])
        sounds = _timed(
            spent, "decode", lambda files=files: [next(Decoder(each, 16_000, 1).blocks()) for each in files]
        )
        _timed(
            spent, "encode", lambda sounds=sounds: [encode(fit(each, USUAL.samples), "flac", 16_000) for each in sounds]
        )
        _timed(spent, "say what is in hand", lambda members=members: [_in_hand(ours.watch, each) for each in members])
        _timed(spent, "see that no file has changed", lambda members=members: opener.check(members))
        _timed(spent, "whole", lambda unit=unit: ours(unit))
        data = ours.folder.read_bytes(f"{unit.name}.tar")
        made_clips = list(parse_shard(data))
        _timed(spent, "tar", lambda made_clips=made_clips: write_shard(made_clips))
        _timed(spent, "sha256", lambda data=data: sha256(data))
        _timed(spent, "publish", lambda data=data: ours.folder.publish_bytes("once-more", data))
    whole = spent.pop("whole")
    print("\n| step of ours | µs a clip |\n|---|---:|")
    for name, seconds in [*spent.most_common(), ("the rest", whole - spent.total())]:
        print(f"| {name} | {1e6 * seconds / clips:,.0f} |")


def _in_hand(watch: Watch, member: Member) -> None:
    with watch.on([member.name]):
        watch.beat()


def _by_source(source: Path, place: Path) -> None:
    print("\n| source | list and plan, s | clips/s | clips/s by the clock |\n|---|---:|---:|---:|")
    for kind in ("folder", "tar", "tar.gz", "zip"):
        ours = _Ours(source if kind == "folder" else _packed(source, place / f"corpus.{kind}"), place / f"out-{kind}")
        units = ours.units[:OF_ARCHIVE]
        began, clock = time.process_time(), time.perf_counter()
        for unit in units:
            ours(unit)
        used, passed, clips = (
            time.process_time() - began,
            time.perf_counter() - clock,
            sum(each.items for each in units),
        )
        print(f"| {kind} | {ours.planned:.2f} | {clips / used:,.0f} | {clips / passed:,.0f} |", flush=True)


def _packed(source: Path, archive: Path) -> Path:
    files = [(path, path.relative_to(source).as_posix()) for path in sorted(source.rglob("*.wav"))]
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
            for path, name in files:
                zipped.write(path, name)
        return archive
    with tarfile.open(archive, "w:gz" if archive.suffix == ".gz" else "w") as tar:
        for path, name in files:
            tar.add(path, name)
    return archive


def _whole_command(source: Path, out: Path, clips: int) -> None:
    words = [sys.executable, "-m", "invertone", "ingest", "sc09", f"source={source}", f"out={out}", "workers=1"]
    began = time.perf_counter()
    subprocess.run(words, check=True, capture_output=True)
    seconds = time.perf_counter() - began
    print(f"\nThe whole command, one worker: {clips:,} clips in {seconds:.1f} s, {clips / seconds:,.0f} clips/s")


def _timed(spent: Counter[str], name: str, work: Callable[[], Result]) -> Result:
    began = time.process_time()
    done = work()
    spent[name] += time.process_time() - began  # type: ignore[assignment]  # a Counter of seconds
    return done
