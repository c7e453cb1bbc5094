"""The front end against a second, independent computation in numpy; its gradients; its scale."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.signal
import torch

from invertone.audio.front_end import WINDOWS, FrontEnd, log_magnitude, magnitude
from tests.sounds import noise, speechlike, tone

N = 16_384
CLIP, FULL_SCALE = FrontEnd(), FrontEnd(reference="full_scale")


def batch(*waves: np.ndarray, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.tensor(np.stack([wave[:N] for wave in waves]), dtype=dtype)


def sounds() -> torch.Tensor:
    return batch(speechlike(1.1, 1), noise(1.1, 0.1), tone(1.1, 1_000, 0.9))


def oracle_magnitude(wave: np.ndarray, n_fft: int, hop: int, name: str = "hann") -> np.ndarray:
    """Frame by frame with scipy's window and numpy's FFT: [n_fft / 2 + 1, n / hop]."""
    window = scipy.signal.get_window(name, n_fft, fftbins=True)
    padded = np.pad(wave, n_fft // 2)
    frames = [padded[at * hop : at * hop + n_fft] * window for at in range(len(wave) // hop)]
    return np.abs(np.fft.rfft(frames, axis=1)).T / (window.sum() / 2)


def oracle(wave: np.ndarray, front_end: FrontEnd) -> np.ndarray:
    """TiFGAN's procedure as written in its section on spectrograms: log, relative to the largest, clipped, scaled."""
    linear = oracle_magnitude(wave, front_end.n_fft, front_end.hop_length, front_end.window)[:-1]
    if front_end.reference == "clip":
        linear = linear / linear.max()
    mean, deviation = front_end.mean, front_end.deviation
    with np.errstate(divide="ignore"):
        standard = np.clip((np.log(linear) - mean) / deviation, -front_end.dynamic_range, -mean / deviation)
    lowest, highest = -front_end.dynamic_range, -mean / deviation
    return 2 * (standard - lowest) / (highest - lowest) - 1


@pytest.mark.parametrize("window", list(WINDOWS))
@pytest.mark.parametrize(("n_fft", "hop"), [(512, 128), (1_024, 256), (256, 64)])
def test_magnitudes_equal_an_independent_stft(n_fft: int, hop: int, window: str) -> None:
    waves = sounds()
    found = magnitude(waves, n_fft, hop, window).numpy()
    for one, wave in zip(found, waves.numpy(), strict=True):
        assert np.abs(one - oracle_magnitude(wave, n_fft, hop, window)).max() < 1e-12


def test_magnitudes_equal_scipy_s_own_stft() -> None:
    wave = sounds()[0].numpy()
    window = scipy.signal.get_window("hann", 512, fftbins=True)
    stft = scipy.signal.ShortTimeFFT(window, 128, 16_000, fft_mode="onesided", phase_shift=None)
    expected = np.abs(stft.stft(wave, p0=0, p1=128)) / 128
    assert np.abs(magnitude(sounds()[:1], 512, 128)[0].numpy() - expected).max() < 1e-12


@pytest.mark.parametrize(
    "front_end",
    [
        CLIP,
        FULL_SCALE,
        FrontEnd(1_024, 256, 8.0),
        FrontEnd(window="hamming"),
        FrontEnd(dynamic_range=1.5, window="hamming", mean=-6.5, deviation=2.5),
    ],
    ids=["clip", "full scale", "long", "hamming", "standardised"],
)
def test_log_magnitudes_equal_the_procedure_written_down_again(front_end: FrontEnd) -> None:
    waves = sounds()
    found = log_magnitude(waves, front_end).numpy()
    for one, wave in zip(found, waves.numpy(), strict=True):
        assert np.abs(one - oracle(wave, front_end)).max() < 1e-9


def test_a_clip_gives_256_rows_and_128_frames() -> None:
    assert log_magnitude(sounds(), CLIP).shape == (3, 256, 128)
    assert log_magnitude(sounds(), FrontEnd(mels=80)).shape == (3, 80, 128)
    assert (CLIP.rows(), FrontEnd(mels=80).rows()) == (256, 80)


def test_values_fill_minus_one_to_one() -> None:
    found = log_magnitude(sounds().float(), CLIP)
    assert torch.equal(found.flatten(1).amax(1), torch.ones(3))
    assert found.min() == -1


