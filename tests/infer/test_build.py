"""From a config to an inverter: optimisers by name, the prior's box, precision."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from invertone.cluster.config.loading import load
from invertone.cluster.errors import UserError
from invertone.infer.build import build_inverter, method_of
from invertone.infer.config import CATALOGUE
from invertone.infer.methods.gradient import GradientInverter, box, build_objective, build_solver
from invertone.infer.schemas.gradient import GradientConfig
from invertone.infer.solvers.adam import BatchedAdam
from invertone.infer.solvers.lbfgs import BatchedLbfgs
from invertone.infer.solvers.scipy_solver import ScipySolver
from invertone.infer.solvers.solve import Solver
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


def test_terms_are_those_with_a_weight_and_the_prior_only_where_it_is_normal() -> None:
    weighted = config(**{"weights.waveform": 2, "weights.prior": 0.1})
    assert method_of(weighted).terms(weighted, Prior("uniform")) == ["waveform", "multi_resolution_stft"]
    assert method_of(weighted).terms(weighted, Prior("normal")) == ["waveform", "multi_resolution_stft", "prior"]
    encoder = load(CATALOGUE, "encoder", ["shards=a", "generator=b", "out=c", "mapper=d"])
    assert method_of(encoder).terms(encoder, Prior()) == ["log_magnitude"]


@pytest.mark.parametrize(
    ("name", "terms", "evaluations", "iterations"),
    [
        ("gradient-published", {"spectrogram", "waveform", "features"}, 15_000, 50_000),
        ("gradient-scipy", {"spectrogram", "waveform", "features"}, 15_000, 50_000),
        ("hybrid-published", {"spectrogram", "waveform", "features"}, 15_000, 200),
    ],
)
def test_published_settings(name: str, terms: set[str], evaluations: int, iterations: int) -> None:
    published = config(name)
    assert (
        set(method_of(published).terms(published, Prior())) == terms
        and published.feature_loss == "mae"
        and published.starts == 1
    )
    assert (published.evaluations, published.iterations) == (evaluations, iterations)
    assert (published.weights.features, published.weights.waveform, published.weights.spectrogram) == (0.002, 1.0, 1.0)


def test_optimisers_by_name(generator: WaveganGenerator) -> None:
    for name, optimiser in (("gradient", BatchedLbfgs), ("gradient-adam", BatchedAdam)):
        chosen = config(name)
        solver = build_solver(chosen, build_objective(chosen, generator, None, None, CPU), 4)
        assert isinstance(solver, Solver)
        minimiser = solver.make(torch.zeros(4, 8, dtype=torch.float64), torch.zeros(4, dtype=torch.int64))
        assert isinstance(minimiser, optimiser)
    stochastic = config("gradient-stochastic")
    assert (stochastic.optimiser, stochastic.clipping, stochastic.learning_rate) == ("adam", "stochastic", 0.01)
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
