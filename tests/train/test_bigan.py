"""BiGAN after GAAE's appendix: on top of a trained generator, with a classifier that is trained afterwards."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from invertone.cluster.errors import UserError
from invertone.cluster.formats.checkpoints import resolve
from invertone.cluster.formats.trainings import GUIDANCE
from invertone.cluster.storage.folder import Folder
from invertone.models.autoencoder import hears, load_autoencoder
from invertone.models.checkpoint import load_networks
from invertone.models.labeller import labeller_manifest, load_labeller
from invertone.models.networks.gaae import Head
from invertone.train.build import build_trainer, check, inputs
from invertone.train.data.clips import Clips, Part
from invertone.train.loop.trainer import Trainer
from invertone.train.objective import Draw, World
from invertone.train.objectives.bigan import ADVERSARIES, BiganOnTopObjective
from tests.made import LABELS, made_clips, made_shards, tiny_config, train_tiny, write_shards

LONG = {"steps": 3, "checkpoint_every": 3}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Shards, an unsupervised BigGAN, a BiGAN on top of it."""
    place = Folder.at(str(tmp_path_factory.mktemp("bigan")))
    made_shards(place / "shards", train=(12, 12), validation=6)
    train_tiny("biggan-unsupervised-debug", place / "shards", place / "biggan", **LONG)
    train_tiny("bigan-debug", place / "shards", place / "bigan", generator=(place / "biggan").uri, loss="log", **LONG)
    return place


def trainer_of(place: Folder, out: Folder, name: str, **values: object) -> Trainer:
    config = tiny_config(name, place / "shards", out, **{**LONG, **values})
    check(config)
    return build_trainer(config, World(), torch.device("cpu"), lambda step, values: None)


def weights(run: Folder, name: str) -> dict[str, torch.Tensor]:
    folder, manifest = resolve(run.uri, "run")
    return dict(load_networks(folder, manifest, (name,))[name].state_dict())


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_log_losses_are_those_of_the_probabilities_that_a_score_stands_for() -> None:
    score = torch.tensor([0.3, -2.0, 4.0])
    probability = torch.sigmoid(score)
    log = ADVERSARIES["log"]
    assert log.real(score).item() == pytest.approx(-probability.log().mean().item())
    assert log.fake(score).item() == pytest.approx(-(1 - probability).log().mean().item())
    assert log.encoder(score) == log.fake(score) and log.generator(score) == log.real(score)
    assert log.real(torch.zeros(2)).item() == pytest.approx(math.log(2))
    assert ADVERSARIES["hinge"].encoder(score) == -ADVERSARIES["hinge"].generator(score)


def test_on_top_the_generator_stays_and_encoder_and_discriminator_move(place: Folder) -> None:
    assert same(weights(place / "biggan", "generator_average"), weights(place / "bigan", "generator_average"))
    trainer = trainer_of(place, place / "untouched", "bigan-debug", generator=(place / "biggan").uri)
    begun = {name: network.state_dict() for name, network in trainer.objective.networks.items()}
    for name in ("encoder", "encoder_average", "discriminator"):
        assert not same(begun[name], weights(place / "bigan", name))
    assert [phase.moves for phase in trainer.objective.phases] == [("discriminator",), ("encoder",)]
    assert trainer.objective.optimisers.keys() == {"encoder", "discriminator"}


def test_on_top_no_label_is_read_and_no_clip_left_out(place: Folder, tmp_path: Path) -> None:
    assert not (place / "bigan").exists(GUIDANCE)
    config = tiny_config(
        "bigan-debug",
        place / "shards",
        Folder.at(str(tmp_path)),
        generator=(place / "biggan").uri,
        guidance={"fraction": 0.5, "apart": "true"},
        steps=1,
    )
    trainer = build_trainer(config, World(), torch.device("cpu"), lambda step, values: None)
    assert trainer.guided is None and trainer.training.count == 24
    for clips in (trainer.training, trainer.validation):
        assert set(clips.read(np.arange(clips.count)).label.tolist()) == {-1}
    assert inputs(config)["generator"] == resolve((place / "biggan").uri, "generator")[1].digest


def test_unlabelled_clips_are_enough(place: Folder, tmp_path: Path) -> None:
    here = Folder.at(str(tmp_path))
    manifest = write_shards(here / "shards", [made_clips(12, "train")])
    (here / "shards").publish_json("manifest.json", dataclasses.replace(manifest, label_names=()).to_json())
    run = train_tiny("biggan-unsupervised-debug", here / "shards", here / "biggan", steps=1, checkpoint_every=1)
    train_tiny("bigan-debug", here / "shards", here / "bigan", generator=run.uri, steps=1, checkpoint_every=1)


