"""The named terms of inversion, against their definitions written out in NumPy, and their gradient."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.signal import stft

from invertone.audio.clip import to_float
from invertone.audio.distances import (
    LOG_FLOOR,
    RESOLUTIONS,
    mels,
    multi_scale_mel,
    spectrogram_mae,
    spectrogram_mse,
)
from invertone.audio.front_end import FrontEnd
from invertone.cluster.formats.signals import ClipFormat
from invertone.infer.solvers.losses import LatentObjective, build_terms
from invertone.models.networks.features import feature_distance
from invertone.models.networks.resnet import ResNet18
from invertone.models.networks.wavegan import WaveganGenerator
from invertone.models.prior import Prior
from tests.made import tone

ALL = {
    "waveform": 1.0,
    "spectrogram": 2.0,
    "real_stft": 3.0,
    "log_magnitude": 4.0,
    "log_magnitude_squared": 4.5,
    "multi_resolution_stft": 5.0,
    "multi_scale_mel": 5.5,
    "features": 6.0,
    "mapper_features": 6.5,
    "consistency": 7.0,
    "prior": 8.0,
}


@pytest.fixture(scope="module")
def objective() -> LatentObjective:
    torch.manual_seed(1)
    generator = WaveganGenerator(2, latent_size=10).requires_grad_(False).eval()
    generator.prior = Prior("normal")
    front_end = FrontEnd(mels=32, hop_length=256)
    mapper, classifier = (ResNet18(out, 4, front_end).requires_grad_(False).eval() for out in (10, 3))
    return LatentObjective(generator, build_terms(ALL, generator, mapper, classifier, "mae"), ALL)


@pytest.fixture(scope="module")
def target() -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(np.stack([to_float(tone(number % 3, rng)) for number in range(3)]))


def spectrum(waveform: torch.Tensor, size: int, hop: int) -> np.ndarray:
    """SciPy's STFT: zeros outside, frames centred at multiples of the hop, a full-scale sine reads 1."""
    _, _, found = stft(
        waveform.double().numpy(), window="hann", nperseg=size, noverlap=size - hop, boundary="zeros", padded=True
    )
    return found[..., : waveform.shape[1] // hop] * 2


def test_every_term_is_its_definition(objective: LatentObjective, target: torch.Tensor) -> None:
    latent = torch.rand(3, 10, generator=torch.Generator().manual_seed(2)) * 2 - 1
    made = objective.generator(latent)
    found = objective.evaluate(latent, objective.wanted(target))
    terms = {name: found.terms[:, at].double().numpy() for at, name in enumerate(objective.names)}

    def mae(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.abs(a - b).reshape(len(a), -1).mean(1)

    want, have = spectrum(target, 256, 128), spectrum(made, 256, 128)
    assert terms["waveform"] == pytest.approx((target - made).abs().mean(1).double().numpy(), rel=1e-5)
    assert terms["spectrogram"] == pytest.approx(mae(np.abs(want), np.abs(have)), rel=1e-4)
    assert terms["log_magnitude"] == pytest.approx(spectrogram_mae(target, made).double().numpy(), rel=1e-5)
    assert terms["log_magnitude_squared"] == pytest.approx(spectrogram_mse(target, made).double().numpy(), rel=1e-5)
    total = np.zeros(3)
    for size, hop in RESOLUTIONS:
        a, b = (np.abs(spectrum(each, size, hop)) for each in (target, made))
        convergence = np.sqrt(((a - b) ** 2).sum((1, 2)) / (a**2).sum((1, 2)))
        total += convergence + mae(np.log(a + LOG_FLOOR), np.log(b + LOG_FLOOR))
    assert terms["multi_resolution_stft"] == pytest.approx(total / 3, rel=1e-3)
    mel = multi_scale_mel(mels(target, 16_000), mels(made, 16_000))
    assert terms["multi_scale_mel"] == pytest.approx(mel.double().numpy(), rel=1e-5)
    classifier = objective.terms["features"].classifier  # type: ignore[attr-defined]
    pair = [classifier.with_features(each)[1] for each in (target, made)]
    assert terms["features"] == pytest.approx(feature_distance(*pair, "mae").double().numpy(), rel=1e-4)
    mapper = objective.terms["consistency"].mapper  # type: ignore[attr-defined]
    pair = [mapper.with_features(each)[1] for each in (target, made)]
    assert terms["mapper_features"] == pytest.approx(feature_distance(*pair, "mae").double().numpy(), rel=1e-4)
    assert terms["consistency"] == pytest.approx((latent - mapper(made)).square().mean(1).double().numpy(), rel=1e-4)
    assert terms["prior"] == pytest.approx(latent.square().mean(1).double().numpy() / 2, rel=1e-5)
    weighted = sum(ALL[name] * values for name, values in terms.items())
    assert found.value.double().numpy() == pytest.approx(weighted, rel=1e-5)


def test_the_real_part_is_torchs(objective: LatentObjective, target: torch.Tensor) -> None:
    """As the published code: the STFT cast to real numbers. Scaled so that a full-scale sine reads 1."""
    window = torch.hann_window(256)
    whole = torch.stft(target, 256, 128, window=window, center=True, pad_mode="constant", return_complex=True)
    (found,) = objective.terms["real_stft"].wanted(target)
    assert torch.allclose(found, whole.real / 64, atol=1e-6)


def test_the_gradient_is_that_of_the_value(objective: LatentObjective, target: torch.Tensor) -> None:
    """Along random directions, by central differences."""
    generator = torch.Generator().manual_seed(3)
    latent = torch.rand(3, 10, generator=generator, dtype=torch.float64) * 1.6 - 0.8
    wanted = objective.wanted(target)
    found = objective.evaluate(latent, wanted)
    assert found.gradient.shape == (3, 10) and torch.isfinite(found.gradient).all()
    agree = 0
    for _ in range(4):
        direction = torch.randn(3, 10, generator=generator, dtype=torch.float64)
        direction = direction / direction.norm(dim=1, keepdim=True)
        step = 5e-3
        ends = [objective.evaluate(latent + sign * step * direction, wanted).value.double() for sign in (1, -1)]
        numeric, exact = (ends[0] - ends[1]) / (2 * step), (found.gradient.double() * direction).sum(1)
        agree += int((torch.isclose(numeric, exact, rtol=0.1, atol=0.02)).sum())
    assert agree >= 10, "of 12; the clamps of logarithms make kinks"


def test_at_the_target_itself_nothing_is_left_and_the_gradient_is_finite(objective: LatentObjective) -> None:
    latent = torch.rand(2, 10, generator=torch.Generator().manual_seed(4)) * 2 - 1
    target = objective.generator(latent)
    weights = {"multi_resolution_stft": 1.0, "log_magnitude": 1.0, "spectrogram": 1.0, "waveform": 1.0}
    exact = LatentObjective(objective.generator, build_terms(weights, objective.generator, None, None), weights)
    found = exact.evaluate(latent, exact.wanted(target))
    assert found.value.abs().max() < 1e-4 and torch.isfinite(found.gradient).all()


def test_silence_can_be_aimed_at(objective: LatentObjective) -> None:
    found = objective.evaluate(torch.zeros(1, 10), objective.wanted(torch.zeros(1, 16_384)))
    assert math.isfinite(float(found.value)) and torch.isfinite(found.gradient).all()


def test_mel_bands_are_those_of_the_clips_rate(objective: LatentObjective, target: torch.Tensor) -> None:
    weights, latent = {"multi_scale_mel": 1.0}, torch.zeros(3, 10)
    made = objective.generator(latent)
    for rate in (16_000, 44_100):
        terms = build_terms(weights, objective.generator, None, None, format=ClipFormat(rate))
        found = LatentObjective(objective.generator, terms, weights)
        expected = multi_scale_mel(mels(target, rate), mels(made, rate))
        assert torch.allclose(found.evaluate(latent, found.wanted(target)).value, expected, rtol=1e-5)


def test_no_evaluation_waits_for_the_device() -> None:
    """Tensors without data cannot be looked at: what runs on them never asks what they hold."""
    meta = torch.device("meta")
    generator = WaveganGenerator(2, latent_size=8).to(meta)
    front_end = FrontEnd(mels=32, hop_length=256)
    mapper, classifier = (ResNet18(out, 4, front_end).eval().to(meta) for out in (8, 3))
    objective = LatentObjective(generator, build_terms(ALL, generator, mapper, classifier), ALL)
    found = objective.evaluate(torch.empty(4, 8, device=meta), objective.wanted(torch.empty(4, 16_384, device=meta)))
    assert found.value.shape == (4,) and found.gradient.shape == (4, 8) and found.terms.shape == (4, len(ALL))
