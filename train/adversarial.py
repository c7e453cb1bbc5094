"""What generators and those who judge them lose: terms that several objectives share, of scores alone."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def log_real(score: Float[Tensor, " b"]) -> Float[Tensor, ""]:
    """A discriminator's loss where it should say real: the negative logarithm of the probability that it gives. Of generated
    pictures it is their generator's loss that does not saturate (Goodfellow et al. 2014, section 3)."""
    return F.softplus(-score).mean()


def log_fake(score: Float[Tensor, " b"]) -> Float[Tensor, ""]:
    """A discriminator's loss where it should say fake."""
    return F.softplus(score).mean()


def gradient_penalty(
    score: Callable[[Tensor], Float[Tensor, " b"]],
    real: Float[Tensor, "b *c n"],
    fake: Float[Tensor, "b *c n"],
    share: Float[Tensor, "b *ones 1"],
) -> Float[Tensor, ""]:
    """Mean of (‖∇ score‖ - 1)² on points between real and fake signals (Gulrajani et al. 2017, equation 3): `share` of the way,
    a number for each, with as many dimensions as they have."""
    between = torch.lerp(real, fake, share).requires_grad_()
    (gradient,) = torch.autograd.grad(score(between).sum(), between, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1.0).square().mean()


def drift(score: Float[Tensor, " b"]) -> Float[Tensor, ""]:
    """What keeps a critic's scores near zero, of real signals (Karras et al. 2018, appendix A.1: weight 0.001)."""
    return score.square().mean()