def test_the_encoder_is_told_that_its_pairs_are_made_ones(place: Folder, tmp_path: Path) -> None:
    trainer = trainer_of(place, Folder.at(str(tmp_path)), "bigan-debug", generator=(place / "biggan").uri, loss="log")
    objective = trainer.objective
    assert isinstance(objective, BiganOnTopObjective)
    batch = trainer.training.read(np.arange(6))
    for network in objective.networks.values():
        network.eval()
    draw = Draw(lambda: batch, 6, World(), torch.device("cpu"), torch.Generator().manual_seed(0), 1)
    with torch.no_grad():
        real = objective.spectrogram(batch.signal)
        score = objective.discriminator(real, None, objective.encoder(real)[0])
        (found,) = objective.encoder_losses(draw).values()
        pairs = objective.discriminator_losses(draw)
    assert found.item() == pytest.approx(-(1 - torch.sigmoid(score)).log().mean().item(), rel=1e-5)
    assert pairs["real"].item() == pytest.approx(-torch.sigmoid(score).log().mean().item(), rel=1e-5)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"latent_size": 9}, "latent_size is 9, generator has 8"),
        ({"prior": "uniform"}, "prior is uniform, generator has normal"),
        ({"front_end": {"window": "hann"}}, "front_end is "),
        ({"validate_labels": "true"}, "no classifier is trained"),
    ],
)
def test_a_generator_for_other_latents_or_spectrograms_is_refused(
    place: Folder, tmp_path: Path, values: dict[str, object], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        trainer_of(place, Folder.at(str(tmp_path)), "bigan-debug", generator=(place / "biggan").uri, **values)


def test_a_generator_that_knows_labels_is_refused(place: Folder, tmp_path: Path) -> None:
    here = Folder.at(str(tmp_path))
    run = train_tiny("biggan-debug", place / "shards", here / "labelled", steps=1, checkpoint_every=1)
    with pytest.raises(UserError, match="generator was trained with labels"):
        trainer_of(place, here / "out", "bigan-debug", generator=run.uri)


def test_its_classifier_learns_afterwards_of_guided_clips_alone(place: Folder, tmp_path: Path) -> None:
    out = Folder.at(str(tmp_path))
    train_tiny(
        "bigan-classifier-debug",
        place / "shards",
        out,
        encoder=(place / "bigan").uri,
        steps=4,
        checkpoint_every=2,
        guidance={"fraction": 0.25},
    )
    for name in ("encoder_average", "generator_average"):
        assert same(weights(place / "bigan", name), weights(out, name))
    folder, manifest = resolve(out.uri, "run")
    assert manifest.kind == "bigan" and hears(manifest) and manifest.label_names == LABELS
    assert sum(manifest.data["guidance"]["clips"].values()) == 6
    labeller, _ = load_labeller(out.uri, "checkpoint")
    part = [Part(entry, 0, entry.count) for entry in trainer_of_shards(place)]
    waves = Clips(place / "shards", part).read(np.arange(6)).signal
    encoder = load_autoencoder(folder, manifest)
    head = load_networks(folder, manifest, ("classifier_average",))["classifier_average"]
    assert isinstance(head, Head) and head.hidden == (8,)
    with torch.no_grad():
        wanted = head(encoder.encode(waves).guided).log_softmax(1)
        assert torch.allclose(labeller(waves), wanted, atol=1e-5)


def trainer_of_shards(place: Folder) -> tuple:  # type: ignore[type-arg]
    from invertone.cluster.formats.shards import load_manifest

    return tuple(load_manifest(place / "shards").of_splits(["validation"]))


def test_until_then_it_is_no_labeller(place: Folder) -> None:
    with pytest.raises(UserError, match="a bigan whose classifier is still to be trained"):
        labeller_manifest((place / "bigan").uri, "checkpoint")


def test_labels_of_validation_clips_are_read_where_that_is_allowed(place: Folder, tmp_path: Path) -> None:
    given = {"encoder": (place / "bigan").uri}
    trainer = trainer_of(place, Folder.at(str(tmp_path)), "bigan-classifier-debug", **given)
    assert trainer.validate() == {}
    trainer = trainer_of(place, Folder.at(str(tmp_path)), "bigan-classifier-debug", validate_labels="true", **given)
    assert 0 <= trainer.validate()["accuracy"] <= 1


def test_a_killed_run_goes_on_to_the_same_weights(place: Folder, tmp_path: Path) -> None:
    runs = [Folder.at(str(tmp_path / name)) for name in ("whole", "parts")]
    for name, given in (
        ("bigan-debug", {"generator": (place / "biggan").uri}),
        ("bigan-classifier-debug", {"encoder": (place / "bigan").uri}),
    ):
        whole, parts = (run / name for run in runs)
        train_tiny(name, place / "shards", whole, steps=4, checkpoint_every=2, **given)
        for steps in (2, 4):
            train_tiny(name, place / "shards", parts, steps=steps, checkpoint_every=2, **given)
        moved = "encoder_average" if name == "bigan-debug" else "classifier_average"
        assert same(weights(whole, moved), weights(parts, moved))
