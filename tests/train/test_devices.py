"""What trainings compute stays where the networks are: shown on `meta`, a device that is not the host and holds no values, so
that what would mix the two, or make the host wait for a number, is an error on any machine."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.fx.experimental._config as fx_config

from invertone.cluster.storage.folder import Folder
from invertone.train.build import build_trainer
from invertone.train.data.clips import Clips
from invertone.train.loop.trainer import Trainer
from invertone.train.objective import Batch, Draw, World
from tests.made import tiny_config, train_tiny
from tests.train.golden import NAMES, material, material_of

META = torch.device("meta")
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in NAMES},
    "gaae-debug, all of it": (
        "gaae-debug",
        {
            "warm_up": {"classifier": 1, "reconstruction": 1},
            "varied": "all",
            "generated_style": "both",
            "independent_style": True,
            "style_noise": 0.5,
            "patch": 4,
            "rows": 128,
            "encoder_blocks": "plain",
            "encoder_multiples": "[1, 1, 1, 1, 1]",
            "discriminator_multiples": "[1, 1, 1]",
            "decoder_multiples": "[1, 1, 1, 1]",
            "attention_rows": 16,
        },
    ),
    **{
        f"{name}, every spectral loss": (
            name,
            {"weights": {"real_log_magnitude": 1, "real_multi_resolution_stft": 1, "real_multi_scale_mel": 1}},
        )
        for name in ("mapper-unlabelled-debug", "restyle-unlabelled-debug", "mapper-debug")
    },
    "bigan-debug, on top": ("bigan-debug", {"generator": "unsupervised", "loss": "log", "joint": 4}),
    "bigan-classifier-debug": ("bigan-classifier-debug", {"encoder": "bigan"}),
}

UNHEARD = ("cnn-debug", "cnn-simple-digits", "bigan-classifier-debug")
"""They know the labels of guided clips alone, and validate nothing."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = Folder.at(str(tmp_path_factory.mktemp("devices")))
    material(folder)
    once = {"steps": 1, "checkpoint_every": 1}
    train_tiny("biggan-unsupervised-debug", folder / "shards", folder / "unsupervised", **once)
    train_tiny("bigan-debug", folder / "shards", folder / "bigan", generator=(folder / "unsupervised").uri, **once)
    return folder


def trainer_of(case: str, place: Folder, out: Path) -> Trainer:
    name, values = CASES[case]
    given = material_of(name, place)
    given |= {key: (place / values[key]).uri for key in ("generator", "encoder") if key in values}
    shards = Folder.at(given.pop("shards"))
    config = tiny_config(name, shards, Folder.at(str(out)), **{**values, **given, "batch": 4})
    trainer = build_trainer(config, World(), torch.device("cpu"), lambda step, values: None)
    for network in (*trainer.objective.networks.values(), *trainer.objective.frozen.values()):
        network.to(META)
    return trainer


def batch_of(clips: Clips) -> Batch:
    """As the loop hands it over: what networks read on their device, numbers on the host."""
    batch = clips.read(np.arange(4))
    return dataclasses.replace(batch, signal=batch.signal.to(META), label=batch.label.to(META))


@pytest.mark.parametrize("case", CASES)
def test_updates_stay_on_the_device_and_wait_for_nothing(case: str, place: Folder, tmp_path: Path) -> None:
    trainer = trainer_of(case, place, tmp_path)
    objective, guided = trainer.objective, trainer.guided
    draw = Draw(
        real=lambda: batch_of(trainer.training),
        batch=4,
        world=World(),
        device=META,
        rng=torch.Generator().manual_seed(0),
        step=1,
        guided=None if guided is None else lambda: batch_of(guided),
    )
    for phase in objective.phases:
        for name, network in objective.networks.items():
            network.requires_grad_(name in phase.moves)
            network.train(name in phase.moves or name in phase.batch_statistics)
        terms = phase.losses(draw)
        assert {term.device.type for term in terms.values()} == {"meta"}
        torch.stack([term for name, term in terms.items() if name not in phase.monitors]).sum().backward()
    with torch.no_grad():
        objective.settle(draw)


@pytest.mark.parametrize("case", CASES)
def test_validations_compute_there_too(case: str, place: Folder, tmp_path: Path) -> None:
    trainer = trainer_of(case, place, tmp_path)
    for network in trainer.objective.networks.values():
        network.eval()
    all_have_labels = fx_config.patch(
        meta_nonzero_assume_all_nonzero=True
    )  # so that their number is known without values
    with torch.no_grad(), all_have_labels:
        sums = trainer.objective.validate(batch_of(trainer.validation))
    assert {each.device.type for each in sums.values()} == ({"meta"} if CASES[case][0] not in UNHEARD else set())
