"""One clip in an archive that crashes or hangs whatever decodes it: the job must end by itself with all other rows.

`python -m tests.chaos.poison [clips]` shows it at size; the tests do at a small one.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from invertone.audio.clip import Samples, decode
from invertone.cluster.config.loading import load
from invertone.cluster.formats.ledger import Ledger, Unit
from invertone.cluster.formats.shards import Clip, load_manifest, read_shard
from invertone.cluster.jobs.driver import driving
from invertone.cluster.jobs.engine import Outcome, UnitResult, run_units
from invertone.cluster.jobs.watch import Watch
from invertone.cluster.storage.folder import Folder
from invertone.infer import config as infer_config
from invertone.infer import decoding
from invertone.infer.stage import InversionStage
from tests.made import made_clips, tiny_models, write_shards

DEEDS = ("segfault", "hang")


@dataclass(frozen=True)
class Poisoned:
    """Inference as it is, but for a decoder that one recording upsets."""

    stage: InversionStage
    guilty: str
    deed: str

    def open(self, threads: int, watch: Watch) -> Callable[[Mapping[str, Any]], UnitResult]:
        def upset(audio: bytes) -> Samples:
            if hashlib.sha256(audio).hexdigest() == self.guilty:
                if self.deed == "segfault":
                    ctypes.string_at(0)
                time.sleep(3_600)
            return decode(audio)

        decoding.decode = upset  # in this worker process only
        return self.stage.open(threads, watch)


def infer_with_poison(place: Path, clips: int, per_shard: int, deed: str, *settings: str) -> tuple[Outcome, str]:
    """Encoder inference over `clips` made clips, one of which is poison. Returns the outcome and the guilty key."""
    shards = made_archive(place / "shards", clips, per_shard)
    generator, mapper = place / "wavegan", place / "mapper"
    if not generator.exists():
        tiny_models(shards, place)
    out = Folder.at(str(place / deed))
    words = [f"shards={shards.uri}", f"generator={generator}", f"mapper={mapper}", f"out={out.uri}", "batch=32"]
    config = load(infer_config.CATALOGUE, "encoder", [*words, *settings])
    entries = load_manifest(shards).shards
    guilty = list(read_shard(shards, entries[len(entries) // 2]))[per_shard // 3]
    stage = Poisoned(InversionStage(config, {"method": "encoder"}), hashlib.sha256(guilty.data).hexdigest(), deed)
    units = [Unit(entry.name.removesuffix(".tar"), vars(entry), entry.count) for entry in entries]
    with driving(out) as driver:
        return run_units(driver, stage, units, what=f"infer with a {deed}", settings=config), guilty.info.key


def made_archive(folder: Path, clips: int, per_shard: int) -> Folder:
    """Shards of noise clips, each its own bytes."""
    place = Folder.at(str(folder))
    if not place.exists("manifest.json"):
        base, rng, made = made_clips(1, "train")[0], np.random.default_rng(0), list[Clip]()
        from dataclasses import replace

        from invertone.audio.clip import encode

        for number in range(clips):
            samples = rng.integers(-2_000, 2_000, 16_384).astype(np.int16)
            made.append(Clip(replace(base.info, key=f"clip{number:06d}"), encode(samples, "wav", 16_000), "wav"))
        write_shards(place, [made[first : first + per_shard] for first in range(0, clips, per_shard)])
    return place


def main() -> None:
    clips = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000
    with tempfile.TemporaryDirectory(prefix="invertone-poison-") as name:
        for deed in DEEDS:
            began = time.monotonic()
            outcome, guilty = infer_with_poison(Path(name), clips, 500, deed, "stall_timeout=20")
            table = pq.read_table([str(path) for path in sorted((Path(name) / deed).glob("*.parquet"))])
            bad = table.filter(np.array(table["status"].to_pylist()) != "ok")
            failures = Ledger(Folder.at(str(Path(name) / deed))).failures()
            print(
                f"{deed}: {table.num_rows:,} rows, {len(set(table['key'].to_pylist())):,} unique, "
                f"{table.num_rows - bad.num_rows:,} good; error row {bad['key'].to_pylist()} ({bad['error'][0]}), "
                f"guilty {guilty}; listed {[dict(each.excluded) for each in failures]}; excluded {outcome.excluded}; "
                f"{time.monotonic() - began:.0f} s"
            )


if __name__ == "__main__":
    os.environ["HOME"] = tempfile.mkdtemp(prefix="invertone-home-")
    from tests.chaos.poison import main as importable  # workers unpickle the stage by its module's name

    importable()
