"""Validations of the GAAE family: what a judge makes of generated clips, and how well the own classifier hears."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch

from invertone.cluster.errors import UserError
from invertone.cluster.formats.checkpoints import resolve
from invertone.cluster.formats.shards import load_manifest, read_shard
from invertone.cluster.storage.folder import Folder
from invertone.models.autoencoder import load_autoencoder
from invertone.models.prior import seeded
from invertone.train.build import build_trainer, check
from invertone.train.data.clips import Clips, Part
from invertone.train.inception import judged, judged_sums
from invertone.train.loop.trainer import Trainer
from invertone.train.objective import Draw, World
from tests.made import LABELS, made_clips, made_shards, tiny_config, train_tiny, write_shards


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Shards, and a judge of their labels."""
    place = Folder.at(str(tmp_path_factory.mktemp("judged")))
    made_shards(place / "shards", train=(12,), validation=9)
    train_tiny("classifier-debug", place / "shards", place / "judge", steps=3, checkpoint_every=3)
    return place


def trainer_of(place: Folder, out: Path, name: str = "gaae-debug", **values: object) -> Trainer:
    config = tiny_config(name, place / "shards", Folder.at(str(out)), **{"steps": 1, **values})
    check(config)
    return build_trainer(config, World(), torch.device("cpu"), lambda step, values: None)


def test_sums_of_any_parts_give_the_measures_written_out(place: Folder) -> None:
    rng = np.random.default_rng(0)
    real, made = rng.normal(size=(40, 3)), 1.5 * rng.normal(size=(40, 3)) + 0.3
    asked = np.arange(40) % 3
    parts = [
        judged_sums(*(torch.from_numpy(each[first : first + 8]) for each in (real, made, asked)))
        for first in range(0, 40, 8)
    ]
    totals = {name: torch.stack([part[name].double() for part in parts]).sum(0) for name in parts[0]}
    found = judged(totals, 40)
    root = scipy.linalg.sqrtm(np.cov(real.T) @ np.cov(made.T)).real
    frechet = np.square(real.mean(0) - made.mean(0)).sum() + np.trace(np.cov(real.T) + np.cov(made.T) - 2 * root)
    p = scipy.special.softmax(made, axis=1)
    assert found["frechet_distance"] == pytest.approx(frechet, rel=1e-9)
    assert found["inception_score"] == pytest.approx(np.exp((p * np.log(p / p.mean(0))).sum(1).mean()), rel=1e-9)
    assert found["asked_label"] == pytest.approx((made.argmax(1) == asked).mean())


def test_one_clip_has_no_distance() -> None:
    logits = torch.ones(1, 3)
    assert judged(judged_sums(logits, logits, None), 1).keys() == {"inception_score"}


@pytest.mark.parametrize(
    "name", ["gaae-debug", "ggan-debug", "bigan-debug", "biggan-debug", "biggan-unsupervised-debug"]
)
def test_every_objective_of_the_family_is_judged(name: str, place: Folder, tmp_path: Path) -> None:
    found = trainer_of(place, tmp_path, name, classifier=(place / "judge").uri).validate()
    steered = {"asked_label"} if name in ("gaae-debug", "ggan-debug", "biggan-debug") else set()
    assert {"inception_score", "frechet_distance"} | steered <= found.keys()
    assert ("asked_label" in found) == bool(steered) and "accuracy" not in found
    assert 1 <= found["inception_score"] <= len(LABELS) and found["frechet_distance"] >= 0


@pytest.mark.parametrize("name", ["gaae-debug", "ggan-debug"])
def test_the_own_classifier_s_accuracy_where_labels_may_be_read(name: str, place: Folder, tmp_path: Path) -> None:
    trainer = trainer_of(place, tmp_path, name, validate_labels="true")
    objective, clips = trainer.objective, trainer.validation
    batch = clips.read(np.arange(clips.count))
    networks = {each: objective.networks[f"{each}_average"].eval() for each in ("encoder", "classifier")}
    with torch.no_grad():
        told = networks["classifier"](networks["encoder"](objective.spectrogram(batch.signal))[0]).argmax(1)  # type: ignore[attr-defined]
    assert set(batch.label.tolist()) == {0, 1, 2}
    assert trainer.validate()["accuracy"] == pytest.approx(float((told == batch.label).double().mean()))


