"""Inversion methods: they find latents, stay inside the prior, and treat every clip for itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from audio.clip import to_float
from audio.front_end import FrontEnd
from infer.inverters import EncoderInverter, GradientInverter, Tiled, start
from models.resnet import ResNet18
from models.wavegan import WaveganGenerator
from tests.made import tone

KEYS = [f"clip/{number}" for number in range(64)]


@pytest.fixture(scope="module")
def generator() -> WaveganGenerator:
    torch.manual_seed(1)
    return WaveganGenerator(2, latent_size=10).requires_grad_(False).eval()


@pytest.fixture(scope="module")
def mapper() -> ResNet18:
    torch.manual_seed(2)
    return ResNet18(10, width=4, front_end=FrontEnd(mels=32, hop_length=256)).requires_grad_(False).eval()


@pytest.fixture(scope="module")
def clips() -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(np.stack([to_float(tone(number % 3, rng)) for number in range(64)]))


@pytest.mark.parametrize("method", ["encoder", "gradient", "hybrid"])
def test_a_clips_latent_does_not_depend_on_its_neighbours(
    method: str, generator: WaveganGenerator, mapper: ResNet18, clips: torch.Tensor
) -> None:
    """To the bit, alone or in any company, also after as many steps as make 1e-7 grow to 1e-1."""
    whole = (
        EncoderInverter(generator, mapper)
        if method == "encoder"
        else GradientInverter(generator, mapper if method == "hybrid" else None, 60, 0.1, seed=0)
    )
    inverter = Tiled(whole, 8)
    together = inverter(clips[:21], KEYS[:21])
    for number in (0, 11, 20):
        alone = inverter(clips[number : number + 1], KEYS[number : number + 1])
        assert torch.equal(alone.latent[0], together.latent[number]), method
        assert torch.equal(alone.waveform[0], together.waveform[number]), method


def test_gradient_steps_lower_the_distance_and_never_leave_the_box(
    generator: WaveganGenerator, clips: torch.Tensor
) -> None:
    losses = []
    for steps in (1, 10, 40):
        inversion = GradientInverter(generator, None, steps, 0.1, seed=0)(clips[:4], KEYS[:4])
        assert inversion.latent.abs().max() <= 1.0 and inversion.steps.tolist() == [steps] * 4
        losses.append(inversion.loss)
    assert (losses[1] <= losses[0]).all() and (losses[2] <= losses[1]).all() and (losses[2] < losses[0]).all()


def test_the_loss_is_that_of_the_latent_it_comes_with(generator: WaveganGenerator, clips: torch.Tensor) -> None:
    found = GradientInverter(generator, None, 15, 0.1, seed=0)(clips[:4], KEYS[:4])
    from audio.distances import spectrogram_mae

    assert torch.allclose(found.loss, spectrogram_mae(clips[:4], generator(found.latent)), atol=1e-5)


def test_a_synthesised_clip_is_nearly_recovered(generator: WaveganGenerator) -> None:
    latent = torch.rand(4, 10, generator=torch.Generator().manual_seed(3)) * 2 - 1
    target = generator(latent)
    found = GradientInverter(generator, None, 150, 0.05, seed=0)(target, KEYS[:4])
    begun = GradientInverter(generator, None, 1, 1e-6, seed=0)(target, KEYS[:4])
    assert found.loss.median() < 0.35 * begun.loss.median()


def test_hybrid_starts_from_the_mapper(generator: WaveganGenerator, mapper: ResNet18, clips: torch.Tensor) -> None:
    encoded = EncoderInverter(generator, mapper)(clips[:4], KEYS[:4])
    hybrid = GradientInverter(generator, mapper, 5, 0.05, seed=0)(clips[:4], KEYS[:4])
    assert (hybrid.loss <= encoded.loss + 1e-6).all() and (hybrid.latent - encoded.latent).abs().max() <= 5 * 0.051


def test_a_start_depends_on_seed_and_key_alone(generator: WaveganGenerator) -> None:
    assert torch.equal(start(0, "a", generator), start(0, "a", generator))
    assert not torch.equal(start(0, "a", generator), start(1, "a", generator))
    assert not torch.equal(start(0, "a", generator), start(0, "b", generator))
