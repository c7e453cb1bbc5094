"""From a config to an inverter: optimisers by name, the prior's box, precision."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from invertone.cluster.config.loading import load
from invertone.cluster.errors import UserError
from invertone.cluster.formats.signals import USUAL
from invertone.infer.build import build_inverter, method_of
from invertone.infer.config import CATALOGUE
from invertone.infer.methods.gradient import GradientInverter, box, build_objective, build_solver
from invertone.infer.schemas.gradient import GradientConfig
from invertone.infer.solvers.adam import BatchedAdam
from invertone.infer.solvers.lbfgs import BatchedLbfgs
from invertone.infer.solvers.scipy_solver import ScipySolver
from invertone.infer.solvers.solve import Solver
from invertone.models.generator import Traits
from invertone.models.networks.wavegan import WaveganGenerator
from invertone.models.prior import Prior

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def generator() -> WaveganGenerator:
    torch.manual_seed(1)
    return WaveganGenerator(2, latent_size=8).requires_grad_(False).eval()


def config(name: str = "gradient", **values: Any) -> GradientConfig:
    given = {"shards": "a", "generator": "b", "out": "c", "classifier": "d", "mapper": "e", **values}
    return load(CATALOGUE, name, [f"{key}={value}" for key, value in given.items()])


def test_the_prior_is_the_box() -> None:
    assert box(Prior("uniform")) == (-1.0, 1.0) and box(Prior("normal")) == (-math.inf, math.inf)


@pytest.mark.parametrize("kind", ["uniform", "normal"])
def test_a_bound_that_is_given_is_the_box_under_any_prior(kind: str) -> None:
    assert box(Prior(kind), 0.5) == (-0.5, 0.5) and box(Prior(kind), 2.0) == (-2.0, 2.0)
    assert box(Prior(kind), 0.0) == (-math.inf, math.inf)


def test_terms_are_those_with_a_weight_and_the_prior_only_where_it_is_normal() -> None:
    weighted = config(**{"weights.waveform": 2, "weights.prior": 0.1})
    assert method_of(weighted).terms(weighted, Prior("uniform"), USUAL) == ["waveform", "multi_resolution_stft"]
    assert method_of(weighted).terms(weighted, Prior("normal"), USUAL) == ["waveform", "multi_resolution_stft", "prior"]
    encoder = load(CATALOGUE, "encoder", ["shards=a", "generator=b", "out=c", "mapper=d"])
    assert method_of(encoder).terms(encoder, Prior(), USUAL) == ["log_magnitude"]


UNSCALED = 256 * 0.5 / 2
"""What makes of our STFT, in which a full-scale sine reads 1, the one that libraries give: the window's sum over 2."""
CODE = {"real_stft": UNSCALED, "waveform": 1.0, "features": 0.002}


@pytest.mark.parametrize(
    ("name", "weights", "iterations", "clip_to"),
    [
        ("gradient-text", {"spectrogram": UNSCALED}, 50_000, 0),
        ("gradient-code", CODE, 50_000, None),
        ("hybrid-text", {"spectrogram": UNSCALED}, 200, 0),
        ("hybrid-code", CODE, 200, None),
    ],
)
@pytest.mark.parametrize("prior", ["uniform", "normal"])
def test_what_the_papers_write_and_what_their_authors_programmed(
    name: str, weights: dict[str, float], iterations: int, clip_to: float | None, prior: str
) -> None:
    """Equation 1 is a spectrogram's mean absolute error alone, and its L-BFGS knows no bounds."""
    given = config(name)
    terms = method_of(given).terms(given, Prior(prior), USUAL)
    assert {term: getattr(given.weights, term) for term in terms} == weights
    assert (given.optimiser, given.starts, given.iterations, given.clip_to) == ("scipy", 1, iterations, clip_to)
    if name.endswith("code"):
        assert given.evaluations == 15_000 and given.feature_loss == "mae"
    else:
        assert given.evaluations > 10 * iterations, "steps are counted, not evaluations"


@pytest.mark.parametrize("name", ["gradient-text", "hybrid-text"])
def test_the_text_needs_no_classifier_and_may_be_done_for_many_at_once(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("invertone.infer.methods.gradient.traits", lambda uri: Traits("wavegan"))
    method_of(config(name)).check(config(name, classifier="null"))
    with pytest.raises(UserError, match="needs a classifier"):
        method_of(config(name)).check(config(name.replace("text", "code"), classifier="null"))
    assert config(name, optimiser="lbfgs").optimiser == "lbfgs"


@pytest.mark.parametrize(
    ("old", "now"),
    [
        ("gradient-published", "gradient-text .* or gradient-code"),
        ("gradient-scipy", "gradient-text .* or gradient-code"),
        ("hybrid-published", "hybrid-text .* or hybrid-code"),
    ],
)
def test_a_name_of_an_older_version_says_the_new_ones(old: str, now: str) -> None:
    with pytest.raises(UserError, match=f"{old} is now {now}") as caught:
        config(old)
    assert caught.value.exit_code == 2


def test_optimisers_by_name(generator: WaveganGenerator) -> None:
    for name, optimiser in (("gradient", BatchedLbfgs), ("gradient-adam", BatchedAdam)):
        chosen = config(name)
        solver = build_solver(chosen, build_objective(chosen, generator, None, None, CPU), 4)
        assert isinstance(solver, Solver)
        minimiser = solver.make(torch.zeros(4, 8, dtype=torch.float64), torch.zeros(4, dtype=torch.int64))
        assert isinstance(minimiser, optimiser)
    stochastic = config("gradient-stochastic")
    assert (stochastic.optimiser, stochastic.clipping, stochastic.learning_rate) == ("adam", "stochastic", 0.01)
    assert box(Prior("normal"), stochastic.clip_to) == (-1.0, 1.0)
    scipy = config(optimiser="scipy")
    assert isinstance(build_solver(scipy, build_objective(scipy, generator, None, None, CPU), 4), ScipySolver)


def test_a_mapper_for_consistency_alone_gives_no_start(
    generator: WaveganGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    from invertone.infer.methods import gradient
    from invertone.models.networks.resnet import ResNet18

    mapper, classifier = ResNet18(8, width=4), ResNet18(10, width=4)
    monkeypatch.setattr(gradient, "load_mapper", lambda uri, device: (mapper, None))
    for name, first in (("gradient", None), ("hybrid", mapper)):
        inverter = build_inverter(config(name, **{"weights.consistency": 1}), generator, classifier, CPU)
        assert isinstance(inverter, GradientInverter) and inverter.mapper is first
        assert "consistency" in inverter.objective.names


def test_bf16_is_near_and_tf32_is_for_gpus(generator: WaveganGenerator) -> None:
    target = generator(torch.rand(2, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1)
    latent = torch.rand(2, 8, generator=torch.Generator().manual_seed(1)) - 0.5
    values = {}
    for precision in ("float32", "bf16"):
        objective = build_objective(config(precision=precision), generator, None, None, CPU)
        values[precision] = objective.evaluate(latent, objective.wanted(target))
    exact, rough = values["float32"], values["bf16"]
    assert torch.allclose(exact.value, rough.value, rtol=0.03) and not torch.equal(exact.value, rough.value)
    assert torch.nn.functional.cosine_similarity(exact.gradient, rough.gradient).min() > 0.98
    with pytest.raises(UserError, match="tf32 exists on GPUs only"):
        build_objective(config(precision="tf32"), generator, None, None, CPU)
