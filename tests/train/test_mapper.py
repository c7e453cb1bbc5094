"""The inverse mapper as the papers (Keyes et al.; thesis, chapter 3) train it: what it hears, and in which order it learns."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from invertone.audio.front_end import FrontEnd
from invertone.cluster.config.loading import load
from invertone.cluster.errors import UserError
from invertone.cluster.formats.checkpoints import resolve
from invertone.cluster.formats.shards import Clip
from invertone.cluster.formats.signals import ClipFormat
from invertone.cluster.storage.folder import Folder
from invertone.infer.solvers.losses import build_terms
from invertone.models.checkpoint import load_listener
from invertone.models.networks.features import feature_distance
from invertone.models.networks.resnet import ResNet18
from invertone.models.networks.wavegan import WaveganGenerator
from invertone.train.build import build_trainer, check
from invertone.train.config import CATALOGUE
from invertone.train.objective import Batch, Draw, World
from invertone.train.objectives.mapper import MapperObjective, Pass
from invertone.train.objectives.restyle import RestyleObjective
from invertone.train.recipe import Setting
from tests.made import made_clips, tiny_config, train_tiny, write_shards
from tests.train.golden import material

LEVELS = ["mapper", "restyle", "classifier", "mapper-digits", "mapper-shipped", "restyle-shipped", "mapper-unlabelled"]
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


SPECTRAL = {"real_log_magnitude": 2.0, "real_multi_resolution_stft": 3.0, "real_multi_scale_mel": 5.0}


def without_labels(clips: list[Clip]) -> list[Clip]:
    hidden = {"label": None, "label_name": None}
    return [dataclasses.replace(clip, info=dataclasses.replace(clip.info, **hidden)) for clip in clips]


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Shards without a label, as label_from=none makes them; a generator, and a classifier of another corpus."""
    place = Folder.at(str(tmp_path_factory.mktemp("unlabelled")))
    material(place / "other")
    groups = [without_labels(made_clips(12, "train")), without_labels(made_clips(6, "validation"))]
    manifest = write_shards(place / "shards", groups)
    (place / "shards").publish_json("manifest.json", manifest.to_json() | {"label_names": []})
    return place


def unlabelled_config(place: Folder, out: Path, name: str = "mapper-unlabelled-debug", **values: Any) -> Any:
    given = {"generator": (place / "other/generator").uri, "steps": 2, "checkpoint_every": 2, **values}
    return tiny_config(name, place / "shards", Folder.at(str(out)), **given)


@pytest.mark.parametrize("name", ["mapper-unlabelled-debug", "restyle-unlabelled-debug"])
def test_without_a_classifier_real_clips_are_compared_by_spectra_and_synthesised_ones_by_latents(
    name: str, unlabelled: Folder, tmp_path: Path
) -> None:
    config = unlabelled_config(unlabelled, tmp_path, name, weights=SPECTRAL)
    check(config)
    trainer = build_trainer(config, World(), torch.device("cpu"), lambda step, values: None)
    real, synthesised = trainer.objective.phases
    assert real.weights == {name.removeprefix("real_"): weight for name, weight in SPECTRAL.items()}
    assert synthesised.weights == {"latent": 1.0}
    before = {name: value.clone() for name, value in trainer.objective.networks["mapper"].state_dict().items()}
    trainer.run()
    after = trainer.objective.networks["mapper"].state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    manifest = resolve(str(tmp_path), "mapper")[1]
    assert manifest.metrics.keys() == {"multi_scale_mel", "spectrogram_mae"} and manifest.label_names == ()
    assert manifest.inputs.keys() == {"generator"}


