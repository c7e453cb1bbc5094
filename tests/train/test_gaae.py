"""GAAE's objective: whose style a generated clip has, what is learned before all of it, what a style may tell."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from invertone.cluster.errors import UserError
from invertone.cluster.storage.folder import Folder
from invertone.models.checkpoint import load_network
from invertone.train.build import build_trainer, check
from invertone.train.loop.record import read_metrics
from invertone.train.loop.trainer import Trainer
from invertone.train.objective import Draw, Phase, World
from invertone.train.objectives.gaae import GaaeObjective
from tests.made import LABELS, made_shards, tiny_config, train_tiny

WARM = {"warm_up": {"classifier": 1, "reconstruction": 2}, "style_size": 3}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    place = Folder.at(str(tmp_path_factory.mktemp("gaae")))
    made_shards(place / "shards", train=(12,), validation=4)
    return place


def trainer_of(place: Folder, out: Path, **values: Any) -> Trainer:
    config = tiny_config("gaae-debug", place / "shards", Folder.at(str(out)), **{"steps": 1, **values})
    check(config)
    return build_trainer(config, World(), torch.device("cpu"), lambda step, values: None)


def objective_of(trainer: Trainer) -> GaaeObjective:
    assert isinstance(trainer.objective, GaaeObjective)
    return trainer.objective


def draw_of(trainer: Trainer) -> Draw:
    assert trainer.guided is not None
    real, guided = (clips.read(torch.arange(4).numpy()) for clips in (trainer.training, trainer.guided))
    rng = torch.Generator().manual_seed(0)
    return Draw(lambda: real, 4, World(), torch.device("cpu"), rng, 1, lambda: guided)


def decoded(objective: GaaeObjective, losses: str, draw: Draw) -> tuple[Tensor, Tensor]:
    """What the decoder gets: styles and labels, of reconstructed clips first."""
    seen: list[tuple[Tensor, Tensor]] = []
    hook = objective.decoder.register_forward_hook(lambda module, given, made: seen.append(given))
    getattr(objective, losses)(draw)
    hook.remove()
    ((style, label),) = seen
    return style.detach(), label.detach()


@pytest.mark.parametrize("losses", ["discriminator_losses", "autoencoder_losses"])
def test_a_generated_clip_has_the_style_of_a_real_one_and_a_random_label(
    losses: str, place: Folder, tmp_path: Path
) -> None:
    """III-A3 of the paper: the same latent with a random one-hot vector."""
    trainer = trainer_of(place, tmp_path, generated_style="own")
    style, label = decoded(objective_of(trainer), losses, draw_of(trainer))
    assert torch.equal(style[:4], style[4:]) and not torch.equal(style[0], style[1])
    assert (label[4:].sort(1).values == torch.eye(len(LABELS))[-1]).all() and (label[:4] < 1).all()


def test_its_style_may_be_drawn_or_every_second_one(place: Folder, tmp_path: Path) -> None:
    for kind, same in (("prior", [False] * 4), ("both", [True, False, True, False])):
        trainer = trainer_of(place, tmp_path / kind, generated_style=kind)
        style, _ = decoded(objective_of(trainer), "discriminator_losses", draw_of(trainer))
        assert (style[:4] == style[4:]).all(1).tolist() == same


def test_noise_keeps_the_variance_of_styles(place: Folder, tmp_path: Path) -> None:
    trainer = trainer_of(place, tmp_path, style_noise=0.75)
    own = torch.randn(4_000, 8, generator=torch.Generator().manual_seed(1))
    draw = draw_of(trainer)
    draw.batch = len(own)
    noisy = objective_of(trainer)._decoded_style(own, draw)
    assert float(noisy.var()) == pytest.approx(1.0, abs=0.05)
    assert float((noisy * own).mean()) == pytest.approx(0.8, abs=0.03)  # 1 / sqrt(1 + 0.75²)


def test_an_independent_style_is_judged_beside_its_label(place: Folder, tmp_path: Path) -> None:
    trainer = trainer_of(place, tmp_path, independent_style=True, style_size=5)
    objective = objective_of(trainer)
    assert objective.latent_discriminator.inputs == 5 + len(LABELS)
    style, one, other = torch.zeros(1, 5), torch.eye(len(LABELS))[:1], torch.eye(len(LABELS))[1:2]
    assert not torch.equal(objective._told(style, one), objective._told(style, other))


def test_unlabelled_clips_may_be_varied_as_guided_ones_are(place: Folder, tmp_path: Path) -> None:
    """The encoder sees them noisy and masked; what must be reconstructed, and counts as real, is moved in time alone."""
    plain = objective_of(trainer_of(place, tmp_path / "plain", varied="guided"))
    draw = draw_of(trainer_of(place, tmp_path / "draw"))
    real, seen = plain._real(draw)
    assert real is seen and torch.equal(real, plain.spectrogram(draw.real().signal))
    given = {"varied": "all", "mask": 0.5, "noise": 0.1}
    still = objective_of(trainer_of(place, tmp_path / "still", shift=0, **given))
    target, seen = still._real(draw)
    assert torch.equal(target, real) and not torch.equal(seen, real)
    assert (seen == -1.0).float().mean() > (real == -1.0).float().mean()
    moving = objective_of(trainer_of(place, tmp_path / "moving", shift=1_600, **given))
    target, _ = moving._real(draw)
    assert not torch.allclose(target, real, atol=0.1)
    for losses in (
        "latent_discriminator_losses",
        "reconstruction_losses",
        "discriminator_losses",
        "autoencoder_losses",
    ):
        assert all(bool(each.isfinite()) for each in getattr(moving, losses)(draw).values())


def test_phases_begin_and_end() -> None:
    phase = Phase("some", (), lambda draw: {}, since=2, until=5)
    assert [phase.active(step) for step in range(1, 8)] == [False, False, True, True, True, False, False]
    assert [phase.steps_within(steps) for steps in (0, 2, 3, 5, 9)] == [0, 0, 1, 3, 3]
    assert Phase("always", (), lambda draw: {}).steps_within(7) == 7


def test_a_warm_up_goes_on_where_it_stopped(place: Folder, tmp_path: Path) -> None:
    """Each part takes other batches than the next: a resumed run stands where the first one stood in both streams."""
    values = {"checkpoint_every": 2, "schedule": "constant", **WARM}
    straight = train_tiny("gaae-debug", place / "shards", Folder.at(str(tmp_path / "a")), steps=5, **values)
    out = Folder.at(str(tmp_path / "b"))
    for steps in (2, 5):
        train_tiny("gaae-debug", place / "shards", out, steps=steps, **values)
    terms: dict[int, set[str]] = {step: set() for step in range(1, 6)}
    for line in read_metrics(straight):
        terms[int(line["step"])] |= {term.split("/")[0] for term in line if "/" in term} - {"validation"}
    assert terms[1] == {"classifier"} and terms[2] == terms[3] == {"latent_discriminator", "reconstruction"}
    assert terms[4] == terms[5] == {"discriminators", "autoencoder"}
    for name in ("encoder_average", "decoder", "sample_discriminator"):
        whole, resumed = (load_network(run.uri, "", "gaae", name)[0].state_dict() for run in (straight, out))
        for key, value in whole.items():
            assert torch.allclose(value, resumed[key], rtol=1e-4, atol=1e-6), (name, key)


def test_small_networks_train_and_are_read_again(place: Folder, tmp_path: Path) -> None:
    small = {"patch": 4, "attention_rows": 0, "encoder_blocks": "plain", "encoder_patch": 2, "channels": 2}
    stacks = {
        "encoder_multiples": [1, 2, 2, 4, 4],
        "discriminator_multiples": [1, 2, 4, 4],
        "decoder_multiples": [4, 2, 2, 1, 1],
    }
    values = {**small, **stacks, "style_size": 3, "checkpoint_every": 1}
    out = train_tiny("gaae-debug", place / "shards", Folder.at(str(tmp_path)), steps=1, **values)
    encoder = load_network(out.uri, "", "gaae", "encoder_average")[0]
    guided, style = encoder(torch.rand(2, 256, 128))
    assert guided.shape == (2, 8) and style.shape == (2, 3)
    decoder = load_network(out.uri, "", "gaae", "decoder_average")[0]
    assert decoder(style, torch.eye(len(LABELS))[:2]).shape == (2, 256, 128)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"patch": 3}, "patch=3 is none of 1, 2, 4, 8"),
        ({"rows": 100}, "rows=100 is none of 256, 128, 64"),
        ({"encoder_patch": 5}, "encoder_patch=5 is none of 1, 2, 4, 8"),
        (
            {"encoder_multiples": [1, 2, 4]},
            "encoder_multiples must be 6 numbers of at least 1, or 7 with the last two equal",
        ),
        ({"discriminator_multiples": [1, 1, 2, 4, 8, 16, 8]}, "discriminator_multiples must be 6 numbers"),
        (
            {"encoder_blocks": "plain", "encoder_multiples": [1] * 7},
            "encoder_multiples must be 6 numbers of at least 1; see",
        ),
        ({"decoder_multiples": [1] * 6}, "decoder_multiples must be 7 numbers"),
        ({"attention_rows": 100}, "attention_rows=100 is no height of a block; use 128, 64, 32, 16, 8 or 0"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(values: dict[str, Any], said: str, place: Folder, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        trainer_of(place, tmp_path, **values)
