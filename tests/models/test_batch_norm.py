"""Batch norm whose statistics are left alone, or taken anew over some batches."""

from __future__ import annotations

import pytest
import torch

from invertone.models.networks.batch_norm import BatchNorm2d, statistics_of


def batches(count: int) -> list[torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    return [torch.randn(4, 3, 5, 5, generator=rng) * (number + 1) + number for number in range(count)]


def test_standing_statistics_are_the_mean_over_all_batches() -> None:
    norm = BatchNorm2d(3).eval()
    norm.running_mean.fill_(99.0)  # type: ignore[union-attr]
    with statistics_of([norm], momentum=None):
        for batch in batches(5):
            norm(batch)
    mean = torch.stack([batch.mean((0, 2, 3)) for batch in batches(5)]).mean(0)
    variance = torch.stack([batch.transpose(0, 1).flatten(1).var(1) for batch in batches(5)]).mean(0)
    assert torch.allclose(norm.running_mean, mean, atol=1e-5)  # type: ignore[arg-type]
    assert torch.allclose(norm.running_var, variance, rtol=1e-4)  # type: ignore[arg-type]
    assert norm.momentum == 0.1 and not norm.training


def test_momentum_0_normalises_by_the_batch_and_leaves_no_trace() -> None:
    norm, (batch,) = BatchNorm2d(3), batches(1)
    with statistics_of([norm], momentum=0.0):
        made = norm(batch)
    assert made.mean().item() == pytest.approx(0.0, abs=1e-5) and norm.training
    assert torch.equal(norm.running_mean, torch.zeros(3)) and torch.equal(norm.running_var, torch.ones(3))  # type: ignore[arg-type]
