"""The compiled loop of structural similarity; other tests compare it with other libraries, of spectrograms and of pictures."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from invertone.images.structural import ssim


@given(st.integers(11, 40), st.integers(11, 40), st.integers(0, 2**31), st.floats(0.0, 1.0), st.booleans())
def test_the_compiled_similarity_is_that_of_the_operations(
    height: int, width: int, seed: int, noise: float, turned: bool
) -> None:
    """Which a gradient, a GPU or double precision asks for."""
    rng = torch.Generator().manual_seed(seed)
    a = torch.rand(2, height, width, generator=rng) * 2 - 1
    b = (a + noise * torch.randn(2, height, width, generator=rng)).clamp(-1, 1)
    if turned:
        a, b = a.mT.contiguous().mT, b.mT.contiguous().mT
    found, exact = ssim(a, b, 2.0), ssim(a.double(), b.double(), 2.0)
    assert found.dtype == torch.float32 and (found - exact).abs().max() < 1e-5
    differentiable = ssim(a.clone().requires_grad_(), b, 2.0)
    assert differentiable.requires_grad and (differentiable - exact).abs().max() < 1e-5
