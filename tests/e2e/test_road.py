"""The whole road as a user walks it: commands in processes of their own, killed in the middle, typed again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas
import pytest
import torch

from invertone.cluster.config.loading import load
from invertone.cluster.storage.folder import Folder
from invertone.command_line import main
from invertone.train.build import build_trainer
from invertone.train.config import CATALOGUE
from invertone.train.loop.record import read_metrics
from invertone.train.objective import World
from tests.inside import inside
from tests.made import train_tiny

TINY = "width=4 front_end.mels=32 front_end.hop_length=256 batch=16 log_every=2 samples=2"


def here(words: str) -> None:
    """A short stage, in this process."""
    with inside():
        assert main(words.split()) == 0


def start(words: str, place: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "invertone", *words.split()]
    return subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def invertone(words: str, place: Path) -> str:
    process = start(words, place)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return said


def killed(words: str, place: Path, when: Callable[[], bool]) -> None:
    """Types the command and kills the driver outright as soon as `when` holds."""
    process = start(words, place)
    until = time.monotonic() + 120
    while not when():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until, "never came so far"
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def losses(folder: Path) -> list[float]:
    name = "classifier/cross_entropy"
    return [line[name] for line in read_metrics(Folder.at(str(folder))) if name in line]


def undisturbed(train: str, place: Path) -> list[float]:
    """The losses of the same training in this process, without Ray and without a kill."""
    _, name, *values = train.replace("shards=shards", f"shards={place}/shards").split()
    config = load(
        CATALOGUE, name, [value for value in values if not value.startswith("out=")] + [f"out={place}/undisturbed"]
    )
    build_trainer(config, World(), torch.device("cpu"), lambda step, values: None).run()
    return losses(place / "undisturbed")


def lines(path: Path) -> int:
    return path.read_text().count("\n") if path.exists() else 0


@pytest.mark.timeout(900)
def test_archive_to_table_with_a_kill_in_every_long_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("espeakng_loader", reason="the spoken-digit corpus needs the extra `speech`")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-secret")
    monkeypatch.chdir(tmp_path)
    place = tmp_path
    here("corpus digits out=corpus clips=60 voices=6")
    here("ingest sc09 source=corpus out=shards clips_per_shard=8")

    train = f"train classifier-debug shards=shards out=classifier steps=30 checkpoint_every=10 {TINY}"
    killed(train, place, lambda: lines(place / "classifier/metrics.jsonl") >= 12)
    trained = invertone(train, place)
    assert "classifier at step" in trained
    steps = [line["step"] for line in read_metrics(Folder.at(str(place / "classifier"))) if "classifier/error" in line]
    assert steps == list(range(2, 31, 2))
    assert losses(place / "classifier") == pytest.approx(undisturbed(train, place), rel=1e-2)

    given, out = Folder.at(str(place / "shards")), Folder.at(str(place))
    train_tiny("wavegan-debug", given, out / "wavegan", steps=2, checkpoint_every=2)
    roles = {role: f"{place}/{folder}" for role, folder in (("generator", "wavegan"), ("classifier", "classifier"))}
    train_tiny("mapper-debug", given, out / "mapper", steps=2, checkpoint_every=2, **roles)
    models = "generator=wavegan classifier=classifier"

    infer = f"infer hybrid shards=shards {models} mapper=mapper out=latents evaluations=4 workers=1"
    commits = place / "latents/__invertone/ledger/commits"
    killed(infer, place, lambda: commits.exists() and len(list(commits.iterdir())) >= 2)
    invertone(infer, place)
    count, unique = duckdb.sql(f"select count(*), count(distinct key) from '{place}/latents/*.parquet'").fetchall()[0]
    assert (count, unique) == (60, 60)

    frame = pandas.read_parquet(list((place / "latents").glob("*.parquet")), columns=["key", "latent", "ssim"])
    assert len(frame) == 60 and frame.latent[0].shape == (8,)

    here("eval reconstruction latents=latents out=table workers=1")
    said = "".join(capfd.readouterr())
    assert "\n60 clips" in said and "random latent" in said
    rows = {row["row"]: row for row in json.loads((place / "table/table.json").read_text())["rows"]}
    assert rows["hybrid"]["clips"] == 60 and rows["real"]["waveform_mse"] == 0

    files = [path for path in place.rglob("*") if path.is_file()]
    assert len(files) > 40 and not any(b"planted-secret" in path.read_bytes() for path in files)
    assert "planted-secret" not in trained + said
