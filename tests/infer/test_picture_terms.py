"""The terms of pictures against their definitions, their gradients, and what pictures and clips refuse of each other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from invertone.cluster.config.loading import load
from invertone.cluster.errors import UserError
from invertone.cluster.storage.folder import Folder
from invertone.images.distances import picture_ssim
from invertone.infer.config import CATALOGUE
from invertone.infer.job import check_models
from invertone.infer.solvers.losses import TERMS, LatentObjective, build_terms, terms_for
from invertone.models.networks.dcgan import DcganGenerator
from invertone.models.networks.features import feature_distance
from invertone.models.networks.picture_mapper import PictureMapper
from invertone.models.networks.recogniser import SMALLEST, Recogniser
from invertone.models.prior import Prior
from tests.made import LABELS, made_shards, tiny_models
from tests.pictures import LATENT, SMALL, picture_models
from tests.train.golden import draw_weights

ALL = {
    "pixel_mae": 1.0,
    "pixel_mse": 2.0,
    "structural": 3.0,
    "perceptual": 4.0,
    "features": 5.0,
    "mapper_features": 5.5,
    "consistency": 6.0,
    "prior": 7.0,
}


def networks() -> tuple[Any, Any, Any]:
    made = (
        DcganGenerator(2, LATENT, SMALL.height),
        PictureMapper(LATENT, 2, (6,), 32),
        Recogniser(6, len(LABELS), 16, (1, 1, 1), SMALLEST),
    )
    for each in made:
        draw_weights(each)
        each.requires_grad_(False).eval()
    made[0].prior = Prior("normal")
    return made


@pytest.fixture(scope="module")
def objective() -> LatentObjective:
    generator, mapper, recogniser = networks()
    return LatentObjective(generator, build_terms(ALL, generator, mapper, recogniser, format=SMALL), ALL)


@pytest.fixture(scope="module")
def target() -> torch.Tensor:
    return torch.rand(3, *SMALL.view, generator=torch.Generator().manual_seed(1)) * 2 - 1


def latents(count: int = 3) -> torch.Tensor:
    return torch.rand(count, LATENT, generator=torch.Generator().manual_seed(2)) * 2 - 1


def test_every_term_is_its_definition(objective: LatentObjective, target: torch.Tensor) -> None:
    latent = latents()
    made = objective.generator(latent)
    found = objective.evaluate(latent, objective.wanted(target))
    terms = {name: found.terms[:, at].double().numpy() for at, name in enumerate(objective.names)}
    apart = (made - target).double().numpy().reshape(3, -1)
    assert terms["pixel_mae"] == pytest.approx(np.abs(apart).mean(1), rel=1e-5)
    assert terms["pixel_mse"] == pytest.approx((apart**2).mean(1), rel=1e-5)
    assert terms["structural"] == pytest.approx(1 - picture_ssim(target, made).double().numpy(), rel=1e-4)
    recogniser = objective.terms["perceptual"].recogniser  # type: ignore[attr-defined]
    pair = [recogniser.with_features(each)[1] for each in (target, made)]
    layers = [((a - b) ** 2).double().numpy().reshape(3, -1).mean(1) for a, b in zip(*pair, strict=True)]
    assert terms["perceptual"] == pytest.approx(np.sum(layers, axis=0), rel=1e-4)
    assert terms["features"] == pytest.approx(np.mean(layers, axis=0), rel=1e-4)  # the sum's third, of three layers
    mapper = objective.terms["consistency"].mapper  # type: ignore[attr-defined]
    pair = [mapper.with_features(each)[1] for each in (target, made)]
    assert terms["mapper_features"] == pytest.approx(feature_distance(*pair).double().numpy(), rel=1e-4)
    assert terms["consistency"] == pytest.approx((latent - mapper(made)).square().mean(1).double().numpy(), rel=1e-4)
    weighted = sum(ALL[name] * values for name, values in terms.items())
    assert found.value.double().numpy() == pytest.approx(weighted, rel=1e-5)


def test_the_layers_that_are_named_are_the_ones_compared(target: torch.Tensor) -> None:
    generator, _, recogniser = networks()
    named = build_terms({"perceptual": 1.0}, generator, None, recogniser, format=SMALL, layers=["block8-1"])
    objective = LatentObjective(generator, named, {"perceptual": 1.0})
    found = objective.evaluate(latents(), objective.wanted(target)).value
    last = [recogniser.with_features(each)[1][-1] for each in (target, generator(latents()))]
    assert torch.allclose(found, (last[0] - last[1]).square().flatten(1).mean(1), rtol=1e-4)


@pytest.mark.parametrize("name", ["pixel_mae", "pixel_mse", "structural", "perceptual"])
def test_the_gradient_is_that_of_the_value(name: str, target: torch.Tensor) -> None:
    """By central differences in double precision, along one direction for each picture."""
    generator, _, recogniser = (each.double() for each in networks())
    terms, wanted = build_terms({name: 1.0}, generator, None, recogniser, format=SMALL), {}
    latent, step = latents().double(), 1e-6
    way = torch.randn(latent.shape, generator=torch.Generator().manual_seed(3)).double()
    with torch.no_grad():
        wanted = terms[name].wanted(target.double())
        ends = [terms[name].compare(at, generator(at), wanted) for at in (latent - step * way, latent + step * way)]
    at = latent.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(terms[name].compare(at, generator(at), wanted).sum(), at)
    assert torch.allclose((gradient * way).sum(1), (ends[1] - ends[0]) / (2 * step), rtol=1e-3, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**20), scale=st.floats(0.01, 1.0))
def test_a_picture_is_no_distance_from_itself_and_some_from_another(seed: int, scale: float) -> None:
    rng = torch.Generator().manual_seed(seed)
    one = torch.rand(2, *SMALL.view, generator=rng) * 2 - 1
    other = (one + scale * torch.randn(one.shape, generator=rng)).clamp(-1, 1)
    given = build_terms(dict.fromkeys(("pixel_mae", "pixel_mse", "structural"), 1.0), *networks(), format=SMALL)
    for term in given.values():
        wanted = term.wanted(one)
        assert term.compare(latents(2), one, wanted).abs().max() < 1e-5
        assert (term.compare(latents(2), other, wanted) > 0).all()


def test_terms_know_the_signals_that_they_are_of() -> None:
    both = set(terms_for("clip")) & set(terms_for("picture"))
    assert both == {"features", "mapper_features", "consistency"}
    assert set(terms_for("picture")) - both == {"pixel_mae", "pixel_mse", "structural", "perceptual"}
    assert set(terms_for("clip")) | set(terms_for("picture")) | {"prior"} == set(TERMS)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("terms")
    picture_models(Folder.at(str(found / "pictures")))
    shards = Folder.at(str(found / "clips/shards"))
    made_shards(shards, train=(6,), validation=0)
    tiny_models(shards, found / "clips")
    return found


def refusal(place: Path, name: str, *words: str) -> str:
    with pytest.raises(UserError) as caught:
        check_models(load(CATALOGUE, name, ["shards=a", "out=b", *(word.format(place) for word in words)]))
    assert "\n" not in str(caught.value)
    return str(caught.value)


MODELS = ("generator={}/pictures/generator", "mapper={}/pictures/mapper", "classifier={}/pictures/classifier")


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("gradient", MODELS[:1], "looks at clips, and the generator makes pictures; use `invertone infer gradient-pictures`"),
        ("hybrid", MODELS, "use `invertone infer hybrid-pictures`, or weights.log_magnitude=0 and weights of pixel_mae"),
        ("gradient-pictures", (MODELS[0], "weights.pixel_mae=0"), "every weight is 0.*such as weights.pixel_mse=1"),
        ("gradient-pictures", (MODELS[0], "weights.perceptual=1"), "weights.perceptual needs a classifier"),
        (
            "gradient-pictures",
            (MODELS[0], MODELS[2], "weights.perceptual=1", "perceptual_layers=[block35-2]"),
            "no layer 'block35-2'; choose of block35-1, block17-1, block8-1; did you mean 'block35-1'",
        ),
        ("gradient-pictures", ("generator={}/clips/wavegan",), "weights.pixel_mae looks at pictures, and the generator makes "
         "clips; use `invertone infer gradient`"),
        ("encoder", (MODELS[0], "mapper={}/clips/mapper"), "mapper is for 16,384 mono samples"),
    ],
)  # fmt: skip
def test_terms_and_models_of_the_other_signal_are_refused_in_one_line(
    name: str, words: tuple[str, ...], said: str, place: Path
) -> None:
    assert re.search(said, refusal(place, name, *words))


def test_only_a_recogniser_has_layers_for_the_perceptual_loss(place: Path) -> None:
    from invertone.infer.methods.layers import check_layers

    with pytest.raises(UserError, match="needs a recogniser, and classifier is a classifier checkpoint"):
        check_layers([], str(place / "clips/classifier"))
    check_layers(["block8-1"], str(place / "pictures/classifier"))
