"""Distances against scikit-image, torchmetrics and numbers one can work out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity
from torchaudio.functional import melscale_fbanks
from torchmetrics.functional.image import structural_similarity_index_measure

from invertone.audio.distances import (
    AUDIBLE,
    LOG_FLOOR,
    MEASURE,
    SPECTRAL_LOSSES,
    mels,
    multi_scale_mel,
    spectrogram_mae,
    spectrogram_ssim,
    waveform_mse,
)
from invertone.audio.front_end import log_magnitude
from invertone.images.structural import ssim
from tests.sounds import noise, speechlike, tone

N = 16_384


def batch(*waves: np.ndarray) -> torch.Tensor:
    return torch.tensor(np.stack([wave[:N] for wave in waves]), dtype=torch.float32)


A = batch(speechlike(1.1, 1), speechlike(1.1, 2), tone(1.1, 500), np.zeros(N))
B = batch(speechlike(1.1, 3), speechlike(1.1, 2) + noise(1.1, 0.01), tone(1.1, 520), noise(1.1, 0.1))


def images() -> tuple[torch.Tensor, torch.Tensor]:
    return log_magnitude(A, MEASURE).double(), log_magnitude(B, MEASURE).double()


def test_ssim_equals_scikit_image() -> None:
    a, b = images()
    found = ssim(a, b, data_range=2.0)
    for one, x, y in zip(found, a.numpy(), b.numpy(), strict=True):
        _, score = structural_similarity(
            x, y, data_range=2.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
        )
        assert one.item() == pytest.approx(score[5:-5, 5:-5].mean(), abs=1e-9)


def test_ssim_equals_torchmetrics() -> None:
    a, b = images()
    _, full = structural_similarity_index_measure(
        a[:, None], b[:, None], data_range=2.0, reduction="none", sigma=1.5, return_full_image=True
    )
    expected = full[..., 5:-5, 5:-5].mean((1, 2, 3))  # its own mean includes a mirrored border
    assert ssim(a, b, data_range=2.0).numpy() == pytest.approx(expected.numpy(), abs=1e-9)


def test_ssim_in_single_precision_agrees_with_double() -> None:
    a, b = images()
    assert ssim(a.float(), b.float(), 2.0).numpy() == pytest.approx(ssim(a, b, 2.0).numpy(), abs=1e-4)


@pytest.mark.parametrize("distance", [waveform_mse, spectrogram_mae])
def test_a_clip_is_at_no_distance_from_itself(distance: type) -> None:
    assert torch.equal(distance(A, A), torch.zeros(len(A)))


def test_a_clip_is_wholly_similar_to_itself() -> None:
    assert spectrogram_ssim(A, A).numpy() == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("distance", [waveform_mse, spectrogram_mae, spectrogram_ssim])
def test_distances_are_symmetric_and_one_number_per_clip(distance: type) -> None:
    assert distance(A, B).shape == (4,)
    assert torch.allclose(distance(A, B), distance(B, A), atol=1e-6)
    alone = torch.cat([distance(a[None], b[None]) for a, b in zip(A, B, strict=True)])
    assert torch.allclose(distance(A, B), alone, atol=1e-5)


def test_waveform_mse_is_the_mean_square() -> None:
    assert waveform_mse(torch.tensor([[0.5, -0.5], [0.0, 1.0]]), torch.zeros(2, 2)).tolist() == [0.25, 0.5]


def test_half_the_level_is_6_db_of_spectrogram_mae() -> None:
    loud = batch(noise(1.1, 0.2))
    assert spectrogram_mae(loud, loud / 2).item() == pytest.approx(math.log(2) / 5, rel=0.01)


def test_more_noise_is_less_similar() -> None:
    clean = batch(speechlike(1.1, 4))
    scores = [spectrogram_ssim(clean, clean + batch(noise(1.1, level))).item() for level in (0.001, 0.01, 0.1)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > scores[-1] + 0.1


def test_gradients_of_every_distance_are_finite_between_silence_and_sound() -> None:
    for distance in (waveform_mse, spectrogram_mae, spectrogram_ssim):
        a = A.clone().requires_grad_()
        distance(a, B).sum().backward()
        assert a.grad is not None
        assert torch.isfinite(a.grad).all()


def mel(a: torch.Tensor, b: torch.Tensor, rate: int = 16_000) -> torch.Tensor:
    return multi_scale_mel(mels(a, rate), mels(b, rate))


def test_multi_scale_mel_is_its_definition() -> None:
    """By torch's own STFT, amplitude 1 for a full-scale sine, and torchaudio's bank of triangles."""
    total = torch.zeros(len(A), dtype=torch.float64)
    for n_fft, bands in ((256, 20), (512, 40), (1024, 80)):
        bank = melscale_fbanks(n_fft // 2 + 1, 40.0, 7_800.0, bands, 16_000, norm=None, mel_scale="htk").double()
        hop, window = n_fft // 4, torch.hann_window(n_fft, dtype=torch.float64)
        seen = []
        for each in (A, B):
            spectrum = torch.stft(each.double(), n_fft, hop, window=window, pad_mode="constant", return_complex=True)
            seen.append(torch.einsum("bft,fm->bmt", spectrum.abs()[..., : N // hop] * 4 / n_fft, bank))
        floor = AUDIBLE * seen[0].amax((1, 2), keepdim=True).clamp_min(LOG_FLOOR)
        total += ((seen[0] + floor).log() - (seen[1] + floor).log()).abs().mean((1, 2))
    assert mel(A, B).double().numpy() == pytest.approx((total / 3).numpy(), rel=1e-4)


def test_multi_scale_mel_follows_the_clips_level_and_is_deaf_to_what_lies_60_db_below_it() -> None:
    loud = batch(noise(1.1, 0.2))
    for level in (1.0, 0.01):
        assert mel(level * loud, level * loud / 2).item() == pytest.approx(math.log(2), rel=0.05)
    speech = batch(speechlike(1.1, 4))
    faint = batch(noise(1.1, 1e-5, seed=3))
    assert mel(speech, speech + faint).item() < 0.02


@settings(max_examples=10)
@given(
    st.sampled_from([8_000, 16_000, 22_050, 44_100]),
    st.integers(1, 2),
    st.integers(2_000, 5_000),
    st.integers(0, 2**31),
)
def test_spectral_losses_take_clips_of_any_rate_length_and_channels(
    rate: int, channels: int, samples: int, seed: int
) -> None:
    """One number per clip, next to none from a clip to itself; of two equal channels that of one; finite from silence too."""
    rng = torch.Generator().manual_seed(seed)
    a, b = (0.1 * torch.randn(3, samples, generator=rng) for _ in range(2))
    a[2] = 0.0
    b[1] = 0.0
    if channels == 2:
        a, b = torch.stack([a, a], 1), torch.stack([b, b], 1)
    for name, loss in SPECTRAL_LOSSES.items():
        b.requires_grad_()
        found = loss.compare(loss.view(a, rate), loss.view(b, rate))
        (gradient,) = torch.autograd.grad(found.sum(), b)
        assert found.shape == (3,) and torch.isfinite(found).all() and torch.isfinite(gradient).all(), name
        itself = loss.compare(loss.view(a, rate), loss.view(a, rate))
        assert (found > 0.01).all() and (itself <= 1e-3).all(), name  # 1e-3: a norm that has a gradient at zero
        if channels == 2:
            alone = loss.compare(loss.view(a[:, 0], rate), loss.view(b[:, 0].detach(), rate))
            assert torch.allclose(found[:2], alone[:2], rtol=1e-4), name  # silence counts as loud as QUIETEST
