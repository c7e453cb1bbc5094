"""The autoencoder's objective: its prior term is the sliced Wasserstein distance, and its latents stay in the box."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from scipy.stats import wasserstein_distance

from invertone.cluster.storage.folder import Folder
from invertone.train.build import build_trainer
from invertone.train.objective import Batch, Draw, World
from invertone.train.objectives.wae import WaeObjective
from tests.made import made_shards, tiny_config


@pytest.fixture(scope="module")
def objective(tmp_path_factory: pytest.TempPathFactory) -> WaeObjective:
    place = Folder.at(str(tmp_path_factory.mktemp("wae")))
    made_shards(place / "shards", train=(8,), validation=2)
    config = tiny_config("wae-digits", place / "shards", place / "out", steps=4)
    trainer = build_trainer(config, World(), torch.device("cpu"), lambda step, values: None)
    assert isinstance(trainer.objective, WaeObjective)
    return trainer.objective


def draw() -> Draw:
    def none() -> Batch:
        raise AssertionError("no clips are needed here")

    return Draw(none, 32, World(), torch.device("cpu"), torch.Generator().manual_seed(0), 1)


def test_equal_batches_have_no_distance_and_a_shift_has_its_square(objective: WaeObjective) -> None:
    drawn = torch.rand(32, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    shuffled = drawn[torch.randperm(32, generator=torch.Generator().manual_seed(2))]
    assert objective._sliced(shuffled, drawn, draw()) < 1e-12
    shift = torch.tensor([0.3] + [0.0] * 7)
    found = float(objective._sliced(drawn + shift, drawn, draw()))
    directions = torch.cat([torch.eye(8), torch.randn(8, 64, generator=torch.Generator().manual_seed(0))], 1)
    directions = directions / directions.norm(dim=0)
    expected = torch.tensor(
        [wasserstein_distance((drawn + shift) @ each, drawn @ each) ** 2 for each in directions.T]
    ).mean()
    assert found == pytest.approx(float(expected), rel=1e-4)


def test_latents_are_in_the_box(objective: WaeObjective, tmp_path: Path) -> None:
    latent = objective.encode(torch.randn(4, 16_384) * 0.3)
    assert latent.shape == (4, 8) and latent.abs().max() <= 1.0


def test_the_rate_falls_along_a_cosine(objective: WaeObjective) -> None:
    assert objective.learning_rate(1) == 1.0 and objective.learning_rate(3) == pytest.approx(0.5)
