"""Convolutions of very many channels on several threads, against double precision."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from invertone.models.networks.wide import BLOCK, MOST, WideConv1d, WideConvTranspose1d


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """One thread is right in any case."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def near(found: Tensor, wanted: Tensor) -> bool:
    return bool((found - wanted).abs().max() < 1e-4 * wanted.abs().max())


LAYERS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "transposed, torch's": (WideConvTranspose1d(MOST, 16, 25, 4, padding=10), (8,)),
    "transposed, stride 4": (WideConvTranspose1d(MOST + 256, 16, 25, 4, padding=10), (8,)),
    "transposed, stride 2": (WideConvTranspose1d(2 * MOST, 16, 25, 2, padding=11), (8,)),
    "torch's": (WideConv1d(64, MOST - BLOCK, 25, 4), (85,)),
    "in whole blocks": (WideConv1d(64, MOST - BLOCK // 2, 25, 4), (85,)),
    "stride 4": (WideConv1d(64, MOST, 25, 4), (85,)),
    "stride 2": (WideConv1d(64, 2 * MOST, 25, 2), (85,)),
    "square, transposed": (nn.ConvTranspose2d(2 * MOST, 16, 5, 2, 2, 1, bias=False), (4, 4)),
    "square": (nn.Conv2d(64, 2 * MOST, 5, 2, 2, bias=False), (8, 8)),
}
TORCHS = (nn.ConvTranspose1d, nn.Conv1d, nn.ConvTranspose2d, nn.Conv2d)


@pytest.mark.parametrize("name", LAYERS)
def test_sound_and_gradients_are_right(name: str) -> None:
    layer, sides = LAYERS[name]
    exact = copy.deepcopy(layer).double()
    plain = next(each for each in TORCHS if isinstance(layer, each)).forward
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(2, layer.in_channels, *sides, generator=rng).requires_grad_()
    wide = x.detach().double().requires_grad_()
    wanted = plain(exact, wide)  # type: ignore[arg-type]
    slope = torch.randn(wanted.shape, generator=rng)
    gradients = torch.autograd.grad(wanted, (wide, *exact.parameters()), slope.double())
    for _ in range(3):
        found = layer(x)
        assert found.shape == wanted.shape and near(found.double(), wanted)
        for one, other in zip(torch.autograd.grad(found, (x, *layer.parameters()), slope), gradients, strict=True):
            assert near(one.double(), other)
