"""Runs, shards, checkpoints and Parquet that an older version made are read, verified and continued.

`tests/data/runs-of-0.1.tar.xz` holds `corpus/` and `runs/` as version 0.1 left them before its modules lay within one package:
shards, a classifier, a generator, a mapper, a finished and a stopped inference, a sweep. They were made in `/tmp/before`.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from invertone import command_line
from invertone.cluster.ray.resources import Capacity
from tests.inside import inside

ARCHIVE = Path(__file__).parents[1] / "data" / "runs-of-0.1.tar.xz"
PLACE = "/tmp/before"
TINY = "front_end.mels=32 front_end.hop_length=256 width=2 device=cpu batch=6 checkpoint_every=2 log_every=1 samples=1"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """The runs, as if they had been made where they lie now."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    for record in tmp_path.glob("runs/**/run.json"):
        record.write_text(record.read_text().replace(PLACE, str(tmp_path)))
    return tmp_path / "runs"


def typed(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    with inside():
        code = command_line.main(command.split())
    told = capsys.readouterr()
    assert code == 0, told.err
    return told.out


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("name", ["shards", "classifier", "generator", "latents"])
def test_they_are_whole_and_done(name: str, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "all as recorded" in typed(f"verify {runs}/{name}", capsys)
    assert ": done" in typed(f"status {runs}/{name}", capsys)


def test_their_latents_are_joined(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = typed(f"join recordings latents={runs}/latents shards={runs}/shards sounds=true out={runs}/joined", capsys)
    assert "8 recordings of 8 windows" in said and "8 sounds" in said
    assert "all as recorded" in typed(f"verify {runs}/joined", capsys)


def test_a_finished_job_that_is_typed_again_does_nothing(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shards, latents = contents(runs / "shards"), contents(runs / "latents")
    typed(f"ingest folder source={runs.parent}/corpus out={runs}/shards clips_per_shard=2", capsys)
    models = f"generator={runs}/generator mapper={runs}/mapper classifier={runs}/classifier"
    said = typed(
        f"infer hybrid shards={runs}/shards {models} out={runs}/latents device=cpu evaluations=3 starts=1", capsys
    )
    assert "8 clips, 0 of them failed, in 4 Parquet files" in said
    assert (contents(runs / "shards"), contents(runs / "latents")) == (shards, latents)
    for name in ("shards", "latents"):
        assert json.loads((runs / name / "__invertone/summary.json").read_text())["units_of_last_run"] == 0


def test_a_stopped_job_goes_on_with_what_was_left(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (before,) = contents(runs / "stopped").items()
    given = f"shards={runs}/shards generator={runs}/generator device=cpu evaluations=4000 starts=3"
    assert "8 clips, 0 of them failed, in 4 Parquet files" in typed(
        f"infer gradient {given} out={runs}/stopped", capsys
    )
    after = contents(runs / "stopped")
    assert len(after) == 4 and after[before[0]] == before[1]
    assert json.loads((runs / "stopped/__invertone/summary.json").read_text())["units_of_last_run"] == 3


def test_a_training_goes_on_from_its_checkpoint(
    ray_session: Capacity, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = f"shards={runs}/shards device=cpu batch=6 width=1 latent_size=4 critic_updates=1 log_every=1 samples=1"
    typed(f"train wavegan-debug {given} out={runs}/generator checkpoint_every=2 keep_checkpoints=1 steps=4", capsys)
    lines = [json.loads(line) for line in (runs / "generator/metrics.jsonl").read_text().splitlines()]
    assert sorted({line["step"] for line in lines if "step" in line}) == [1, 2, 3, 4]
    assert (runs / "generator/checkpoints/step-00000004/checkpoint.json").is_file()


def test_a_report_shows_them(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    typed(f"report {runs}/sweep {runs}/latents {runs}/classifier {runs}/shards out={runs.parent}/report.html", capsys)
    page = (runs.parent / "report.html").read_text()
    for expected in ("learning_rate", "trial", "hybrid", "cross_entropy"):
        assert expected in page


def test_a_finished_sweep_that_is_typed_again_tries_nothing(
    ray_session: Capacity, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(runs / "sweep/points")
    given = TINY.replace("samples=1", "").replace("log_every=1", "").split()
    words = " ".join(f"given.{each}" for each in given)
    said = typed(f"tune debug given.shards={runs}/shards {words} given.steps=2 grid=2 out={runs}/sweep", capsys)
    assert "learning_rate=0.01" in said and contents(runs / "sweep/points") == before
