"""Convolutions of very many channels on several threads, against double precision."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from invertone.models.networks.wide import MOST, conv1d, conv_transpose1d


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """One thread is right in any case."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def near(found: Tensor, wanted: Tensor) -> bool:
    return bool((found - wanted).abs().max() < 1e-4 * wanted.abs().max())


@pytest.mark.parametrize(("channels", "stride"), [(MOST, 4), (MOST + 256, 4), (2 * MOST, 2)])
def test_transposed_convolutions_are_right(channels: int, stride: int) -> None:
    rng = torch.Generator().manual_seed(channels)
    x = torch.randn(2, channels, 8, generator=rng).requires_grad_()
    weight = (torch.randn(channels, 16, 25, generator=rng) / channels**0.5).requires_grad_()
    bias, padding = torch.randn(16, generator=rng), (25 - stride) // 2
    wide = [each.detach().double().requires_grad_() for each in (x, weight)]
    wanted = F.conv_transpose1d(*wide, bias.double(), stride, padding)
    slope = torch.randn(wanted.shape, generator=rng)
    gradients = torch.autograd.grad(wanted, wide, slope.double())
    for _ in range(3):
        found = conv_transpose1d(x, weight, bias, stride, padding)
        assert found.shape == wanted.shape and near(found.double(), wanted)
        for one, other in zip(torch.autograd.grad(found, (x, weight), slope), gradients, strict=True):
            assert near(one.double(), other)


@pytest.mark.parametrize(("channels", "stride"), [(MOST - 8, 4), (MOST, 4), (2 * MOST, 2)])
def test_convolutions_and_their_gradients_are_right(channels: int, stride: int) -> None:
    rng = torch.Generator().manual_seed(channels)
    x = torch.randn(2, 64, 85, generator=rng).requires_grad_()
    weight = (torch.randn(channels, 64, 25, generator=rng) / 40).requires_grad_()
    bias = torch.randn(channels, generator=rng)
    wide = [each.detach().double().requires_grad_() for each in (x, weight)]
    wanted = F.conv1d(*wide, bias.double(), stride)
    slope = torch.randn(wanted.shape, generator=rng)
    gradients = torch.autograd.grad(wanted, wide, slope.double())
    for _ in range(3):
        found = conv1d(x, weight, bias, stride)
        assert found.shape == wanted.shape and near(found.double(), wanted)
        for one, other in zip(torch.autograd.grad(found, (x, weight), slope), gradients, strict=True):
            assert near(one.double(), other)
