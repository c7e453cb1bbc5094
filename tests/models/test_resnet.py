"""ResNet-18: parameters on paper, eight feature levels, batch norm over ranks, feature distance."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from invertone.audio.front_end import FrontEnd
from invertone.models.networks.batch_norm import BatchNorm2d
from invertone.models.networks.features import feature_distance
from invertone.models.networks.resnet import ResNet18


def test_it_has_the_parameters_of_resnet18() -> None:
    """He et al.'s network has 11,689,512 with three input channels and 1,000 classes."""
    expected = 11_689_512 - 2 * 64 * 49 - (512 + 1) * (1_000 - 10)
    assert sum(parameter.numel() for parameter in ResNet18(10).parameters()) == expected


def test_every_residual_block_gives_its_activations() -> None:
    logits, features = ResNet18(10, width=4).with_features(torch.randn(2, 16_384))
    assert logits.shape == (2, 10)
    shapes = [tuple(each.shape[1:]) for each in features]
    assert shapes == [(4, 64, 32)] * 2 + [(8, 32, 16)] * 2 + [(16, 16, 8)] * 2 + [(32, 8, 4)] * 2


def test_architecture_rebuilds_the_network() -> None:
    network = ResNet18(3, width=4, front_end=FrontEnd(mels=40, hop_length=256))
    twin = ResNet18(**network.architecture())
    twin.load_state_dict(network.state_dict())
    clip = torch.randn(2, 16_384)
    assert torch.equal(network.eval()(clip), twin.eval()(clip))


@pytest.mark.parametrize("loss", ["mse", "mae"])
def test_feature_distance_is_per_clip_and_zero_for_equal_clips(loss: str) -> None:
    a = [torch.randn(3, 4, 5), torch.randn(3, 2)]
    b = [each.clone() for each in a]
    b[0][1] += 2.0
    expected = torch.tensor([0.0, (4.0 if loss == "mse" else 2.0) / 2, 0.0])
    assert torch.allclose(feature_distance(a, b, loss), expected, atol=1e-6)


def _half(rank: int, rendezvous: str, results: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
    torch.save(_normalised(_input()[rank * 3 : rank * 3 + 3]), f"{results}/{rank}.pt")
    dist.destroy_process_group()


def _input() -> torch.Tensor:
    return torch.randn(6, 4, 5, 3, generator=torch.Generator().manual_seed(0)) * 3 + 1


def _normalised(part: torch.Tensor) -> dict[str, torch.Tensor]:
    norm = BatchNorm2d(4)
    part = part.clone().requires_grad_()
    out = norm(part)
    out.pow(3).sum().backward()
    assert part.grad is not None and norm.running_mean is not None and norm.running_var is not None
    return {"out": out.detach(), "grad": part.grad, "mean": norm.running_mean, "var": norm.running_var}


def test_batch_norm_over_two_ranks_equals_torchs_over_all(tmp_path: Path) -> None:
    whole = _normalised(_input())
    mp.spawn(_half, args=(str(tmp_path / "rendezvous"), str(tmp_path)), nprocs=2)
    halves = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    for name in ("out", "grad"):
        assert torch.allclose(torch.cat([half[name] for half in halves]), whole[name], atol=1e-3, rtol=1e-4)
    for name in ("mean", "var"):
        assert torch.allclose(halves[0][name], whole[name], rtol=1e-4)
