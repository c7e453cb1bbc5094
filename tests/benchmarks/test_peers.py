"""What we are compared with does the work it is said to do; what is measured is what is meant."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from benchmarks import least, made, peer_side, peers
from invertone.audio.clip import decode, encode, to_float
from invertone.cluster.formats.shards import load_manifest, read_shard
from invertone.cluster.formats.signals import USUAL
from invertone.cluster.storage.folder import Folder
from invertone.models.checkpoint import load_mapper
from invertone.models.generator import check_generator
from tests.made import made_shards


@pytest.fixture(scope="module")
def mapper(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(0)
    return made.mapper(Folder.at(str(tmp_path_factory.mktemp("mapper"))), least.mapper(), least.GENERATOR)


@pytest.mark.parametrize("way", ["infer-loader", pytest.param("infer-ray", marks=pytest.mark.long)])
def test_peers_invert_every_clip_of_the_same_shards(way: str, mapper: str, tmp_path: Path) -> None:
    shards, out = Folder.at(str(tmp_path / "shards")), tmp_path / "out"
    made_shards(shards, (5, 4), 2)
    words = [way, str(tmp_path / "shards"), str(out), "rows=all", f"mapper={mapper}", f"workers={int('ray' in way)}"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.peer_side", *words],
        cwd=peers.ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2_000:]
    assert done.stdout.split()[-1] == "11"
    assert peers.readable(out)
    rows = {row["key"]: row for file in out.glob("*.parquet") for row in pq.read_table(file).to_pylist()}
    clips = {clip.info.key: clip for entry in load_manifest(shards).shards for clip in read_shard(shards, entry)}
    assert set(rows) == set(clips)
    network, key = load_mapper(mapper)[0], next(iter(rows))
    clip = clips[key]
    with torch.no_grad():
        wanted = network(torch.from_numpy(to_float(decode(clip.data)))[None])[0]
    assert torch.allclose(torch.tensor(rows[key]["latent"]), wanted, atol=1e-5)
    assert rows[key]["label"] == clip.info.label and len(rows[key]["scores"]) == peer_side.NUMBERS
    heard = decode(rows[key]["reconstruction"]).astype(int)
    assert abs(heard - decode(clip.data)).max() <= 1


def test_the_peer_of_ingest_makes_mono_clips_of_one_length_at_our_rate(tmp_path: Path) -> None:
    import soundfile

    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(48_000) / 48_000)
    (tmp_path / "wav/one").mkdir(parents=True)
    soundfile.write(tmp_path / "wav/one/long.wav", np.stack([tone, 0 * tone], 1), 48_000)
    soundfile.write(tmp_path / "wav/one/short.wav", tone[:8_000], 16_000)
    assert peer_side.ingest(tmp_path / "wav", _folder(tmp_path / "out"), 1) == 2
    with tarfile.open(tmp_path / "out/000000.tar") as tar:
        files = {each.name: tar.extractfile(each).read() for each in tar.getmembers()}  # type: ignore[union-attr]
    assert set(files) == {f"one/{name}.{kind}" for name in ("long", "short") for kind in ("flac", "json")}
    assert json.loads(files["one/long.json"]) == {"label_name": "one"}
    long, short = decode(files["one/long.flac"]), decode(files["one/short.flac"])
    assert long.shape == short.shape == (USUAL.samples,)
    assert not short[8_000:].any() and not long[16_000:].any()
    # channels are mixed: half the level; and 440 Hz is still 440 Hz
    assert abs(int(abs(long[1_000:15_000]).max()) - 0.25 * 32_767) < 100
    assert np.argmax(np.abs(np.fft.rfft(long[:16_000]))) == 440


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_the_least_networks_are_ones_that_infer_takes() -> None:
    """The generator passes the trial of guests; FLAC of what it makes is no smaller than that of the corpus by half."""
    assert len(check_generator(least.GENERATOR)) == 64
    sound = least.Noise()(torch.zeros(1, least.LATENT))[0].numpy()
    assert 0.1 < abs(sound).max() < 1
    assert len(encode((sound * 32_767).astype(np.int16), "flac", 16_000)) > USUAL.samples


def test_what_counts_as_a_first_result(tmp_path: Path) -> None:
    assert not peers.committed(tmp_path) and not peers.followed(tmp_path) and not peers.readable(tmp_path)
    (tmp_path / peers.COMMITS).mkdir(parents=True)
    (tmp_path / peers.COMMITS / "a.json").write_text("{}")
    (tmp_path / "000000.tar").touch()
    (tmp_path / "begun.parquet").write_bytes(b"PAR1")  # its footer is not there yet
    assert peers.committed(tmp_path) and not peers.followed(tmp_path) and not peers.readable(tmp_path)
    (tmp_path / "000001.tar").touch()
    assert peers.followed(tmp_path)


def test_a_command_is_pinned_with_all_that_it_starts_and_its_processor_time_counted(tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))
    (tmp_path / "busy_for_peers.py").write_text(
        "import os, pathlib, subprocess, sys, time\n"
        f"child = [sys.executable, '-c', 'import os; print(*os.sched_getaffinity(0))']\n"
        f"pathlib.Path({str(tmp_path / 'seen')!r}).write_text(subprocess.check_output(child, text=True))\n"
        "spin = 'import time\\nwhile time.process_time() < 1: pass\\ntime.sleep(1)'\n"
        "subprocess.run([sys.executable, '-c', spin])\n"
    )
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(tmp_path)
    try:
        found = peers.timed(["busy_for_peers"], tmp_path, lambda out: (out / "seen").exists(), [core])
    finally:
        os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)
    assert (tmp_path / "seen").read_text().split() == [str(core)]
    assert 0.9 < found.processor < found.seconds and found.first < found.seconds - 1


def test_a_command_that_fails_is_no_measurement(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no-such-stage"):
        peers.timed(["invertone", "no-such-stage"], tmp_path, peers.committed, sorted(os.sched_getaffinity(0)))


def test_ratios_are_ours_to_theirs_and_what_cannot_be_told_is_a_question() -> None:
    ours, theirs = peers.Speed(200.0, 100.0, 50.0, 9.0), peers.Speed(100.0, math.nan, 200.0, 1.0)
    lines = peers.table({"infer": {"ours": ours, "loader": theirs}}).splitlines()
    assert lines[2:] == [
        "| infer | ours | 200 |  | 100 |  | 50 |  | 9.0 |",
        "| infer | loader | 100 | 2.00 | ? | ? | 200 | 0.25 | 1.0 |",
    ]
    assert len({line.count("|") for line in lines}) == 1
