"""Triplets with semi-hard negatives against a search written out."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from invertone.train.identity import semi_hard_triplets


def searched(embedding: np.ndarray, label: list[int], margin: float) -> float:  # type: ignore[type-arg]
    losses = []
    for anchor, identity in enumerate(label):
        others = [n for n, each in enumerate(label) if each not in (identity, -1)]
        if identity < 0 or not others:
            continue
        far = {n: float(((embedding[anchor] - embedding[n]) ** 2).sum()) for n in range(len(label))}
        for positive, each in enumerate(label):
            if each == identity and positive != anchor:
                beyond = [far[n] for n in others if far[n] > far[positive]]
                negative = min(beyond) if beyond else max(far[n] for n in others)
                losses.append(max(0.0, far[positive] - negative + margin))
    return sum(losses) / max(1, len(losses))


@given(st.lists(st.integers(-1, 3), min_size=1, max_size=12), st.integers(0, 1_000), st.sampled_from([0.2, 1.5]))
def test_it_is_the_search_over_all_pairs(label: list[int], seed: int, margin: float) -> None:
    embedding = np.random.default_rng(seed).standard_normal((len(label), 3))
    found = semi_hard_triplets(torch.from_numpy(embedding), torch.tensor(label), margin)
    assert abs(float(found) - searched(embedding, label, margin)) < 1e-9


def test_it_pulls_identities_apart() -> None:
    """What is somewhat nearer to its own kind than to others becomes so by more than the margin."""
    rng = torch.Generator().manual_seed(0)
    label = torch.arange(4).repeat_interleave(4)
    place = (torch.eye(8)[label] + 0.4 * torch.randn(16, 8, generator=rng)).requires_grad_()
    optimiser = torch.optim.SGD([place], 1.0)
    before = float(semi_hard_triplets(F.normalize(place), label).detach())
    for _ in range(200):
        optimiser.zero_grad()
        semi_hard_triplets(F.normalize(place), label).backward()
        optimiser.step()
    after = float(semi_hard_triplets(F.normalize(place), label).detach())
    near = torch.cdist(F.normalize(place), F.normalize(place)).fill_diagonal_(torch.inf).argmin(1)
    assert before > 0.05 and after < before / 20 and (label[near] == label).all()


def test_without_a_pair_there_is_no_loss_and_a_gradient_of_zero() -> None:
    embedding = torch.randn(3, 2).requires_grad_()
    loss = semi_hard_triplets(embedding, torch.tensor([0, 1, -1]))
    loss.backward()
    assert float(loss.detach()) == 0 and embedding.grad is not None and not embedding.grad.any()
