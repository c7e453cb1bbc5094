"""The iterative mapper's network: changes nothing before training, sees both clips, and is rebuilt from its architecture."""

from __future__ import annotations

import torch
from torch import nn

from invertone.audio.front_end import FrontEnd
from invertone.models.networks.restyle import RestyleMapper


def test_untrained_it_changes_nothing_and_learns_from_the_first_step() -> None:
    mapper = RestyleMapper(6, width=4, front_end=FrontEnd(mels=32, hop_length=256))
    change = mapper(torch.randn(2, 16_384), torch.randn(2, 16_384))
    assert torch.equal(change, torch.zeros(2, 6))
    change.sum().backward()
    assert mapper.resnet.head.weight.grad is not None and mapper.resnet.head.weight.grad.abs().sum() > 0


def test_it_sees_target_and_reconstruction() -> None:
    mapper = RestyleMapper(6, width=4, front_end=FrontEnd(mels=32, hop_length=256)).eval()
    nn.init.normal_(mapper.resnet.head.weight)
    target, other, third = torch.randn(3, 2, 16_384)
    assert not torch.equal(mapper(target, other), mapper(target, third))
    assert not torch.equal(mapper(target, other), mapper(third, other))
    twin = RestyleMapper(**mapper.architecture()).eval()
    twin.load_state_dict(mapper.state_dict())
    assert torch.equal(mapper(target, other), twin(target, other))
