"""Small corpora in their native layouts, made from seeded sounds; their archives; ingest without Ray."""

from __future__ import annotations

import json
import shutil
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow.parquet as pq

from invertone.cluster.config import loading as configuration
from invertone.cluster.formats.ledger import Commit, Ledger, Output, Unit
from invertone.cluster.formats.shards import REJECTS, Clip, ShardManifest, load_manifest, read_shard
from invertone.cluster.jobs import bulk
from invertone.cluster.jobs.driver import Driver
from invertone.cluster.jobs.engine import Outcome
from invertone.cluster.jobs.sums import merge
from invertone.cluster.jobs.watch import Watch
from invertone.cluster.storage.folder import Folder, sha256
from invertone.ingest import job
from invertone.ingest.config import CATALOGUE
from invertone.ingest.corpora.keys import IngestConfig
from tests.sounds import speechlike, write_sound

CONTAINERS = ("folder", ".tar", ".tar.gz", ".zip")
SPEAKERS = ("0a7c2a8d", "a1b2c3d4", "ffd2ba2f", "05739450", "9c0ffee1")


def speech_commands(root: Path) -> Path:
    for number, word in enumerate(("zero", "nine", "bed", "tree")):
        for take, speaker in enumerate(SPEAKERS):
            seconds = 1.0 if take else 0.8
            write_sound(root / word / f"{speaker}_nohash_0.wav", speechlike(seconds, 10 * number + take))
    write_sound(root / "_background_noise_" / "pink_noise.wav", speechlike(2.0))
    (root / "validation_list.txt").write_text("zero/a1b2c3d4_nohash_0.wav\nbed/a1b2c3d4_nohash_0.wav\n")
    (root / "testing_list.txt").write_text("nine/ffd2ba2f_nohash_0.wav\nzero/ffd2ba2f_nohash_0.wav\n")
    (root / "README.md").write_text("Speech Commands")
    (root / "LICENSE").write_text("CC BY")
    return root


def wavegan_sc09(root: Path) -> Path:
    for number, (split, word) in enumerate((s, w) for s in ("train", "valid", "test") for w in ("Zero", "Nine")):
        write_sound(root / split / f"{word}_{SPEAKERS[number % 5]}_nohash_{number}.wav", speechlike(1.0, number))
    return root


def librispeech(root: Path) -> Path:
    table = [
        "; ID |SEX| SUBSET |MINUTES| NAME",
        "19 | F | train-clean-100 | 25.19 | Kara",
        "26 | M | dev-clean | 9 | B",
    ]
    for subset, reader, chapter, seconds in (
        ("train-clean-100", "19", "198", 2.5),
        ("dev-clean", "26", "495", 1.5),
        ("dev-clean", "77", "1", 1.1),
    ):
        folder = root / subset / reader / chapter
        for utterance in range(2):
            name = f"{reader}-{chapter}-{utterance:04d}"
            write_sound(folder / f"{name}.flac", speechlike(seconds + utterance, int(reader) + utterance))
        (folder / f"{reader}-{chapter}.trans.txt").write_text("NAME WORDS")
    (root / "SPEAKERS.TXT").write_text("\n".join(table))
    (root / "README.TXT").write_text("LibriSpeech")
    return root


def nsynth(root: Path) -> Path:
    notes = {}
    for number, (family, source, pitch) in enumerate(
        [
            ("guitar", "acoustic", 60),
            ("string", "acoustic", 40),
            ("guitar", "electronic", 61),
            ("bass", "synthetic", 30),
        ]
    ):
        instrument = f"{family}_{source}_{number:03d}"
        name = f"{instrument}-{pitch:03d}-100"
        notes[name] = {
            "instrument_family_str": family,
            "instrument_source_str": source,
            "instrument_str": instrument,
            "pitch": pitch,
        }
        write_sound(root / "audio" / f"{name}.wav", speechlike(1.2, number))
    (root / "examples.json").write_text(json.dumps(notes))
    return root


def fsdd(root: Path) -> Path:
    for index in (0, 4, 5, 49):
        for digit, speaker in ((0, "george"), (7, "jackson")):
            wave = speechlike(0.4, 10 * index + digit, rate=8_000)
            write_sound(root / "recordings" / f"{digit}_{speaker}_{index}.wav", wave, 8_000)
    (root / "README.md").write_text("FSDD")
    return root


LAYOUTS = {
    "sc09": speech_commands,
    "speech_commands": speech_commands,
    "librispeech": librispeech,
    "nsynth": nsynth,
    "fsdd": fsdd,
    "folder": wavegan_sc09,
}


def packed(folder: Path, container: str) -> Path:
    """`folder` as it is, or an archive of it beside it, the folder itself being its top entry."""
    if container == "folder":
        return folder
    archive = folder.parent / f"{folder.name}{container}"
    if container == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
            for path in sorted(folder.rglob("*")):
                zipped.write(path, path.relative_to(folder.parent))
    else:
        with tarfile.open(archive, "w:gz" if container == ".tar.gz" else "w") as tar:
            tar.add(folder, folder.name)
    return archive


def configured(name: str, source: Path | str, out: Path | str, *overrides: str) -> IngestConfig:
    return configuration.load(CATALOGUE, name, [f"source={source}", f"out={out}", *overrides])


def ingested(name: str, source: Path | str, out: Path | str, *overrides: str) -> list[Clip]:
    """Runs a whole ingest in this process and gives the clips that its manifest vouches for."""
    with mock.patch.object(bulk, "run_units", one_after_the_other):
        job.run(name, configured(name, source, out, *overrides))
    return clips_of(out)


def one_after_the_other(driver: Driver, stage: Any, units: Sequence[Unit], **_: Any) -> Outcome:
    """What the engine does, in this process, without Ray."""
    ledger = Ledger(driver.term.folder, driver.term.session)
    ledger.fix_plan(units, {})
    done, process = ledger.done(), stage.open(1, Watch())
    missing = [unit for unit in units if unit.name not in done]
    for unit in missing:
        result = process(unit.work)
        outputs = []
        for name, data in result.files():
            driver.term.folder.publish_bytes(name, data)
            outputs.append(Output(name, len(data), sha256(data)))
        assert ledger.commit(Commit(unit.name, unit.items, tuple(outputs), result.statistics))
    return Outcome(len(units), len(missing), merge(commit.statistics for commit in ledger.commits()))


def clips_of(out: Path | str) -> list[Clip]:
    folder = Folder.at(str(out))
    manifest: ShardManifest = load_manifest(folder)
    clips = []
    for entry in manifest.shards:
        found = list(read_shard(folder, entry))
        assert len(found) == entry.count
        assert {clip.info.split for clip in found} == {entry.split}
        clips += found
    assert len({clip.info.key for clip in clips}) == len(clips) == manifest.count()
    return clips


def rejects_of(out: Path) -> list[dict[str, str]]:
    return pq.read_table(out / REJECTS).to_pylist()


def splits_of(clips: Sequence[Clip]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for clip in clips:
        counts[clip.info.split] = counts.get(clip.info.split, 0) + 1
    return counts


def files_of(out: Path) -> dict[str, bytes]:
    """What an ingest publishes: shards, manifest, rejects."""
    return {path.name: path.read_bytes() for path in sorted(out.iterdir()) if path.suffix in (".tar", ".parquet")} | {
        "manifest.json": (out / "manifest.json").read_bytes()
    }


def moved(folder: Path, into: Path) -> Path:
    into.mkdir(parents=True)
    return Path(shutil.move(folder, into))
