"""Losses of adversaries against closed forms."""

from __future__ import annotations

import math

import torch

from invertone.train.adversarial import drift, gradient_penalty, log_fake, log_real


def test_log_losses_are_cross_entropies() -> None:
    score = torch.tensor([0.0, 2.0], dtype=torch.float64)
    real = [math.log(2), math.log1p(math.exp(-2))]
    fake = [math.log(2), 2 + math.log1p(math.exp(-2))]
    assert math.isclose(float(log_real(score)), sum(real) / 2) and math.isclose(float(log_fake(score)), sum(fake) / 2)
    assert math.isfinite(float(log_real(torch.tensor([-1e4]))))


def test_the_penalty_of_a_linear_score_is_that_of_its_slope() -> None:
    weight = torch.randn(2, 3, 4, dtype=torch.float64)
    real, fake = torch.randn(2, 5, 2, 3, 4, dtype=torch.float64)
    found = gradient_penalty(lambda x: (x * weight).sum((1, 2, 3)), real, fake, torch.rand(5, 1, 1, 1).double())
    assert math.isclose(float(found), (float(weight.norm()) - 1) ** 2)


def test_the_penalty_is_taken_between_real_and_fake_and_has_a_gradient() -> None:
    """Of score |x|² / 2 the slope is x itself."""
    power = torch.ones((), dtype=torch.float64, requires_grad=True)
    real, fake, share = torch.full((1, 2), 3.0), torch.full((1, 2), 5.0), torch.full((1, 1), 0.25)
    found = gradient_penalty(lambda x: power * x.square().sum(1) / 2, real.double(), fake.double(), share.double())
    length = math.sqrt(2) * 3.5
    assert math.isclose(float(found.detach()), (length - 1) ** 2)
    found.backward()
    assert power.grad is not None and math.isclose(float(power.grad), 2 * (length - 1) * length)


def test_drift_is_the_mean_square() -> None:
    assert float(drift(torch.tensor([1.0, -3.0]))) == 5.0