def test_the_spectral_terms_are_those_of_inversion(unlabelled: Folder, tmp_path: Path) -> None:
    """The same numbers that `infer` minimises, mean over clips."""
    config = unlabelled_config(unlabelled, tmp_path, weights=SPECTRAL)
    objective = build_trainer(config, World(), torch.device("cpu"), lambda step, values: None).objective
    real, made = (0.1 * torch.randn(3, 16_384, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    weights = {name.removeprefix("real_"): 1.0 for name in SPECTRAL}
    terms = build_terms(weights, objective.frozen["generator"], None, None)  # type: ignore[arg-type]
    for name, term in terms.items():
        expected = term.compare(torch.zeros(3, 8), made, term.wanted(real)).mean()
        found = objective._spectral(name, real, [Pass(torch.zeros(3, 8), made)])  # type: ignore[attr-defined]
        assert torch.allclose(found, expected), name


def test_what_needs_a_classifier_is_refused_without_one(unlabelled: Folder, tmp_path: Path) -> None:
    for weights, said in (
        (
            {"features": 1.0},
            "weights.features needs a classifier, and there is none; give classifier=",
        ),
        ({"real_features": 0.1, "features": 1.0}, "weights.real_features and weights.features need a classifier"),
        ({"real_multi_scale_mel": 0.0}, "without a classifier nothing compares real clips"),
    ):
        with pytest.raises(UserError, match=said) as caught:
            check(unlabelled_config(unlabelled, tmp_path, weights=weights))
        assert "\n" not in str(caught.value) and "mapper-unlabelled" in str(caught.value)
    with pytest.raises(UserError, match="need a classifier"):
        check(unlabelled_config(unlabelled, tmp_path, "restyle-debug"))


def test_a_classifier_of_another_corpus_serves_for_features_and_hears_no_labels(
    unlabelled: Folder, tmp_path: Path
) -> None:
    given = {"classifier": (unlabelled / "other/classifier").uri}
    for name in ("mapper-debug", "restyle-debug"):
        config = unlabelled_config(unlabelled, tmp_path / name, name, **given)
        check(config)
        trainer = build_trainer(config, World(), torch.device("cpu"), lambda step, values: None)
        trainer.run()
        metrics = resolve(str(tmp_path / name), "mapper" if name == "mapper-debug" else "restyle")[1].metrics
        assert metrics.keys() == {"feature_distance", "spectrogram_mae"}


def test_what_no_label_taught_listens_in_a_classifiers_place(unlabelled: Folder, tmp_path: Path) -> None:
    """A mapper or an autoencoder's encoder; what has neither, or a classifier beside it, is refused."""
    shards, place = unlabelled / "shards", Folder.at(str(tmp_path))
    train_tiny("wae-digits", shards, place / "wae", steps=1, checkpoint_every=1)
    build_trainer(
        unlabelled_config(unlabelled, tmp_path / "first"), World(), torch.device("cpu"), lambda step, values: None
    ).run()
    for name in ("wae", "first"):
        given = {"listener": (place / name).uri, "weights": {"real_features": 1, "features": 1}}
        config = unlabelled_config(unlabelled, tmp_path / f"by-{name}", **given)
        check(config)
        trainer = build_trainer(config, World(), torch.device("cpu"), lambda step, values: None)
        heard = load_listener((place / name).uri)
        assert isinstance(trainer.objective.frozen["classifier"], type(heard))
        trainer.run()
        manifest = resolve(config.out, "mapper")[1]
        assert manifest.metrics.keys() == {"feature_distance", "spectrogram_mae"}
        assert manifest.inputs.keys() == {"generator", "listener"}
    generator = (unlabelled / "other/generator").uri
    with pytest.raises(UserError, match="neither a mapper nor an encoder"):
        check(unlabelled_config(unlabelled, tmp_path, listener=generator))
    both = {"listener": (place / "wae").uri, "classifier": (unlabelled / "other/classifier").uri}
    with pytest.raises(UserError, match="classifier and listener are both given"):
        check(unlabelled_config(unlabelled, tmp_path, **both))


def test_spectra_may_count_beside_features(unlabelled: Folder, tmp_path: Path) -> None:
    given = {"classifier": (unlabelled / "other/classifier").uri, "weights": {"real_log_magnitude": 5.0}}
    config = unlabelled_config(unlabelled, tmp_path, "mapper-debug", **given)
    phases = build_trainer(config, World(), torch.device("cpu"), lambda step, values: None).objective.phases
    assert phases[0].weights == {"features": 1.0, "log_magnitude": 5.0}


@pytest.mark.parametrize("name", ["mapper-unlabelled-debug", "restyle-unlabelled-debug"])
def test_clips_of_another_format_are_mapped_without_a_classifier(name: str, tmp_path: Path) -> None:
    """Stereo at 44.1 kHz: the losses are of [b, 2, n]."""
    stereo = ClipFormat(44_100, 32_768, 2)
    torch.manual_seed(0)
    generator = WaveganGenerator(2, 8, clip_samples=stereo.samples, channels=2).requires_grad_(False).eval()
    setting = Setting((), stereo, torch.device("cpu"))
    place = Folder.at(str(tmp_path))
    config = tiny_config(name, place / "shards", place / "out", generator="none", steps=1, weights=SPECTRAL)
    kind = MapperObjective if name.startswith("mapper") else RestyleObjective
    objective = kind(config, setting, generator, None)
    batch = Batch(0.1 * torch.randn(2, 2, stereo.samples), torch.full((2,), -1), torch.arange(2))
    draw = Draw(lambda: batch, 2, World(), torch.device("cpu"), torch.Generator().manual_seed(0), 1)
    for phase in objective.phases:
        terms = phase.losses(draw)
        torch.stack(list(terms.values())).sum().backward()
    assert all(torch.isfinite(each.grad).all() for each in objective.mapper.parameters() if each.grad is not None)
    with torch.no_grad():
        totals = objective.validate(batch)
    assert objective.finish(totals, 2).keys() == {"multi_scale_mel", "spectrogram_mae"}
