"""The progressive GAN: parameters on paper, both networks written out in numpy, fading in, what it says of itself."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from invertone.models.networks.progan import (
    EqualisedConv2d,
    EqualisedLinear,
    ProganDiscriminator,
    ProganGenerator,
    channels,
    levels,
    minibatch_deviation,
    pixel_norm,
)

Array = npt.NDArray[np.float64]
PAPER = {4: 512, 8: 512, 16: 512, 32: 512, 64: 256, 128: 128, 256: 64, 512: 32, 1024: 16}
"""Channels by resolution (table 2 there)."""


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def convolution(inside: int, outside: int, kernel: int = 3) -> int:
    return inside * outside * kernel**2 + outside


def on_paper(size: int) -> tuple[int, int]:
    """Generator and discriminator without pictures of other levels than the last, as table 2 counts."""
    widths = [width for resolution, width in PAPER.items() if resolution <= size]
    pairs = list(zip(widths, widths[1:], strict=False))
    made = convolution(512, 512, 4) + convolution(512, 512) + convolution(widths[-1], 3, 1)
    made += sum(convolution(a, b) + convolution(b, b) for a, b in pairs)
    judged = convolution(3, widths[-1], 1) + convolution(513, 512) + convolution(512, 512, 4) + 513
    judged += sum(convolution(b, b) + convolution(b, a) for a, b in pairs)
    return made, judged


@pytest.mark.parametrize("size", [64, 128, 1024])
def test_they_have_the_papers_parameters(size: int) -> None:
    with torch.device("meta"):
        generator, discriminator = ProganGenerator(size), ProganDiscriminator(size)
    others = [width for resolution, width in PAPER.items() if resolution < size]
    made, judged = on_paper(size)
    assert count(generator) == made + sum(convolution(width, 3, 1) for width in others)
    assert count(discriminator) == judged + sum(convolution(3, width, 1) for width in others)
    if size == 1024:  # 23.1 million each, as table 2 says
        assert (round(made, -5), round(judged, -5)) == (23_100_000, 23_100_000)
        assert (count(generator), count(discriminator)) == (23_079_115, 23_087_249)
    if size == 128:
        assert (count(generator), count(discriminator)) == (22_933_394, 22_941_313)


def test_channels_follow_from_the_width() -> None:
    assert {resolution: channels(resolution, 512) for resolution in levels(1024)} == PAPER
    assert [channels(resolution, 16) for resolution in levels(128)] == [16, 16, 16, 16, 8, 4]


# The networks again, by numpy alone, from the weights of ours.


def convolved(x: Array, layer: nn.Module, gain: float = np.sqrt(2)) -> Array:
    weight, bias = (np.asarray(each.detach()) for each in (layer.weight, layer.bias))
    kernel = weight.shape[-1]
    weight = weight * gain / np.sqrt(weight[0].size)
    padded = np.pad(x, ((0, 0), (0, 0), (kernel // 2,) * 2, (kernel // 2,) * 2))
    out = np.zeros((len(x), len(weight), *x.shape[2:]))
    for i, j in np.ndindex(kernel, kernel):
        shifted = padded[:, :, i : i + x.shape[2], j : j + x.shape[3]]
        out += np.tensordot(shifted, weight[:, :, i, j], (1, 1)).transpose(0, 3, 1, 2)
    return out + bias[:, None, None]


def leaky(x: Array) -> Array:
    return np.where(x > 0, x, 0.2 * x)


def normal(x: Array) -> Array:
    return x / np.sqrt((x**2).mean(1, keepdims=True) + 1e-8)


def twice(x: Array) -> Array:
    return x.repeat(2, 2).repeat(2, 3)


def halved(x: Array) -> Array:
    return (x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]) / 4


def generated(network: ProganGenerator, latent: Array, resolution: int, alpha: float) -> Array:
    hidden = normal(latent) @ (np.asarray(network.dense.weight.detach()) * np.sqrt(2 / network.latent_size) / 4).T
    bias = np.asarray(network.bias.detach())
    planes = [hidden.reshape(len(latent), -1, 4, 4) + bias[:, None, None]]
    planes = [normal(leaky(planes[0]))]
    planes = [normal(leaky(convolved(planes[0], network.first)))]
    for block in network.blocks:
        half = normal(leaky(convolved(twice(planes[-1]), block.conv1)))
        planes.append(normal(leaky(convolved(half, block.conv2))))
    level = int(np.log2(resolution)) - 2
    picture = convolved(planes[level], network.to_rgb[level], 1.0)
    if level == 0:
        return picture
    below = twice(convolved(planes[level - 1], network.to_rgb[level - 1], 1.0))
    return alpha * picture + (1 - alpha) * below


def judged(network: ProganDiscriminator, picture: Array, alpha: float) -> Array:
    level = int(np.log2(picture.shape[-1])) - 2
    hidden = leaky(convolved(picture, network.from_rgb[level]))
    if level:
        block = network.blocks[level - 1]
        hidden = halved(leaky(convolved(leaky(convolved(hidden, block.conv1)), block.conv2)))
        below = leaky(convolved(halved(picture), network.from_rgb[level - 1]))
        hidden = alpha * hidden + (1 - alpha) * below
    for block in list(network.blocks)[: max(0, level - 1)][::-1]:
        hidden = halved(leaky(convolved(leaky(convolved(hidden, block.conv1)), block.conv2)))
    hidden = leaky(convolved(with_deviation(hidden), network.last)).reshape(len(picture), -1)
    first, second = network.dense1, network.dense2
    first_weight, second_weight = (np.asarray(each.weight.detach()) for each in (first, second))
    hidden = leaky(hidden @ first_weight.T * np.sqrt(2 / first_weight.shape[1]) + np.asarray(first.bias.detach()))
    return (hidden @ second_weight.T / np.sqrt(second_weight.shape[1]) + np.asarray(second.bias.detach()))[:, 0]


def with_deviation(x: Array) -> Array:
    planes = np.zeros((len(x), 1, *x.shape[2:]))
    for first in range(0, len(x), 4):
        group = x[first : first + 4]
        planes[first : first + 4] = np.sqrt(group.var(0) + 1e-8).mean()
    return np.concatenate([x, planes], 1)


def networks() -> tuple[ProganGenerator, ProganDiscriminator]:
    torch.manual_seed(3)
    generator, discriminator = ProganGenerator(16, 6, 5).double(), ProganDiscriminator(16, 5).double()
    for module in (generator, discriminator):
        for parameter in module.parameters():
            if parameter.dim() == 1:
                nn.init.normal_(parameter)  # biases that do something
    return generator, discriminator


@pytest.mark.parametrize(("resolution", "alpha"), [(4, 1.0), (8, 0.25), (8, 1.0), (16, 0.0), (16, 0.7), (16, 1.0)])
def test_they_are_what_the_paper_says(resolution: int, alpha: float) -> None:
    generator, discriminator = networks()
    latent = np.random.default_rng(resolution).standard_normal((6, 6))
    found = generator.at(torch.from_numpy(latent), resolution, alpha)
    expected = generated(generator, latent, resolution, alpha)
    assert found.shape == (6, 3, resolution, resolution)
    assert np.allclose(found.detach().numpy(), expected, atol=1e-9)
    score = discriminator(torch.from_numpy(expected), alpha).detach().numpy()
    assert np.allclose(score, judged(discriminator, expected, alpha), atol=1e-9)


def test_fading_in_begins_with_what_was_there() -> None:
    """A new level changes neither pictures nor scores at its beginning."""
    generator, discriminator = networks()
    latent = torch.randn(4, 6, dtype=torch.float64)
    small, large = generator.at(latent, 8), generator.at(latent, 16, 0.0)
    assert torch.allclose(large, small.repeat_interleave(2, 2).repeat_interleave(2, 3))
    assert torch.allclose(discriminator(large, 0.0), discriminator(small))


def test_levels_that_are_not_yet_there_have_no_gradient() -> None:
    generator, discriminator = networks()
    discriminator(generator.at(torch.randn(4, 6, dtype=torch.float64), 8, 0.5), 0.5).sum().backward()
    moved = {name for name, each in generator.named_parameters() if each.grad is not None}
    assert not {name for name in moved if name.startswith(("blocks.1", "to_rgb.2"))}
    assert {"blocks.0.conv1.weight", "to_rgb.0.weight", "to_rgb.1.weight", "dense.weight"} <= moved
    moved = {name for name, each in discriminator.named_parameters() if each.grad is not None}
    assert {name.split(".")[1] for name in moved if name.startswith("from_rgb")} == {"0", "1"}


def test_it_makes_pictures_of_its_size_however_far_it_has_grown() -> None:
    grown = ProganGenerator(16, 6, 5, grown=8, alpha=0.5)
    latent = torch.randn(2, 6)
    picture = grown(latent)
    assert picture.shape == (2, 3, 16, 16)
    assert torch.equal(picture, grown.at(latent, 8, 0.5).repeat_interleave(2, 2).repeat_interleave(2, 3))
    twin = ProganGenerator(**grown.architecture())
    twin.load_state_dict(grown.state_dict())
    assert torch.equal(twin(latent), picture)
    assert ProganGenerator(16, 6, 5).architecture() == {"size": 16, "latent_size": 6, "width": 5}
    critic = ProganDiscriminator(16, 5)
    assert ProganDiscriminator(**critic.architecture()).state_dict().keys() == critic.state_dict().keys()


def test_equalised_layers_keep_the_variance() -> None:
    """Weights are standard normal; what comes out of He's constant has the second moment 2, that ReLU halves."""
    torch.manual_seed(0)
    for layer, x in (
        (EqualisedConv2d(64, 128, 3), torch.randn(8, 64, 16, 16)),
        (EqualisedLinear(512, 512), torch.randn(256, 512)),
    ):
        assert abs(float(layer.weight.detach().std()) - 1) < 0.02
        out = layer(x)
        inner = out[..., 1:-1, 1:-1] if out.ndim == 4 else out
        assert abs(float(inner.detach().square().mean()) - 2) < 0.2


@given(st.integers(1, 9), st.integers(1, 5), st.integers(0, 100))
def test_deviation_is_that_of_groups_of_four(batch: int, planes: int, seed: int) -> None:
    x = np.random.default_rng(seed).standard_normal((batch, planes, 3, 3))
    assert np.allclose(minibatch_deviation(torch.from_numpy(x)).numpy(), with_deviation(x), atol=1e-9)


def test_parts_of_a_batch_have_the_deviation_that_they_have_in_it() -> None:
    """So ranks that hold whole groups compute what one does that holds all."""
    x = torch.randn(8, 3, 2, 2, dtype=torch.float64)
    parts = torch.cat([minibatch_deviation(x[:4]), minibatch_deviation(x[4:])])
    assert torch.equal(minibatch_deviation(x), parts)


@given(st.integers(1, 20), st.floats(0.1, 10))
def test_pixel_norm_puts_latents_on_a_sphere(size: int, length: float) -> None:
    latent = torch.randn(3, size, generator=torch.Generator().manual_seed(size), dtype=torch.float64) * length + 0.1
    assert torch.allclose(pixel_norm(latent).norm(dim=1), torch.tensor(size, dtype=torch.float64).sqrt(), rtol=1e-4)
