"""The inverse mapper as the papers (Keyes et al.; thesis, chapter 3) train it: what it hears, and in which order it learns."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from invertone.audio.front_end import FrontEnd
from invertone.cluster.config.loading import load
from invertone.cluster.storage.folder import Folder
from invertone.models.networks.features import feature_distance
from invertone.models.networks.resnet import ResNet18
from invertone.train.build import build_trainer
from invertone.train.config import CATALOGUE
from invertone.train.objective import Draw, World
from tests.made import tiny_config
from tests.train.golden import material

LEVELS = ["mapper", "restyle", "classifier", "mapper-digits", "mapper-shipped", "restyle-shipped"]
DEAF = ["mapper-debug", "restyle-debug", "classifier-debug", "classifier-shipped", "cnn"]
"""Of clips whose loudest bin is the reference: whatever the level, the spectrogram is one."""


def front_end_of(name: str) -> FrontEnd:
    """That of a named config."""
    known = {"shards": "a", "out": "b", "generator": "c", "classifier": "d"}
    wanted = {"classifier": ("shards", "out"), "cnn": ("shards", "out")}.get(name.split("-")[0], tuple(known))
    config = load(CATALOGUE, name, [f"{key}={known[key]}" for key in wanted])
    return FrontEnd(**dataclasses.asdict(config.front_end))


def at_two_levels(front_end: FrontEnd) -> tuple[torch.Tensor, torch.Tensor]:
    """What a small network of this front end makes of a clip, and of the same a tenth as loud: its activations."""
    torch.manual_seed(3)
    network = ResNet18(8, width=4, front_end=front_end).eval()
    clip = 0.5 * torch.sin(torch.arange(16_384) * 0.2) + 0.01 * torch.randn(16_384)
    with torch.no_grad():
        return network(clip[None]), network(0.1 * clip[None])


@pytest.mark.parametrize("name", LEVELS)
def test_mappers_and_their_classifier_hear_levels(name: str) -> None:
    """E(x) is not E(0.1 x), and a feature loss sees that a reconstruction is too quiet."""
    loud, quiet = at_two_levels(front_end_of(name))
    assert (loud - quiet).norm() > 0.05 * loud.norm()


@pytest.mark.parametrize("name", DEAF)
def test_those_that_normalise_every_clip_do_not(name: str) -> None:
    loud, quiet = at_two_levels(front_end_of(name))
    assert torch.allclose(loud, quiet, atol=1e-3 * float(loud.norm()))


def test_a_step_is_a_batch_of_real_clips_by_features_alone_then_one_of_synthesised_clips(tmp_path: Path) -> None:
    """Section 4.1 of the first paper, figure 1 of the second one. All weights are 1."""
    place = Folder.at(str(tmp_path))
    material(place)
    given = {role: (place / role).uri for role in ("classifier", "generator")}
    config = tiny_config(
        "mapper-debug", place / "shards", place / "out", samples=0, steps=1, checkpoint_every=1, **given
    )
    trainer = build_trainer(config, World(), torch.device("cpu"), lambda step, values: None)
    seen: list[tuple[str, set[str], list[str]]] = []

    def watched(phase: Any) -> Any:
        def losses(draw: Draw) -> dict[str, torch.Tensor]:
            drawn: list[str] = []
            real, latents = draw.real, draw.latents

            def of_corpus(*args: Any) -> Any:
                drawn.append("real")
                return real(*args)

            def of_prior(*args: Any) -> Any:
                drawn.append("prior")
                return latents(*args)

            object.__setattr__(draw, "real", of_corpus)
            object.__setattr__(draw, "latents", of_prior)
            found = phase.losses(draw)
            seen.append((phase.name, set(found), drawn))
            return found

        return dataclasses.replace(phase, losses=losses)

    assert [phase.weights for phase in trainer.objective.phases] == [
        {"features": 1.0},
        {"latent": 1.0, "features": 1.0},
    ]
    trainer.objective.phases = tuple(watched(phase) for phase in trainer.objective.phases)
    trainer.run()
    assert seen == [("real", {"features"}, ["real"]), ("synthesised", {"latent", "features"}, ["prior"])]


def test_the_feature_loss_is_the_mean_over_all_residual_blocks() -> None:
    """A sum over the blocks, as one may read the papers too, is that with eight times the weight."""
    torch.manual_seed(0)
    network = ResNet18(10, width=4, front_end=FrontEnd(mels=32, hop_length=256)).eval()
    a, b = (network.with_features(0.1 * torch.randn(2, 16_384))[1] for _ in range(2))
    assert len(a) == 8
    squares = torch.stack([(one - other).square().flatten(1).mean(1) for one, other in zip(a, b, strict=True)])
    assert torch.allclose(feature_distance(a, b, "mse"), squares.sum(0) / 8)
    sizes = torch.stack([(one - other).abs().flatten(1).mean(1) for one, other in zip(a, b, strict=True)])
    assert torch.allclose(feature_distance(a, b, "mae"), sizes.sum(0) / 8)
