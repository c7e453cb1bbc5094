"""The recogniser: known sizes, its 21 concatenations, unit length; and the perceptual loss."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from invertone.models.networks.perceptual import chosen, perceptual_distance
from invertone.models.networks.recogniser import SMALLEST, Recogniser

SMALL = {"embedding": 8, "width": 16, "blocks": (1, 2, 2), "size": 80}


def small(**values: object) -> Recogniser:
    torch.manual_seed(1)
    return Recogniser(**{**SMALL, **values})  # type: ignore[arg-type]


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_it_has_the_parameters_of_inception_resnet_v1() -> None:
    """Keras's port of FaceNet, of 128 numbers, prints 22,779,312 trainable parameters; its batch norms have no gain, of which
    there are 14,416 (it prints twice as many means and variances)."""
    with torch.device("meta"):
        assert count(Recogniser(128)) == 22_779_312 + 14_416
        assert count(Recogniser(512)) == 22_779_312 + 14_416 + 1_792 * 384 + 2 * 384 == 23_482_624
        assert count(Recogniser(512, 100)) == 23_482_624 + 513 * 100


def test_at_full_size_it_names_21_concatenations() -> None:
    with torch.device("meta"):
        network = Recogniser().eval()
        _, features = network.with_features(torch.zeros(2, 3, 160, 160))
    assert len(features) == 21
    names = [f"block35-{n + 1}" for n in range(5)] + [f"block17-{n + 1}" for n in range(10)]
    assert list(network.layers) == names + [f"block8-{n + 1}" for n in range(6)]
    shapes = {
        name.partition("-")[0]: tuple(each.shape[1:]) for name, each in zip(network.layers, features, strict=True)
    }
    assert shapes == {"block35": (96, 17, 17), "block17": (256, 8, 8), "block8": (384, 3, 3)}


def test_embeddings_have_length_1_and_twins() -> None:
    network = small(identities=3).eval()
    picture = torch.randn(4, 3, 64, 64)
    logits, embedding, features = network.seen(picture)
    assert embedding.shape == (4, 8) and torch.allclose(embedding.norm(dim=1), torch.ones(4))
    assert network.layers == ("block35-1", "block17-1", "block17-2", "block8-1", "block8-2") and len(features) == 5
    assert torch.equal(network.embed(picture), embedding) and torch.equal(network(picture), logits)
    assert logits.shape == (4, 3) and small().eval()(picture).shape == (4, 0)
    twin = Recogniser(**network.architecture()).eval()
    twin.load_state_dict(network.state_dict())
    assert torch.equal(twin.embed(picture), embedding)


def test_blocks_add_to_what_they_see() -> None:
    """A block whose last convolution is zero hands on what it was given, which a ReLU has passed already."""
    network = small().eval()
    block = network.stages[1][0]  # type: ignore[index]
    nn.init.zeros_(block.up.weight)
    nn.init.zeros_(block.up.bias)
    x = torch.rand(2, block.up.out_channels, 5, 5)
    hidden, concatenation = block(x)
    assert torch.equal(hidden, x)
    assert torch.equal(concatenation, torch.cat([branch(x) for branch in block.branches], 1))
    assert [stage[-1].last for stage in network.stages] == [False, False, True]  # type: ignore[index, union-attr]


def test_the_smallest_picture_leaves_a_place() -> None:
    network = small(size=SMALLEST).eval()
    _, features = network.with_features(torch.randn(1, 3, SMALLEST, SMALLEST))
    assert features[-1].shape[2:] == (1, 1)
    network.size = SMALLEST - 1  # what the constructor refuses
    with pytest.raises(RuntimeError):
        network(torch.randn(1, 3, SMALLEST - 1, SMALLEST - 1))


def test_perceptual_distance_by_hand() -> None:
    a = [torch.zeros(2, 3, 2, 2), torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 1, 1)]
    b = [each.clone() for each in a]
    b[0][0] += 2.0
    b[1][0, 0, 0] += 1.0  # 4 of 16
    b[2][1] -= 3.0
    assert torch.equal(perceptual_distance(a, b), torch.tensor([4.0 + 0.25, 9.0]))


def test_layers_are_chosen_by_name() -> None:
    network = small()
    maps = [torch.full((1, 1, 1, 1), float(number)) for number in range(5)]
    assert chosen(network, maps) == maps
    assert chosen(network, maps, ["block17-2", "block35-1"]) == [maps[0], maps[2]]


def test_perceptual_distance_has_a_gradient_to_the_picture() -> None:
    network = small().eval().requires_grad_(False)
    wanted = network.with_features(torch.rand(2, 3, 32, 32))[1]
    found = torch.rand(2, 3, 32, 32).requires_grad_()
    perceptual_distance(wanted, network.with_features(found)[1]).sum().backward()
    assert found.grad is not None and (found.grad.flatten(1).abs().sum(1) > 0).all()
