"""PGHI against a heap written down again in plain numpy, against sounds whose phase is known, and against torch's STFT."""

from __future__ import annotations

import heapq
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from invertone.audio.front_end import WINDOWS, FrontEnd, log_magnitude, magnitude
from invertone.audio.pghi import kernels
from invertone.audio.pghi.phases import LOUDEST, inverse_stft, invert, reconstruct, recover_phase
from invertone.audio.pghi.workspace import GAMMAS, HANN_GAMMA, MEANS
from tests.sounds import noise, speechlike, tone

ROOT = Path(__file__).parents[2]
N = 16_384
Array = np.ndarray


def magnitudes(wave: Array, n_fft: int = 512, hop: int = 128, window: str = "hann") -> Array:
    return magnitude(torch.from_numpy(np.atleast_2d(wave)), n_fft, hop, window).numpy()


def stft(wave: Array, n_fft: int = 512, hop: int = 128) -> Array:
    """torch's, cut to n // hop frames: complex [b, f, t]."""
    waves = torch.from_numpy(np.atleast_2d(wave))
    window = torch.hann_window(n_fft, dtype=waves.dtype)
    found = torch.stft(waves, n_fft, hop, window=window, center=True, pad_mode="constant", return_complex=True)
    return found.numpy()[:, :, : waves.shape[1] // hop]


def convergence(wanted: Array, waves: Array, window: str = "hann") -> Array:
    """Spectral convergence of each clip in dB, more is better."""
    found = magnitudes(waves.astype(np.float64), window=window)
    error = np.sqrt(np.square(found - wanted).sum((1, 2)))
    return 20 * np.log10(np.sqrt(np.square(wanted).sum((1, 2))) / error)


def voices(count: int) -> Array:
    return np.stack([speechlike(1.1, seed)[:N] for seed in range(count)])


def oracle_phase(clip: Array, n_fft: int, hop: int, tolerance: float) -> tuple[Array, Array]:
    """The paper's algorithm with a binary heap and float64: phases [f, t] counted from the frame's middle, and which bins
    it reached. Gradients: central differences; even at the edges of frequency, one-sided at those of time."""
    s = np.log(np.maximum(clip / clip.max(), np.exp(-30)))
    gamma, rows = HANN_GAMMA * n_fft**2, np.arange(clip.shape[0])[:, None]
    wide = np.concatenate([s[1:2], s, s[-2:-1]])
    per_frame = hop * n_fft / gamma * (wide[2:] - wide[:-2]) / 2 + 2 * np.pi * hop * rows / n_fft
    slope = np.gradient(s, axis=1)
    per_bin = -gamma / (hop * n_fft) * slope
    phase, todo = np.zeros_like(s), s > -tolerance
    reached = todo.copy()
    while todo.any():
        first = np.unravel_index(np.argmax(np.where(todo, s, -np.inf)), s.shape)
        heap, todo[first] = [(-s[first], first)], False
        while heap:
            _, (m, n) = heapq.heappop(heap)
            for at, gradient, sign in (
                ((m, n + 1), per_frame, 1),
                ((m, n - 1), per_frame, -1),
                ((m + 1, n), per_bin, 1),
                ((m - 1, n), per_bin, -1),
            ):
                if min(at) >= 0 and at[0] < s.shape[0] and at[1] < s.shape[1] and todo[at]:
                    phase[at] = phase[m, n] + sign * (gradient[m, n] + gradient[at]) / 2
                    todo[at] = False
                    heapq.heappush(heap, (-s[at], at))
    return phase, reached


def from_frame_start(phase: Array) -> Array:
    """Phases counted from the middle of the frame → from its first sample, as a transform counts."""
    return phase + np.pi * np.arange(phase.shape[-2])[:, None]


def apart(a: Array, b: Array) -> Array:
    """How far two angles are from each other, in [0, π]."""
    return np.abs(np.angle(np.exp(1j * (a - b))))


@pytest.mark.parametrize("sound", [speechlike(0.3, 1), noise(0.3)], ids=["voice", "noise"])
def test_phases_equal_an_exact_heap_s(sound: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bin by bin. Ranks stand for loudness, so that no two bins are near a tie, and each has a bucket of its own: what comes
    first among equals is nobody's law, and one bin taken earlier turns all that follow from it."""
    measured = magnitudes(sound, 128, 32)[0]
    ranks = measured.ravel().argsort().argsort().reshape(measured.shape)
    clip = np.exp(-12 * (1 - (ranks + 1) / ranks.size))
    monkeypatch.setattr(kernels, "STEP", 4 / ranks.size)
    expected, reached = oracle_phase(clip, 128, 32, 10.0)
    found = recover_phase(clip[None], [0], 128, 32)[0]
    assert 0.8 < reached.mean() < 0.9
    assert apart(found, from_frame_start(expected))[reached].max() < 1e-3


def test_buckets_cost_nothing() -> None:
    """The whole of what quantised loudness changes: within half a decibel of the exact order."""
    wanted = magnitudes(voices(3))
    exact = []
    for clip in wanted:
        phase, _ = oracle_phase(clip, 512, 128, 10.0)
        exact.append(inverse_stft(128 * clip[None] * np.exp(1j * from_frame_start(phase))[None])[0])
    ours = convergence(wanted, reconstruct(wanted, range(3))).mean()
    assert ours > convergence(wanted, np.stack(exact)).mean() - 0.5


@pytest.mark.parametrize("frequency", [1_000.0, 3_000.0])
def test_the_phase_of_a_sine_is_found_up_to_a_constant(frequency: float) -> None:
    wave = tone(1.1, frequency)[:N]
    wanted, loud = np.angle(stft(wave)[0, :, 4:-4]), magnitudes(wave)[0, :, 4:-4] > 0.01
    found = recover_phase(magnitudes(wave), [0])[0, :, 4:-4]
    offset = np.angle(np.exp(1j * (found - wanted))[loud].mean())
    assert apart(found, wanted + offset)[loud].max() < 0.02


@pytest.mark.parametrize("at", [64 * 128, 30 * 128])
def test_an_impulse_is_found_where_it_was(at: int) -> None:
    wave = np.zeros((1, N))
    wave[0, at] = 0.5
    assert np.abs(reconstruct(magnitudes(wave), [0]) - wave).max() < 1e-4


@pytest.mark.parametrize(("n_fft", "hop"), [(512, 128), (1_024, 256), (256, 64), (90, 20)])
def test_the_inverse_stft_gives_the_signal_back(n_fft: int, hop: int) -> None:
    wave = np.stack([noise(1.1, 0.3, seed)[: N // hop * hop] for seed in (0, 1)])
    found = inverse_stft(stft(wave, n_fft, hop), n_fft, hop)
    assert (found.shape, found.dtype) == (wave.shape, np.float32)
    assert np.abs(found - wave).max() < 1e-5


def test_the_inverse_stft_equals_torch_s_where_all_frames_lie() -> None:
    """Also of a spectrogram that no signal has; torch takes one frame more, which is zero here."""
    draw = np.random.default_rng(0)
    spectrum = draw.standard_normal((2, 257, 20)) + 1j * draw.standard_normal((2, 257, 20))
    padded = torch.from_numpy(np.pad(spectrum, ((0, 0), (0, 0), (0, 3))))
    expected = torch.istft(padded, 512, 128, window=torch.hann_window(512, dtype=torch.float64), center=True)
    assert np.abs(inverse_stft(spectrum) - expected[:, : 20 * 128].numpy())[:, : 17 * 128].max() < 1e-5


@pytest.mark.parametrize("window", list(WINDOWS))
def test_harmonic_sounds_come_back_with_twenty_decibels(window: str) -> None:
    waves = voices(8)
    wanted = magnitudes(waves, window=window)
    assert convergence(wanted, reconstruct(wanted, range(8), window=window), window).mean() > 20
    front_end = FrontEnd(window=window, dynamic_range=2.0, mean=-5.0, deviation=2.5)
    spectrograms = log_magnitude(torch.from_numpy(waves).float(), front_end).numpy()
    loudest = wanted[:, :-1].max((1, 2))
    back = invert(spectrograms, range(8), dynamic_range=front_end.nats, loudest=loudest, window=window)
    assert convergence(wanted, back, window).mean() > 20
    assert magnitudes(back.astype(np.float64), window=window).max((1, 2)) == pytest.approx(loudest, rel=0.1)


def test_what_is_told_of_windows_twice_is_the_same() -> None:
    assert MEANS == WINDOWS and GAMMAS.keys() == WINDOWS.keys()


@pytest.mark.parametrize("window", list(WINDOWS))
def test_gamma_is_that_of_the_gaussian_that_is_nearest_to_the_window(window: str) -> None:
    at = np.arange(4_096) / 4_096 - 0.5
    shape = MEANS[window] + (1 - MEANS[window]) * np.cos(2 * np.pi * at)
    gammas = np.linspace(0.2, 0.4, 201)
    gaussians = np.exp(-np.pi * at**2 / gammas[:, None])
    correlation = gaussians @ shape / np.sqrt(np.square(gaussians).sum(1))
    distance = np.square(gaussians - shape).sum(1)
    nearest = sorted((gammas[correlation.argmax()], gammas[distance.argmin()]))
    assert nearest[0] - 0.001 <= GAMMAS[window] <= nearest[1] + 0.001


def test_the_compiled_sine_and_exponential_are_those_of_libm() -> None:
    angles = np.append(
        np.random.default_rng(0).integers(-(2**31), 2**31, 500), [-(2**31), -(2**30), 0, 2**30, 2**31 - 1]
    )
    found = np.array([kernels.sine(each) for each in angles.astype(np.int32)])
    assert np.abs(found - np.sin(angles * (2 * np.pi / 2**32))).max() < 2e-7
    nats = np.append(-np.random.default_rng(0).uniform(0, 80, 500), 0.0).astype(np.float32)
    found = np.array([kernels.exponential(each) for each in nats])
    assert np.abs(found / np.exp(nats.astype(np.float64)) - 1).max() < 4e-6


def test_golden() -> None:
    wanted = magnitudes(speechlike(1.1, 5)[:N])
    assert convergence(wanted, reconstruct(wanted, [5]))[0] == pytest.approx(GOLDEN, abs=0.3)


GOLDEN = 27.24
"""dB, of the clip above."""


def test_a_clip_s_result_knows_neither_batch_nor_threads() -> None:
    spectrograms = log_magnitude(torch.from_numpy(voices(7)).float(), FrontEnd()).numpy()
    full = magnitudes(voices(7)).astype(np.float32)
    seeds = [3, 1, 4, 1, 5, 9, 2**63 + 11]
    for function, clips in ((invert, spectrograms), (reconstruct, full), (recover_phase, full)):
        together = function(clips, seeds)
        alone = np.concatenate([function(clips[at : at + 1], seeds[at : at + 1]) for at in range(7)])
        assert np.array_equal(together, alone)
        assert np.array_equal(together, function(clips, seeds, threads=2))
        assert np.array_equal(together, function(np.asfortranarray(clips), seeds, threads=9))


def test_another_seed_changes_only_what_is_too_faint() -> None:
    wanted = magnitudes(speechlike(1.1, 0)[:N])
    faint = wanted[0] <= wanted.max() * np.exp(-6)
    a, b = (recover_phase(wanted, [seed], tolerance=6.0)[0] for seed in (0, 1))
    assert faint.any()
    assert np.array_equal(a[~faint], b[~faint])
    assert (a[faint] != b[faint]).mean() > 0.99
    assert abs(np.exp(1j * a[faint]).mean()) < 0.05  # spread evenly round the circle


def test_silence_stays_silence() -> None:
    assert not invert(np.full((2, 256, 128), -1, np.float32), [0, 1]).any()
    assert not reconstruct(np.zeros((1, 257, 128)), [0]).any()
    assert not invert(np.full((1, 256, 128), -1.5), [0], loudest=[1.0]).any()


def test_levels() -> None:
    waves = torch.from_numpy(np.stack([0.02 * voices(1)[0], voices(1)[0]])).float()
    spectrograms = log_magnitude(waves, FrontEnd()).numpy()
    loudest = magnitude(waves, 512, 128)[:, :-1].flatten(1).amax(1).numpy()
    found = magnitudes(invert(spectrograms, [0, 0], loudest=loudest)).max((1, 2))
    assert found == pytest.approx(loudest, rel=0.1)
    assert magnitudes(invert(spectrograms, [0, 0])).max((1, 2)) == pytest.approx(LOUDEST, rel=0.1)
    crowded = np.ones(
        (1, 256, 128), np.float32
    )  # every bin as loud as can be: far beyond full scale at any usual level
    assert np.abs(invert(crowded, [0])).max() <= 1


def test_rows_above_the_reference_and_doubles_are_taken() -> None:
    spectrogram = log_magnitude(torch.from_numpy(voices(1)), FrontEnd()).numpy()
    plain = invert(spectrogram, [0], loudest=[0.1])
    louder = invert(spectrogram.clip(-0.9) + 0.1, [0], loudest=[0.1 * np.exp(-0.5)])
    assert convergence(magnitudes(plain.astype(np.float64)), louder)[0] > 20


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_are_refused(bad: float) -> None:
    given = np.zeros((3, 256, 4), np.float32)
    given[1, 5, 2] = bad
    for function in (invert, reconstruct, recover_phase):
        with pytest.raises(ValueError, match="clip 1 of the batch"):
            function(given, range(3))


def test_what_does_not_fit_is_refused() -> None:
    clip = np.ones((1, 257, 4))
    for words, arguments in (
        ("negative magnitudes", (-clip, [0])),
        ("0.0 nats", (clip, [0], 512, 128, 0.0)),
        ("gamma -1", (clip, [0], 512, 128, 10.0, -1.0)),
        ("2 seeds for 1", (clip, [0, 1])),
        ("255 rows", (clip[:, :255], [0])),
        ("0 frames", (clip[:, :, :0], [0])),
        ("hop_length 400", (clip, [0], 512, 400)),
    ):
        with pytest.raises(ValueError, match=words):
            reconstruct(*arguments)
    for loudest in ([1.0, 2.0], [np.nan], [-1.0]):
        with pytest.raises(ValueError, match="loudest"):
            invert(clip, [0], loudest=loudest)


@given(
    half=st.integers(2, 60),
    quarter=st.floats(0.01, 1),
    frames=st.integers(1, 30),
    clips=st.integers(0, 3),
    missing=st.booleans(),
    seed=st.integers(-(2**70), 2**70),
)
@settings(max_examples=60)
def test_any_size_gives_finite_sound_of_the_right_length(
    half: int, quarter: float, frames: int, clips: int, missing: bool, seed: int
) -> None:
    n_fft, hop = 2 * half, max(1, int(half * quarter))
    given_ = np.random.default_rng(0).exponential(size=(clips, half + 1 - missing, frames)) ** 4
    found = reconstruct(given_, [seed] * clips, n_fft, hop)
    assert (found.shape, found.dtype) == ((clips, hop * frames), np.float32)
    assert np.isfinite(found).all()
    phase = recover_phase(given_, [seed] * clips, n_fft, hop)
    assert phase.shape == given_.shape
    spectrum = given_ * n_fft / 4 * np.exp(1j * phase)
    assert np.allclose(inverse_stft(spectrum, n_fft, hop), found, atol=1e-3 * max(1.0, np.abs(found).max(initial=0)))


def test_no_torch_is_loaded() -> None:
    program = "import sys, invertone.audio.pghi.phases; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_where_nothing_can_be_written_it_is_compiled_in_memory() -> None:
    """As in a container whose files are read-only: the package and the user's cache."""
    program = (
        "import numba.core.caching as caching\n"
        "caching.CacheImpl._locator_classes = []\n"
        "from invertone.audio.pghi.kernels import compiled\n"
        "print(compiled()(lambda x: x + 1)(1))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "2\n", done.stderr
