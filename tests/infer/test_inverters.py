"""Inversion methods: they find latents, stay inside the prior, and treat every clip for itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from invertone.audio.clip import to_float
from invertone.audio.distances import spectrogram_mae
from invertone.audio.front_end import FrontEnd
from invertone.cluster.config.loading import load
from invertone.cluster.formats.signals import USUAL
from invertone.infer.config import CATALOGUE
from invertone.infer.methods.encoder import EncoderInverter
from invertone.infer.methods.gradient import GradientInverter, box, build_objective, build_solver, seed_of, start
from invertone.infer.methods.method import Inverter
from invertone.infer.methods.restyle import RestyleInverter
from invertone.infer.methods.tiled import Tiled
from invertone.models.networks.resnet import ResNet18
from invertone.models.networks.restyle import RestyleMapper
from invertone.models.networks.wavegan import WaveganGenerator
from invertone.models.prior import Prior
from tests.made import tone

KEYS = [f"clip/{number}" for number in range(64)]
TILE = 4


@pytest.fixture(scope="module")
def generator() -> WaveganGenerator:
    torch.manual_seed(1)
    return WaveganGenerator(2, latent_size=8).requires_grad_(False).eval()


@pytest.fixture(scope="module")
def mapper() -> ResNet18:
    torch.manual_seed(2)
    return ResNet18(8, width=4, front_end=FrontEnd(mels=32, hop_length=256)).requires_grad_(False).eval()


@pytest.fixture(scope="module")
def clips() -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(np.stack([to_float(tone(number % 3, rng)) for number in range(64)]))


@pytest.fixture(scope="module")
def near(generator: WaveganGenerator) -> torch.Tensor:
    """Clips that the generator can nearly make, from latents well inside the box: no search ends in a corner."""
    rng = torch.Generator().manual_seed(5)
    latent = torch.rand(5, 8, generator=rng) - 0.5
    return generator(latent) + 0.05 * torch.randn(5, USUAL.samples, generator=rng) * generator(latent).std()


def gradient(generator: Any, mapper: ResNet18 | None = None, **values: Any) -> GradientInverter:
    """A gradient inverter, hybrid if there is a mapper."""
    given = {"shards": "a", "generator": "b", "out": "c", "evaluations": 20, "starts": 1, "device": "cpu", **values}
    config = load(CATALOGUE, "gradient", [f"{key}={value}" for key, value in given.items()])
    cpu = torch.device("cpu")
    objective = build_objective(config, generator, mapper, None, cpu)
    return GradientInverter(
        generator, objective, build_solver(config, objective, TILE), TILE, box(generator.prior, config.clip_to), mapper,
        config.starts, config.seed,
    )  # fmt: skip


@pytest.mark.parametrize("method", ["encoder", "restyle", "gradient", "hybrid", "adam", "stochastic", "scipy"])
def test_a_clips_latent_does_not_depend_on_its_neighbours(
    method: str, generator: WaveganGenerator, mapper: ResNet18, clips: torch.Tensor
) -> None:
    """To the bit, alone or in any company, also after as many steps as make 1e-7 grow to 1e-1."""
    corrections = RestyleMapper(8, 4, FrontEnd(mels=32, hop_length=256)).requires_grad_(False).eval()
    nn.init.normal_(corrections.resnet.head.weight, std=0.2)
    adam = {"optimiser": "adam", "learning_rate": 0.1, "evaluations": 40}
    inverters: dict[str, Inverter] = {
        "encoder": Tiled(EncoderInverter(generator, mapper), TILE),
        "restyle": Tiled(RestyleInverter(generator, corrections, 3), TILE),
        "gradient": gradient(generator, evaluations=25, starts=2),
        "hybrid": gradient(generator, mapper, evaluations=25),
        "adam": gradient(generator, mapper, **adam),
        "stochastic": gradient(generator, mapper, clipping="stochastic", **adam),
        "scipy": gradient(generator, optimiser="scipy", evaluations=15),
    }
    inverter = inverters[method]
    together = inverter(clips[:7], KEYS[:7])
    for number in (0, 5, 6):
        alone = inverter(clips[number : number + 1], KEYS[number : number + 1])
        assert torch.equal(alone.latent[0], together.latent[number])
        assert torch.equal(alone.signal[0], together.signal[number])
        assert alone.evaluations[0] == together.evaluations[number]
        assert alone.stopped[0] == together.stopped[number]


def test_a_larger_budget_is_never_worse_and_the_box_is_kept(generator: WaveganGenerator, clips: torch.Tensor) -> None:
    for optimiser in ("lbfgs", "adam", "scipy"):
        losses = []
        for evaluations in (1, 6, 25):
            found = gradient(generator, optimiser=optimiser, evaluations=evaluations)(clips[:3], KEYS[:3])
            assert found.latent.abs().max() <= 1.0 and (found.evaluations <= evaluations).all()
            losses.append(found.loss)
        assert (losses[1] <= losses[0]).all() and (losses[2] <= losses[1]).all() and (losses[2] < losses[0]).all()


def test_the_loss_is_that_of_the_latent_it_comes_with(generator: WaveganGenerator, clips: torch.Tensor) -> None:
    weights = "{multi_resolution_stft: 0, log_magnitude: 2}"
    found = gradient(generator, weights=weights, evaluations=15)(clips[:4], KEYS[:4])
    measured = spectrogram_mae(clips[:4], generator(found.latent))
    assert torch.allclose(found.terms["log_magnitude"], measured, atol=1e-5) and found.terms.keys() == {"log_magnitude"}
    assert torch.allclose(found.loss.float(), 2 * measured, atol=1e-5)


def test_several_starts_keep_the_best(generator: WaveganGenerator, near: torch.Tensor) -> None:
    found = gradient(generator, starts=4, evaluations=10)(near, KEYS[:5])
    alone = gradient(generator, starts=1, evaluations=10)(near, KEYS[:5])
    assert (found.loss <= alone.loss).all() and (found.loss < alone.loss).any()
    assert (alone.evaluations <= 10).all() and (found.evaluations > 30).all() and (found.evaluations <= 40).all()


def test_synthesised_clips_are_recovered(generator: WaveganGenerator) -> None:
    latent = torch.rand(4, 8, generator=torch.Generator().manual_seed(3)) * 2 - 1
    target = generator(latent)
    found = gradient(generator, starts=4, evaluations=60)(target, KEYS[:4])
    residual = (target - found.signal).var(1) / target.var(1)
    assert (residual < 0.01).sum() >= 3
    assert ((found.latent - latent).abs().amax(1) < 0.1).sum() >= 3


def test_hybrid_starts_from_the_mapper(generator: WaveganGenerator, mapper: ResNet18, clips: torch.Tensor) -> None:
    encoded = Tiled(EncoderInverter(generator, mapper), TILE)(clips[:4], KEYS[:4])
    begun = gradient(generator, mapper, evaluations=1)(clips[:4], KEYS[:4])
    assert torch.equal(begun.latent, encoded.latent)


def test_trajectories_are_the_best_loss_so_far(generator: WaveganGenerator, near: torch.Tensor) -> None:
    for optimiser in ("lbfgs", "adam", "scipy"):
        plain = gradient(generator, optimiser=optimiser, starts=2)(near, KEYS[:5])
        traced = gradient(generator, optimiser=optimiser, starts=2, trajectory=True)(near, KEYS[:5])
        assert plain.trajectories is None and traced.trajectories is not None
        assert torch.equal(plain.latent, traced.latent)
        for losses, last in zip(traced.trajectories, traced.loss.tolist(), strict=True):
            assert (
                2 < len(losses) <= 20 and losses == sorted(losses, reverse=True) and losses[-1] == pytest.approx(last)
            )


@pytest.mark.parametrize("optimiser", ["lbfgs", "adam", "scipy"])
def test_an_early_stop_says_why(optimiser: str, generator: WaveganGenerator, near: torch.Tensor) -> None:
    def run(**values: Any) -> Any:
        return gradient(generator, optimiser=optimiser, evaluations=40, **values)(near, KEYS[:5])

    whole = run(trajectory=True)
    goal = sorted(whole.loss.tolist())[2] * 1.01
    aimed = run(**{"stop.target": goal})
    for loss, end, why, used in zip(whole.loss, aimed.loss, aimed.stopped, aimed.evaluations, strict=True):
        assert (why == "target" and end <= goal) or (why != "target" and (loss > goal or used == 40))
    assert aimed.stopped.count("target") >= 2
    patient = run(**{"stop.patience": 5, "stop.improvement": 0.05})
    assert "patience" in patient.stopped and (patient.evaluations < 40).any()
    hurried = run(**{"stop.seconds": 0.0})
    assert set(hurried.stopped) == {"seconds"} and (hurried.evaluations == 1).all()


def test_a_normal_prior_is_unbounded_and_penalised(generator: WaveganGenerator, clips: torch.Tensor) -> None:
    torch.manual_seed(1)
    normal = WaveganGenerator(2, latent_size=8).requires_grad_(False).eval()
    normal.prior = Prior("normal")
    free = gradient(normal, evaluations=40, **{"weights.prior": 0})(clips[:4], KEYS[:4])
    held = gradient(normal, evaluations=40, **{"weights.prior": 1.0})(clips[:4], KEYS[:4])
    assert free.latent.abs().max() > 1.0 and "prior" in held.terms and "prior" not in free.terms
    assert (held.latent.square().mean(1) < free.latent.square().mean(1)).all()
    assert torch.allclose(held.terms["prior"], held.latent.square().mean(1) / 2, atol=1e-5)


def test_a_clip_whose_loss_is_never_finite_ends_alone(generator: WaveganGenerator, clips: torch.Tensor) -> None:
    bad = clips[:5].clone()
    bad[2] = torch.nan
    for optimiser in ("lbfgs", "adam"):
        inverter = gradient(generator, optimiser=optimiser)
        found, clean = inverter(bad, KEYS[:5]), inverter(clips[:5], KEYS[:5])
        assert not torch.isfinite(found.loss[2]) and found.evaluations[2] == 1
        others = [0, 1, 3, 4]
        assert torch.equal(found.latent[others], clean.latent[others])


def test_a_start_depends_on_seed_key_and_number_alone(generator: WaveganGenerator) -> None:
    assert torch.equal(start(0, "a", generator), start(0, "a", generator))
    different = [(0, "a", 0), (1, "a", 0), (0, "b", 0), (0, "a", 1)]
    drawn = [start(seed, key, generator, number) for seed, key, number in different]
    assert all(not torch.equal(drawn[0], other) for other in drawn[1:])
    assert len({seed_of(*each) for each in different}) == 4


def test_a_latent_outside_the_box_is_only_kept_without_clipping(
    generator: WaveganGenerator, clips: torch.Tensor
) -> None:
    for clipping, inside in (("none", False), ("standard", True), ("stochastic", True)):
        inverter = gradient(generator, optimiser="adam", learning_rate=0.5, clipping=clipping)
        found = inverter(clips[:4], KEYS[:4])
        assert bool(found.latent.abs().max() <= 1.0) is inside, clipping
        assert found.signal.shape == (4, USUAL.samples)


def test_slots_do_not_change_results(generator: WaveganGenerator, clips: torch.Tensor) -> None:
    """Other shapes may round otherwise, so this is near, not equal: the search is the same."""
    inverter = gradient(generator, evaluations=6)
    wide = replace(inverter, solve=replace(inverter.solve, slots=7))  # type: ignore[type-var]
    assert torch.allclose(inverter(clips[:5], KEYS[:5]).latent, wide(clips[:5], KEYS[:5]).latent, atol=1e-3)


def unusual_mapper(scale: float) -> ResNet18:
    """A mapper whose latents are `scale` times as large as those of `mapper`."""
    torch.manual_seed(2)
    made = ResNet18(8, width=4, front_end=FrontEnd(mels=32, hop_length=256)).requires_grad_(False).eval()
    made.head.weight.mul_(scale)
    made.head.bias.mul_(scale)
    return made


def test_what_the_mapper_said_is_kept_beside_its_projection(generator: WaveganGenerator, clips: torch.Tensor) -> None:
    far = unusual_mapper(50.0)
    found = EncoderInverter(generator, far, unprojected=True)(clips[:4], KEYS[:4])
    plain = EncoderInverter(generator, far)(clips[:4], KEYS[:4])
    said = found.vectors["unprojected_latent"]
    assert torch.equal(said, far(clips[:4])) and said.abs().max() > 1.0
    assert torch.equal(found.latent, said.clamp(-1, 1)) and torch.equal(found.latent, plain.latent)
    assert torch.equal(found.signal, plain.signal) and not plain.vectors


@pytest.mark.parametrize("optimiser", ["lbfgs", "adam", "scipy"])
@pytest.mark.parametrize("kind", ["uniform", "normal"])
def test_a_bound_of_ones_own_holds_under_any_prior(
    optimiser: str, kind: str, clips: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    made = WaveganGenerator(2, latent_size=8).requires_grad_(False).eval()
    monkeypatch.setattr(made, "prior", Prior(kind))
    rate = {"learning_rate": 0.5} if optimiser == "adam" else {}
    for clipping in ("standard", "stochastic") if optimiser == "adam" else ("standard",):
        given = {"optimiser": optimiser, "evaluations": 5, "clipping": clipping, "weights.prior": 0, **rate}
        held = gradient(made, clip_to=0.25, **given)(clips[:4], KEYS[:4])
        assert held.latent.abs().max() <= 0.25, clipping
        free = gradient(made, clip_to=0, **given)(clips[:4], KEYS[:4])
        assert free.latent.abs().max() > 1.0, clipping
        if optimiser == "lbfgs":
            begun = gradient(made, unusual_mapper(50.0), clip_to=0, **given | {"evaluations": 1})(clips[:4], KEYS[:4])
            assert torch.allclose(begun.latent, unusual_mapper(50.0)(clips[:4]), atol=1e-5)


def test_stochastic_clipping_acts_under_a_normal_prior(clips: torch.Tensor) -> None:
    """The thesis draws latents from a normal distribution and keeps them in [-1, 1] (section 2.3.1)."""
    torch.manual_seed(1)
    made = WaveganGenerator(2, latent_size=8).requires_grad_(False).eval()
    made.prior = Prior("normal")
    given = {
        "optimiser": "adam",
        "learning_rate": 0.01,
        "clipping": "stochastic",
        "evaluations": 10,
        "weights.prior": 0,
    }
    assert max(float(start(0, key, made).abs().max()) for key in KEYS[:4]) > 1.0
    held = gradient(made, clip_to=1, **given)(clips[:4], KEYS[:4])
    assert held.latent.abs().max() <= 1.0
    assert gradient(made, **given)(clips[:4], KEYS[:4]).latent.abs().max() > 1.0
