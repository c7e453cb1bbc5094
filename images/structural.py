"""Structural similarity of pictures, of spectrograms as well."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from invertone.images.gaussian import WINDOW, gaussian


@lru_cache(maxsize=1)
def _compiles() -> bool:
    """Whether numba is there. It is wherever this is installed; a benchmark for GPUs also runs where it is not."""
    return find_spec("numba") is not None


def _blurred(image: Float[Tensor, "b h w"], axis: int) -> Float[Tensor, "b i j"]:
    """Weighted by SSIM's Gaussian along one axis, where it fits whole. As a sum of shifted images: on a CPU three times as
    fast as a product with a banded matrix, twenty times as a convolution of one channel."""
    size = image.shape[axis] - WINDOW + 1
    first, *others = gaussian()
    total = image.narrow(axis, 0, size) * first
    for shift, weight in enumerate(others, 1):
        total = total.add_(image.narrow(axis, shift, size), alpha=weight)
    return total


def ssim(a: Float[Tensor, "b *c h w"], b: Float[Tensor, "b *c h w"], data_range: float) -> Float[Tensor, " b"]:
    """Structural similarity (Wang, Bovik, Sheikh & Simoncelli 2004): 11×11 Gaussian window, sigma 1.5, K 0.01 and 0.03.

    The mean over the positions where the window fits whole; 1 for equal images.
    """
    if a.ndim > 3:
        return ssim(a.flatten(0, -3), b.flatten(0, -3), data_range).unflatten(0, a.shape[:-2]).flatten(1).mean(1)
    if a.stride(1) == 1:  # as an STFT leaves it; the window is the same both ways
        a, b = a.mT, b.mT
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    differentiated = torch.is_grad_enabled() and (a.requires_grad or b.requires_grad)
    if a.device.type == "cpu" and a.dtype == b.dtype == torch.float32 and not differentiated and _compiles():
        from invertone.images.similarity import mean_similarity  # numba, for those who judge

        pairs = zip(a.detach().contiguous().numpy(), b.detach().contiguous().numpy(), strict=True)
        return torch.tensor([mean_similarity(*pair, np.float32(c1), np.float32(c2)) for pair in pairs], dtype=a.dtype)
    # one at a time: what is summed stays in the processor's cache; only the sum of the variances is needed
    parts = [_blurred(_blurred(each, 1), 2) for each in (a, b, a.square() + b.square(), a * b)]
    mean_a, mean_b, squares, products = parts
    both, own = mean_a * mean_b, mean_a.square() + mean_b.square()
    score = (2 * both + c1) * (2 * (products - both) + c2) / ((own + c1) * (squares - own + c2))
    return score.mean((1, 2))
