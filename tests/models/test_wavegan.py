"""WaveGAN against what is known of it: parameters on paper, TensorFlow's padding by hand, phase shuffle by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from invertone.models.networks.wavegan import KERNEL, WaveganCritic, WaveganGenerator, phase_shuffle

STRIDE = 4


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_generator_has_the_papers_parameters() -> None:
    assert count(WaveganGenerator(64)) == 19_065_345


@pytest.mark.parametrize("d", [2, 8])
def test_parameters_follow_from_the_width(d: int) -> None:
    channels = [16 * d, 8 * d, 4 * d, 2 * d, d, 1]
    convolutions = sum(a * b * KERNEL + b for a, b in zip(channels[:-1], channels[1:], strict=True))
    assert count(WaveganGenerator(d, latent_size=5)) == (5 + 1) * 16 * 16 * d + convolutions
    down = [1, d, 2 * d, 4 * d, 8 * d, 16 * d]
    convolutions = sum(a * b * KERNEL + b for a, b in zip(down[:-1], down[1:], strict=True))
    assert count(WaveganCritic(d)) == convolutions + 16 * 16 * d + 1


def test_shapes_and_range() -> None:
    generator, critic = WaveganGenerator(2, latent_size=7), WaveganCritic(2)
    waveform = generator(torch.rand(3, 7) * 2 - 1)
    assert waveform.shape == (3, 16_384) and waveform.abs().max() <= 1
    assert critic(waveform).shape == (3,)


def test_transposed_convolution_is_tensorflows_same_padding() -> None:
    """TensorFlow: the gradient of a SAME convolution of 64 samples at stride 4, which pads 10 left and 11 right."""
    rng = np.random.default_rng(0)
    signal, kernel = rng.standard_normal(16), rng.standard_normal(KERNEL)
    full = np.zeros(16 * STRIDE + KERNEL)
    for at, value in enumerate(signal):
        full[at * STRIDE : at * STRIDE + KERNEL] += value * kernel
    expected = full[10 : 10 + 16 * STRIDE]
    layer = WaveganGenerator(2).upconvs[4]
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[0, 0] = torch.from_numpy(kernel)
        hidden = torch.zeros(1, 2, 16)
        hidden[0, 0] = torch.from_numpy(signal)
        found = layer(hidden)[..., :-1][0, 0]
    assert np.allclose(found.numpy(), expected, atol=1e-5)


def test_convolution_is_tensorflows_same_padding() -> None:
    rng = np.random.default_rng(1)
    signal, kernel = rng.standard_normal(64), rng.standard_normal(KERNEL)
    padded = np.concatenate([np.zeros(10), signal, np.zeros(11)])
    expected = [float(padded[at : at + KERNEL] @ kernel) for at in range(0, 64, STRIDE)]
    layer = WaveganCritic(1).downconvs[0]
    with torch.no_grad():
        layer.weight[0, 0] = torch.from_numpy(kernel)
        found = layer(torch.nn.functional.pad(torch.from_numpy(signal).float()[None, None], (10, 11)))[0, 0]
    assert np.allclose(found.numpy(), expected, atol=1e-4)


@given(st.integers(-3, 3), st.integers(8, 20))
def test_phase_shuffle_is_a_shift_with_reflection(shift: int, length: int) -> None:
    row = np.arange(length, dtype=np.float32)
    expected = np.pad(row, 3, mode="reflect")[3 - shift : 3 - shift + length]
    found = phase_shuffle(torch.from_numpy(row).expand(2, 3, -1), shift)
    assert np.array_equal(found[1, 2].numpy(), expected)


def test_one_shift_per_shuffled_layer_within_the_radius() -> None:
    critic = WaveganCritic(1, phase_shuffle=2)
    shifts = [critic.draw_shifts(torch.Generator().manual_seed(seed)) for seed in range(40)]
    assert all(len(each) == 4 for each in shifts)
    assert {shift for each in shifts for shift in each} == {-2, -1, 0, 1, 2}
