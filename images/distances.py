"""Distances between pictures, one number per picture, of all channels. All take the view of networks, [b, 3, h, w] in [-1, 1].

How far apart two sets of pictures are is the Fréchet distance of their features (`models.frechet`), whatever the network.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from invertone.images.structural import ssim

DATA_RANGE = 2.0
"""From black to white."""
LEAST_MSE = 1e-10
"""What equal pictures count as: 106 dB, more than any two of 8 bits have that differ anywhere (of 128 × 128 pixels: 95 dB),
so that means stay finite and there is a gradient."""


def pixel_mae(a: Float[Tensor, "b c h w"], b: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    """Mean absolute difference of pixels, between 0 and 2."""
    return (a - b).abs().flatten(1).mean(1)


def pixel_mse(a: Float[Tensor, "b c h w"], b: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    """Mean squared difference of pixels, between 0 and 4."""
    return (a - b).square().flatten(1).mean(1)


def psnr(a: Float[Tensor, "b c h w"], b: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    """Peak signal-to-noise ratio in dB: 20 log10(range / √MSE), where the range is DATA_RANGE, the same as 255 of 8-bit pixels
    (thesis, equation 2.3). Of each picture by itself: its mean over pictures is not that of their pooled error."""
    return 10 * torch.log10(DATA_RANGE**2 / pixel_mse(a, b).clamp_min(LEAST_MSE))


def picture_ssim(a: Float[Tensor, "b c h w"], b: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    """Structural similarity (`images.structural.ssim`: Gaussian window of 11 pixels, sigma 1.5, where it fits whole) of each
    channel, then the mean over channels; 1 for equal pictures, which are of 11 × 11 pixels at least.

    Black counts as 0, as in files: what compares means knows where zero is, and in the view of networks it is grey.
    """
    return ssim(a + 1, b + 1, data_range=DATA_RANGE)
