"""DCGAN against what is known of it: sizes of layers on paper, its two convolutions by hand, initial weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from invertone.models.networks.dcgan import KERNEL, SIZES, DcganDiscriminator, DcganGenerator

PAPER = [1_024, 512, 256, 128]
"""Channels of the generator's planes of 4 x 4 to 32 x 32 (figure 1)."""


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_papers_generator_and_its_mirror() -> None:
    """As the shapes that the authors' code lists add up: no bias but those of norms, the first norm of 16,384 units."""
    kernels = sum(a * b * 25 for a, b in zip(PAPER, [*PAPER[1:], 3], strict=True))
    norms = 2 * (4 * 4 * 1_024 + sum(PAPER[1:]))
    assert count(DcganGenerator()) == 100 * 4 * 4 * 1_024 + norms + kernels == 18_885_760
    norms = 2 * sum(PAPER[:-1])  # none after the first convolution
    assert count(DcganDiscriminator()) == kernels + norms + 4 * 4 * 1_024 == 17_232_768


@pytest.mark.parametrize("size", SIZES)
def test_shapes_range_and_twins(size: int) -> None:
    generator = DcganGenerator(2, 7, size, "normal").eval()
    critic = DcganDiscriminator(2, size).eval()
    latent = torch.randn(3, 7, generator=torch.Generator().manual_seed(0))
    picture = generator(latent)
    assert picture.shape == (3, 3, size, size) and picture.abs().max() <= 1
    assert critic(picture).shape == (3,)
    again, twin = DcganGenerator(**generator.architecture()).eval(), DcganDiscriminator(**critic.architecture()).eval()
    again.load_state_dict(generator.state_dict())
    twin.load_state_dict(critic.state_dict())
    assert torch.equal(again(latent), picture) and torch.equal(twin(picture), critic(picture))
    assert again.prior == generator.prior and again.prior.kind == "normal"


def test_a_layer_more_or_less_leaves_the_outer_ones() -> None:
    small, usual, large = (DcganGenerator(2, 5, size) for size in SIZES)
    for fewer, more in ((small, usual), (usual, large)):
        shapes = [[tuple(each.weight.shape) for each in network.upconvs] for network in (fewer, more)]
        assert shapes[1][1:] == shapes[0]


def test_a_latent_alone_and_among_others_makes_one_picture() -> None:
    """It normalises by what it kept, not by the batch."""
    generator = DcganGenerator(2, 5, 32)
    generator.train()(torch.randn(8, 5))
    latent = torch.rand(4, 5, dtype=torch.float64)
    generator.double().eval()
    assert torch.allclose(generator(latent)[1:2], generator(latent[1:2]), atol=1e-12)


def test_fractionally_strided_convolution_by_hand() -> None:
    """Every place adds the kernel to the doubled plane, whose borders of two samples are cut off."""
    rng = np.random.default_rng(0)
    plane, kernel = rng.standard_normal((4, 4)), rng.standard_normal((KERNEL, KERNEL))
    full = np.zeros((2 * 4 + KERNEL, 2 * 4 + KERNEL))
    for i, j in np.ndindex(4, 4):
        full[2 * i : 2 * i + KERNEL, 2 * j : 2 * j + KERNEL] += plane[i, j] * kernel
    layer = DcganGenerator(1, 5, 32).upconvs[0].double()
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[0, 0] = torch.from_numpy(kernel)
        given = torch.zeros(1, layer.in_channels, 4, 4, dtype=torch.float64)
        given[0, 0] = torch.from_numpy(plane)
        found = layer(given)[0, 0]
    assert np.allclose(found.numpy(), full[2:10, 2:10])


def test_strided_convolution_by_hand() -> None:
    rng = np.random.default_rng(1)
    plane, kernel = rng.standard_normal((3, 32, 32)), rng.standard_normal((3, KERNEL, KERNEL))
    padded = np.pad(plane, ((0, 0), (2, 2), (2, 2)))
    expected = [[np.sum(padded[:, i : i + 5, j : j + 5] * kernel) for j in range(0, 32, 2)] for i in range(0, 32, 2)]
    layer = DcganDiscriminator(1, 32).downconvs[0].double()
    with torch.no_grad():
        layer.weight[0] = torch.from_numpy(kernel)
        found = layer(torch.from_numpy(plane)[None])[0, 0]
    assert np.allclose(found.numpy(), expected)


def test_initial_weights_are_normal_of_the_papers_deviation() -> None:
    generator, discriminator = DcganGenerator(16), DcganDiscriminator(16)
    for module in (*generator.modules(), *discriminator.modules()):
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            assert module.bias is None
            if module.weight.numel() > 4_000:
                assert abs(float(module.weight.detach().std()) - 0.02) < 0.002
    gains = generator.first.weight.detach()
    assert abs(float(gains.mean()) - 1) < 0.005 and 0.018 < float(gains.std()) < 0.022
    assert not generator.first.bias.any()
