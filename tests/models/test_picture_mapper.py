"""The mapper of pictures: parameters on paper, the audio mapper's blocks, the thesis's dense layers."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from invertone.models.networks.picture_mapper import PictureMapper, resized
from invertone.models.networks.residual import ResidualBlock
from invertone.models.networks.resnet import ResNet18


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_it_is_resnet18_and_three_dense_layers() -> None:
    """He et al.'s network has 11,689,512 parameters, of which its dense layer to 1,000 classes has 513,000."""
    dense = [(512, 2_048), (2_048, 1_024), (1_024, 512)]
    network = PictureMapper()
    assert count(network) == 11_689_512 - 513_000 + sum((a + 1) * b for a, b in dense) == 14_850_112
    assert [(each.in_features, each.out_features) for each in network.dense] == dense


def test_it_is_the_same_resnet_as_that_of_spectrograms() -> None:
    heard = ResNet18(5, width=4, channels=3)
    seen = PictureMapper(5, width=4, hidden=(), size=64)
    seen.stem.load_state_dict(heard.stem.state_dict())
    seen.blocks.load_state_dict(heard.blocks.state_dict())
    seen.dense[0].load_state_dict(heard.head.state_dict())
    picture = torch.randn(2, 3, 64, 64)
    outputs, features = seen.eval().with_features(picture)
    expected, blocks = heard.eval().of_spectrogram(picture)
    assert torch.equal(outputs, expected)
    assert len(features) == 8 and all(torch.equal(a, b) for a, b in zip(features, blocks, strict=True))
    assert all(isinstance(block, ResidualBlock) for block in seen.blocks)


def test_the_dense_layers_by_hand() -> None:
    torch.manual_seed(0)
    network = PictureMapper(4, width=2, hidden=(6, 5), size=32).double().eval()
    found, penultimate, features = network.seen(torch.randn(3, 3, 32, 32, dtype=torch.float64))
    hidden = features[-1].mean((2, 3)).detach().numpy()
    assert np.allclose(penultimate.detach().numpy(), hidden, atol=1e-12)
    for number, layer in enumerate(network.dense):
        hidden = hidden @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
        hidden = np.maximum(hidden, 0) if number < 2 else hidden
    assert np.allclose(found.detach().numpy(), hidden, atol=1e-12)


def test_pictures_of_any_size_and_twins() -> None:
    network = PictureMapper(4, width=2, hidden=(6,), size=48).eval()
    twin = PictureMapper(**network.architecture()).eval()
    twin.load_state_dict(network.state_dict())
    for sides in ((32, 32), (48, 48), (40, 72)):
        picture = torch.randn(2, 3, *sides)
        assert network(picture).shape == (2, 4) and torch.equal(network(picture), twin(picture))


def test_a_resized_picture_is_another_view_of_the_same() -> None:
    """A plane that is linear stays so, away from the border; a size that is right already is not touched."""
    plane = torch.arange(16, dtype=torch.float64).expand(1, 3, 16, 16)
    assert resized(plane, 16) is plane
    large, small = resized(plane, 32)[0, 0, 16], resized(plane, 8)[0, 0, 4]
    assert torch.allclose(large[2:-2], (torch.arange(2, 30).double() + 0.5) / 2 - 0.5, atol=1e-9)
    assert torch.allclose(small[1:-1], 2 * torch.arange(1, 7).double() + 0.5, atol=1e-9)
