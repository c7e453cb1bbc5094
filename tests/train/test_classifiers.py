"""Trainings of classifiers: the configs are what the papers say, what cannot be is refused, what was before is the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from invertone.cluster.config.loading import load
from invertone.cluster.errors import UserError
from invertone.cluster.storage.folder import Folder
from invertone.models.networks.cnn import SimpleCnn, SpectrogramCnn
from invertone.models.networks.wavegan_inception import WaveganInception
from invertone.train.build import build_objective, check
from invertone.train.config import CATALOGUE
from tests.made import made_shards, tiny_config


def config(name: str, **values: Any) -> Any:
    return load(CATALOGUE, name, [f"{key}={value}" for key, value in {"shards": "s", "out": "o", **values}.items()])


@pytest.mark.parametrize("name", ["cnn", "cnn-simple-digits"])
def test_the_cnn_is_table_24_s_at_the_paper_s_step_size(name: str) -> None:
    found = config(name)
    assert (found.network, found.width, found.learning_rate, found.schedule) == ("simple", 32, 1e-4, "constant")
    assert (found.optimiser, found.weight_decay, found.label_smoothing) == (
        "adamw",
        0,
        0,
    )  # AdamW without decay is Adam
    assert found.noise > 0 and found.rotation > 0 and found.patches > 0 and not found.shift and not found.mask
    front_end = found.front_end
    assert (front_end.n_fft, front_end.hop_length, front_end.mels) == (512, 128, 0)


def test_the_cnn_that_was_measured_is_what_it_was() -> None:
    for name, width in (("cnn-batch-norm", 16), ("cnn-digits", 8), ("cnn-debug", 4)):
        found = config(name)
        assert (found.network, found.width, found.learning_rate, found.schedule) == (
            "batch-norm",
            width,
            1e-3,
            "cosine",
        )
        assert (found.weight_decay, found.label_smoothing, found.shift, found.mask) == (1e-4, 0.05, 1_600, 0.15)
        assert not found.rotation and not found.patches


def test_wavegan_s_classifier_is_trained_as_its_authors_do() -> None:
    found = config("classifier-wavegan")
    assert (found.network, found.width, found.optimiser) == ("wavegan-inception", 128, "sgd")
    assert (found.learning_rate, found.batch, found.steps, found.schedule) == (1e-4, 64, 103_005, "constant")
    assert not any((found.weight_decay, found.label_smoothing, found.shift, found.noise, found.mask))


@pytest.mark.parametrize(
    ("name", "values", "network", "optimiser"),
    [
        ("cnn-debug", {}, SimpleCnn, torch.optim.AdamW),
        ("cnn-simple-digits", {}, SpectrogramCnn, torch.optim.AdamW),
        ("classifier-wavegan-debug", {}, WaveganInception, torch.optim.AdamW),
        ("classifier-wavegan-debug", {"optimiser": "sgd"}, WaveganInception, torch.optim.SGD),
    ],
)
def test_the_objective_trains_the_network_that_is_named(
    name: str, values: dict[str, Any], network: type, optimiser: type, tmp_path: Path
) -> None:
    manifest = made_shards(Folder.at(str(tmp_path / "shards")))
    found = tiny_config(name, Folder.at(str(tmp_path / "shards")), Folder.at(str(tmp_path / "out")), **values)
    objective = build_objective(found, manifest, torch.device("cpu"))
    assert type(objective.networks["classifier"]) is network
    assert type(objective.optimisers["classifier"]) is optimiser
    assert objective.optimisers["classifier"].param_groups[0]["lr"] == found.learning_rate


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("classifier-debug", {"optimiser": "sgd"}, "gradient descent has no weight decay here; add weight_decay=0"),
        ("cnn-debug", {"optimiser": "sgd"}, "gradient descent has no weight decay here"),
        (
            "classifier-wavegan-debug",
            {"front_end": {"mels": 64}},
            "front_end is given, and network=wavegan-inception brings its own; leave front_end out",
        ),
        (
            "cnn-simple-digits",
            {"front_end": {"mels": 8, "hop_length": 256}},
            "front_end gives 8 x 64, the simple network needs 16 each way",
        ),
        ("cnn-debug", {"front_end": {"hop_length": 512}}, "gives 256 x 32, the batch-norm network needs 64 each way"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_starts(
    name: str, values: dict[str, Any], said: str, tmp_path: Path
) -> None:
    shards = Folder.at(str(tmp_path / "shards"))
    made_shards(shards)
    with pytest.raises(UserError, match=said):
        check(tiny_config(name, shards, Folder.at(str(tmp_path / "out")), **values))
