"""A generator of somebody else, through the commands a user types, on real Ray."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from invertone.audio.clip import decode, to_float
from invertone.cluster.config.loading import load
from invertone.cluster.errors import UserError
from invertone.cluster.formats.checkpoints import WEIGHTS, CheckpointManifest, publish
from invertone.cluster.formats.signals import USUAL
from invertone.cluster.ray.resources import Capacity
from invertone.cluster.storage.folder import Folder
from invertone.eval.config import CATALOGUE as TABLES
from invertone.eval.job import run as judge
from invertone.infer.config import CATALOGUE
from invertone.infer.job import run
from invertone.models.checkpoint import describe, weights_bytes
from invertone.models.guests.export import save_program
from invertone.models.networks.wavegan import WaveganGenerator
from tests.made import common_names, made_shards, train_tiny

MYGAN = """
import torch
from invertone.models.networks.wavegan import WaveganGenerator  # stands for a network of the user's own
from mygan_weights import seed

class Net(torch.nn.Module):
    latent_size = 8
    prior = "uniform"

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.network = WaveganGenerator(2, self.latent_size)

    def forward(self, latent):
        return self.network(latent)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards, a classifier, and one generator in three forms: checkpoint `gan`, `gan.pt2`, `gan.pt`."""
    folder = tmp_path_factory.mktemp("guests")
    shards = Folder.at(str(folder / "shards"))
    made_shards(shards, train=(5, 4), validation=3)
    train_tiny("classifier-debug", shards, Folder.at(str(folder / "classifier")), steps=2, checkpoint_every=2)
    torch.manual_seed(7)
    generator = WaveganGenerator(2, 8).eval()
    manifest = CheckpointManifest("wavegan", describe({"generator": generator}), 1, USUAL, "untouched")
    publish(Folder.at(str(folder / "gan")), manifest, {WEIGHTS: weights_bytes({"generator": generator})})
    for name in ("gan.pt2", "gan.pt"):
        save_program(generator, str(folder / name))
    return folder


def invertone(command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """As the installed script runs it: the working directory is not on Python's path, the script's folder is."""
    script = cwd / "bin" / "invertone"
    script.parent.mkdir(exist_ok=True)
    script.write_text("import sys\nfrom invertone.command_line import main\nsys.exit(main())\n")
    return subprocess.run(
        [sys.executable, str(script), *command.split()],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def rows(folder: Path) -> dict[str, dict[str, Any]]:
    listed = [row for part in sorted(folder.glob("*.parquet")) for row in pq.read_table(part).to_pylist()]
    return {row["key"]: row for row in listed}


def infer(place: Path, method: str, out: Path, **values: Any) -> dict[str, dict[str, Any]]:
    given = {"shards": place / "shards", "out": out, "device": "cpu", "workers": 1, **values}
    run(method, load(CATALOGUE, method, [f"{key}={value}" for key, value in given.items()]))
    return rows(out)


def test_modules_beside_the_typed_command_may_be_called_as_anything_of_ours_or_others(tmp_path: Path) -> None:
    """The best-known code for audio GANs imports a top-level `models`, and so does a user's: theirs is found, whatever else
    of that name is installed, and a stray module of theirs that nobody asks for breaks nothing."""
    (tmp_path / "other/models").mkdir(parents=True)
    (tmp_path / "other/models/__init__.py").write_text("raise RuntimeError('somebody else')\n")
    user = tmp_path / "user"
    user.mkdir()
    (user / "mygan.py").write_text(common_names(user))
    (user / "queue.py").write_text("raise RuntimeError('a note of mine')\n")
    command = "generate clips generator=mygan:Net count=2 out=made workers=1 device=cpu"
    done = invertone(command, user, PYTHONPATH=str(tmp_path / "other"))
    assert done.returncode == 0, done.stderr
    assert len(Folder.at(str(user / "made")).names()) > 1


@pytest.mark.long
@pytest.mark.timeout(300)  # four commands, each of which starts Ray
def test_a_class_beside_the_typed_command_is_trained_for_and_inverted(place: Path, tmp_path: Path) -> None:
    (tmp_path / "mygan.py").write_text(MYGAN)
    (tmp_path / "mygan_weights.py").write_text("seed = 5\n")
    given = f"shards={place}/shards generator=mygan:Net device=cpu"
    tiny = "width=4 front_end.mels=32 front_end.hop_length=256 batch=6 steps=2 checkpoint_every=2 samples=1"
    done = invertone(f"train mapper-debug {given} classifier={place}/classifier {tiny} out=mapper", tmp_path)
    assert done.returncode == 0, done.stderr
    models = f"mapper=mapper classifier={place}/classifier"
    done = invertone(f"infer hybrid {given} {models} evaluations=2 workers=2 out=hybrid", tmp_path)
    assert done.returncode == 0, done.stderr
    found = rows(tmp_path / "hybrid")
    assert len(found) == 12 and all(row["status"] == "ok" and len(row["latent"]) == 8 for row in found.values())

    (tmp_path / "mygan_weights.py").write_text("seed = 6\n")  # another generator by the same name
    done = invertone(f"infer encoder {given} mapper=mapper out=encoder", tmp_path)
    assert done.returncode == 2 and "trained for another generator" in done.stderr
    (tmp_path / "mygan.py").unlink()
    done = invertone(f"infer encoder {given} mapper=mapper out=encoder", tmp_path)
    assert done.returncode == 2 and "no module named 'mygan'; type the command in the folder" in done.stderr
    assert not (tmp_path / "encoder").exists()


@pytest.mark.long
def test_programs_give_the_rows_of_the_checkpoint_they_came_from(
    ray_session: Capacity, place: Path, tmp_path: Path
) -> None:
    wanted = infer(place, "gradient", tmp_path / "gan", generator=place / "gan", evaluations=3, starts=1)
    for name in ("gan.pt2", "gan.pt"):
        found = infer(
            place, "gradient", tmp_path / name.replace(".", "-"), generator=place / name, evaluations=3, starts=1
        )
        assert found.keys() == wanted.keys()
        for key, row in found.items():
            assert row["status"] == "ok"
            assert np.abs(np.subtract(row["latent"], wanted[key]["latent"])).max() < 1e-4
            heard, eager = (to_float(decode(each["reconstruction"]["bytes"])) for each in (row, wanted[key]))
            assert np.abs(heard - eager).max() < 1e-4


def test_a_mapper_of_a_program_inverts_it_and_no_other_and_eval_judges_it(
    in_process: None, place: Path, tmp_path: Path
) -> None:
    given = {"generator": f"{place}/gan.pt2", "classifier": f"{place}/classifier"}
    shards, mapper = Folder.at(f"{place}/shards"), Folder.at(str(tmp_path / "mapper"))
    train_tiny("mapper-debug", shards, mapper, steps=1, checkpoint_every=1, **given)
    found = infer(place, "encoder", tmp_path / "out", generator=place / "gan.pt2", mapper=mapper.uri)
    assert len(found) == 12 and all(row["status"] == "ok" for row in found.values())
    table = ["device=cpu", f"latents={tmp_path}/out", f"out={tmp_path}/table"]
    judge("reconstruction", load(TABLES, "reconstruction", table))
    assert "random latent" in (tmp_path / "table" / "table.md").read_text()
    with pytest.raises(UserError, match="trained for another generator"):
        infer(place, "encoder", tmp_path / "other", generator=place / "gan.pt", mapper=mapper.uri)
    assert not (tmp_path / "other").exists()