@pytest.mark.parametrize("front_end", [CLIP, FULL_SCALE, FrontEnd(mels=80)], ids=["clip", "full scale", "mels"])
def test_silence_is_minus_one_everywhere(front_end: FrontEnd) -> None:
    assert (log_magnitude(torch.zeros(2, N), front_end) == -1).all()


def test_standardised_by_deviations_of_speech_ten_of_them_reach_below_everything() -> None:
    """Why standardising is off: with the paper's -10 nothing is clipped, which is what the -10 was for."""
    logarithm = log_magnitude(sounds()[:1], FrontEnd(dynamic_range=30.0)) * 15 - 15
    mean, deviation = float(logarithm.mean()), float(logarithm.std())
    read = log_magnitude(sounds()[:1], FrontEnd(mean=mean, deviation=deviation))
    assert (read > -1).all() and (log_magnitude(sounds()[:1], CLIP) == -1).any()
    shallow = FrontEnd(dynamic_range=(10 + mean) / deviation, mean=mean, deviation=deviation)
    assert torch.allclose(log_magnitude(sounds(), shallow), log_magnitude(sounds(), CLIP), atol=1e-9)


def test_levels_do_not_matter_relative_to_the_clip_and_do_relative_to_full_scale() -> None:
    waves = sounds().float()
    for gain in (1e-4, 0.3, 0.999):
        assert torch.allclose(log_magnitude(gain * waves, CLIP), log_magnitude(waves, CLIP), atol=2e-3)
    softer = log_magnitude(0.5 * waves, FULL_SCALE) - log_magnitude(waves, FULL_SCALE)
    loud = log_magnitude(waves, FULL_SCALE) > -0.8
    assert torch.allclose(softer[loud], torch.tensor(-math.log(2) / 5), atol=1e-4)


def test_a_full_scale_sine_reads_one() -> None:
    wave = batch(tone(1.1, 1_000, 1.0))  # 1 kHz is exactly bin 32
    found = magnitude(wave, 512, 128)[0, :, 4:-4]
    assert found[32].numpy() == pytest.approx(1.0, abs=1e-6)
    assert (log_magnitude(wave, FULL_SCALE)[0, 32, 4:-4] > 1 - 1e-6).all()


def test_clips_of_a_batch_do_not_touch_each_other() -> None:
    waves = sounds().float()
    alone = torch.cat([log_magnitude(wave[None], CLIP) for wave in waves])
    assert torch.allclose(log_magnitude(waves, CLIP), alone, atol=1e-6)


@pytest.mark.parametrize("front_end", [CLIP, FULL_SCALE, FrontEnd(mels=80)], ids=["clip", "full scale", "mels"])
@pytest.mark.parametrize("level", [0.0, 1e-30, 1e-8, 1.0])
def test_gradients_are_finite_also_on_silence(front_end: FrontEnd, level: float) -> None:
    waves = (level * sounds()).float().requires_grad_()
    log_magnitude(waves, front_end).square().sum().backward()
    assert waves.grad is not None
    assert torch.isfinite(waves.grad).all()


def test_a_gradient_is_the_slope() -> None:
    wave = batch(speechlike(1.1, 2))[:, :2_048].requires_grad_()
    small = FrontEnd(64, 16)
    weights = torch.randn(1, 32, 128, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def loss(at: torch.Tensor) -> torch.Tensor:
        return (log_magnitude(at, small) * weights).sum()

    (gradient,) = torch.autograd.grad(loss(wave), wave)
    direction = torch.randn(wave.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    step = 1e-7 * direction
    slope = (loss(wave + step) - loss(wave - step)) / 2e-7
    assert (gradient * direction).sum().item() == pytest.approx(slope.item(), rel=1e-3)


def test_mel_bands_follow_the_htk_scale() -> None:
    """A band answers most to the frequency at its centre: equal steps of 1127 ln(1 + f / 700), 40 to 7,800 Hz."""

    def mel(hertz: float) -> float:
        return 1127 * math.log(1 + hertz / 700)

    centres = [700 * (math.exp(m / 1127) - 1) for m in np.linspace(mel(40), mel(7_800), 42)[1:-1]]
    front_end = FrontEnd(n_fft=2_048, hop_length=512, mels=40, reference="full_scale")
    waves = batch(*(tone(1.1, frequency, 0.5) for frequency in centres[8:]))
    found = log_magnitude(waves, front_end)[:, :, 8:-8].mean(2).argmax(1)
    assert found.tolist() == list(range(8, 40))
