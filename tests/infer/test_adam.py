"""Batched Adam against torch's own, and the clippings."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import kstest

from invertone.infer.solvers.adam import AdamSettings, BatchedAdam, counted_uniform


def run(adam: BatchedAdam, centre: torch.Tensor) -> BatchedAdam:
    """Minimises |x - centre|² / 2 per slot."""
    while not adam.done.all():
        off = adam.trial - centre
        adam.tell(off.square().sum(1) / 2, off)
    return adam


def test_without_clipping_it_takes_torchs_steps() -> None:
    start = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    centre = torch.full((3, 4), 2.0, dtype=torch.float64)
    adam = BatchedAdam(start, torch.arange(3), -1.0, 1.0, AdamSettings(0.05, "none", evaluations=41))
    theirs = start.clone().requires_grad_()
    optimiser = torch.optim.Adam([theirs], lr=0.05)
    for _ in range(40):
        assert torch.allclose(adam.trial, theirs.detach(), atol=1e-12)
        optimiser.zero_grad()
        ((theirs - centre).square().sum() / 2).backward()
        optimiser.step()
        off = adam.trial - centre
        adam.tell(off.square().sum(1) / 2, off)
    assert adam.iterations.tolist() == [39] * 3 and not adam.done.any()


@pytest.mark.parametrize("clipping", ["standard", "stochastic"])
def test_clipping_keeps_the_box(clipping: str) -> None:
    start = torch.zeros(5, 6, dtype=torch.float64)
    adam = BatchedAdam(start, torch.arange(5), -1.0, 1.0, AdamSettings(0.3, clipping, evaluations=60))
    run(adam, torch.full((5, 6), 3.0, dtype=torch.float64))
    assert adam.trial.abs().max() <= 1.0 and adam.point.abs().max() <= 1.0
    if clipping == "standard":
        assert torch.equal(adam.point, torch.ones(5, 6, dtype=torch.float64))
    else:
        assert len(set(adam.trial.flatten().tolist())) > 20, "drawn anew, each for itself"


def test_a_slot_is_alone() -> None:
    """Also what stochastic clipping draws; and a refilled slot is as new."""
    centre = torch.full((4, 6), 3.0, dtype=torch.float64)
    settings = AdamSettings(0.3, "stochastic", evaluations=25)
    start = torch.rand(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    seeds = torch.tensor([7, 8, 9, 10])
    together = run(BatchedAdam(start, seeds, -1.0, 1.0, settings), centre)
    alone = run(BatchedAdam(start[2:3], seeds[2:3], -1.0, 1.0, settings), centre[:1])
    assert torch.equal(together.trial[2], alone.trial[0]) and torch.equal(together.point[2], alone.point[0])
    together.refill(torch.tensor([False, True, False, False]), start[[2, 2, 2, 2]], seeds[[2, 2, 2, 2]])
    again = run(together, centre)
    assert torch.equal(again.trial[1], alone.trial[0]) and torch.equal(again.trial[0], together.trial[0])
    assert again.evaluations.tolist() == [25] * 4


def test_counted_numbers_are_uniform_and_depend_on_seed_count_and_coordinate() -> None:
    seeds, counts = torch.arange(200), torch.arange(200) % 17
    drawn = counted_uniform(seeds, counts, 100)
    assert drawn.min() >= 0 and drawn.max() < 1 and len(set(drawn.flatten().tolist())) > 19_990
    assert kstest(drawn.flatten().numpy(), "uniform").pvalue > 1e-3
    assert torch.equal(drawn[5:6], counted_uniform(seeds[5:6], counts[5:6], 100))
    neighbours = torch.corrcoef(torch.stack([drawn[:-1].flatten(), drawn[1:].flatten()]))[0, 1]
    assert neighbours.abs() < 0.03


def test_no_step_waits_for_the_device() -> None:
    """Tensors without data cannot be looked at: what runs on them never asks what they hold."""
    start, seeds = torch.empty(4, 6, device="meta"), torch.zeros(4, dtype=torch.int64, device="meta")
    adam = BatchedAdam(start, seeds, -1.0, 1.0, AdamSettings(clipping="stochastic"))
    for _ in range(3):
        adam.tell(torch.empty(4, device="meta"), torch.empty(4, 6, device="meta"))
    assert adam.trial.device.type == "meta"