def test_otherwise_no_label_of_a_validation_clip_is_known(place: Folder, tmp_path: Path) -> None:
    trainer = trainer_of(place, tmp_path)
    assert set(trainer.validation.read(np.arange(trainer.validation.count)).label.tolist()) == {-1}
    assert "accuracy" not in trainer.validate()


def test_biggan_has_no_classifier_of_its_own(place: Folder, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="BigGAN has no classifier of its own"):
        trainer_of(place, tmp_path, "biggan-debug", validate_labels="true")


def test_a_judge_knows_the_labels_of_the_guidance(place: Folder, tmp_path: Path) -> None:
    """Another corpus guides: its labels are those that are generated, and those that a judge must know."""
    here = Folder.at(str(tmp_path))
    words = [
        dataclasses.replace(clip, info=dataclasses.replace(clip.info, label=0, label_name="word"))
        for clip in (*made_clips(12, "train", seed=5), *made_clips(4, "validation", seed=5))
    ]
    manifest = write_shards(here / "shards", [words[:12], words[12:]])
    (here / "shards").publish_json("manifest.json", manifest.to_json() | {"label_names": ["word"]})
    given = {"guidance": {"shards": (place / "shards").uri, "fraction": 0.5, "merged": "true"}}
    found = trainer_of(here, tmp_path / "out", classifier=(place / "judge").uri, **given).validate()
    assert {"inception_score", "frechet_distance", "asked_label"} <= found.keys()
    with pytest.raises(UserError, match="validate_labels: the guidance has the labels low, middle, high"):
        trainer_of(here, tmp_path / "out", validate_labels="true", **given)
    train_tiny("classifier-debug", here / "shards", here / "other", steps=1)
    with pytest.raises(UserError, match="classifier knows the labels word"):
        trainer_of(here, tmp_path / "out", classifier=(here / "other").uri, **given)


def test_real_clips_and_generated_ones_are_judged_alike(place: Folder, tmp_path: Path) -> None:
    """If the generator gave the clips themselves nothing would lie between them."""
    trainer = trainer_of(place, tmp_path, classifier=(place / "judge").uri)
    part = [Part(entry, 0, entry.count) for entry in load_manifest(place / "shards").of_splits(["validation"])]
    clips = Clips(place / "shards", part)
    batch = clips.read(np.arange(clips.count))
    judge = trainer.objective.frozen["classifier"]
    with torch.no_grad():
        logits = judge(batch.signal)
    asked = torch.tensor([clip.info.label for clip in read_shard(place / "shards", part[0].entry)])
    found = judged(judged_sums(logits, logits, asked), clips.count)
    assert found["frechet_distance"] == pytest.approx(0.0, abs=1e-6)
    assert found["asked_label"] == pytest.approx(float((logits.argmax(1) == asked).double().mean()))


def test_a_uniform_prior_is_drawn_from_and_goes_with_the_checkpoint(place: Folder, tmp_path: Path) -> None:
    trainer = trainer_of(place, tmp_path, prior="uniform")
    objective = trainer.objective
    draw = Draw(lambda: pytest.fail("no clips"), 500, World(), torch.device("cpu"), seeded("prior"), 1)
    latents = objective.latents(draw)  # type: ignore[attr-defined]
    assert latents.abs().max() <= 1 and latents.std().item() == pytest.approx(3**-0.5, rel=0.03)
    trainer.state.save(1, {}, 1)
    folder, manifest = resolve(str(tmp_path), "checkpoint")
    assert manifest.prior == {"kind": "uniform"}
    assert load_autoencoder(folder, manifest).prior.kind == "uniform"
    normal = trainer_of(place, tmp_path / "normal")
    assert normal.objective.manifest()["prior"] == {"kind": "normal"}


@pytest.mark.parametrize(
    "name", ["gaae-debug", "ggan-debug", "biggan-debug", "biggan-unsupervised-debug", "bigan-debug"]
)
def test_validations_compute_where_the_networks_are(name: str, place: Folder, tmp_path: Path) -> None:
    """Clips' numbers stay on the host: a device that is none of it, which holds no values, finds what goes by them."""
    trainer = trainer_of(place, tmp_path, name)
    objective = trainer.objective
    for network in objective.networks.values():
        network.to("meta").eval()
    clips = trainer.validation.read(np.arange(4))
    batch = dataclasses.replace(clips, signal=clips.signal.to("meta"), label=clips.label.to("meta"))
    with torch.no_grad():
        sums = {**objective.validate(batch), "generated": objective._generated(batch.number)}
    assert {each.device.type for each in sums.values()} == {"meta"}
