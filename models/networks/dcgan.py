"""DCGAN (Radford, Metz & Chintala 2016): generator and discriminator of pictures.

Of 64 x 64 as the paper has it: a dense layer to 4 x 4, four transposed convolutions 5x5 of stride 2. For 32 and 128 a layer
less or more: the outer layers stay, the inner end has half or twice as many channels. Kernels, padding and initial weights are
those of the authors' code; a bias is where no batch norm follows.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from invertone.models.networks.batch_norm import BatchNorm2d
from invertone.models.prior import Prior

KERNEL, STRIDE, FIRST, SLOPE = 5, 2, 4, 0.2
SIZES = (32, 64, 128)
COLOURS = 3
DEVIATION = 0.02
"""Standard deviation of initial weights, and of the gains of batch norms about 1 (section 4)."""


def widths(width: int, size: int) -> list[int]:
    """Channels before and after each layer of a generator, from its latent to its picture."""
    assert size in SIZES, f"pictures of {size} px"
    layers = (size // FIRST).bit_length() - 1
    return [*(width << layer for layer in reversed(range(layers))), COLOURS]


class DcganGenerator(nn.Module):
    """Latents → pictures [b, 3, size, size] in [-1, 1]. At width 128 and 64 px as in the paper's figure 1: 1,024
    channels at 4 x 4, then 512, 256, 128; 18,885,760 parameters.

    prior: "uniform" as in the paper, or "normal". It normalises by the batch while it trains, by what it kept afterwards.
    """

    def __init__(self, width: int = 128, latent_size: int = 100, size: int = 64, prior: str = "uniform") -> None:
        super().__init__()
        self.width, self.latent_size, self.size, self.prior = width, latent_size, size, Prior(kind=prior)
        self.picture_height = self.picture_width = size
        hidden = widths(width, size)
        self.dense = nn.Linear(latent_size, FIRST * FIRST * hidden[0], bias=False)
        # Of the first plane every place is normalised apart, as the dense layer's units that they are.
        self.first = BatchNorm2d(FIRST * FIRST * hidden[0])
        self.norms = nn.ModuleList(BatchNorm2d(channels) for channels in hidden[1:-1])
        self.upconvs = nn.ModuleList(
            nn.ConvTranspose2d(inside, outside, KERNEL, STRIDE, KERNEL // 2, 1, bias=False)
            for inside, outside in pairwise(hidden)
        )
        self.apply(_initialise)

    def architecture(self) -> dict[str, Any]:
        return {"width": self.width, "latent_size": self.latent_size, "size": self.size, "prior": self.prior.kind}

    def forward(self, latent: Float[Tensor, "b z"], label: Int[Tensor, " b"] | None = None) -> Float[Tensor, "b 3 h w"]:
        """`label` is ignored: DCGAN is unconditional."""
        units = F.relu(self.first(self.dense(latent)[:, :, None, None])).flatten(1)
        hidden = self.upconvs[0](units.unflatten(1, (-1, FIRST, FIRST)))
        for norm, upconv in zip(self.norms, self.upconvs[1:], strict=True):
            hidden = upconv(F.relu(norm(hidden)))
        return torch.tanh(hidden)


class DcganDiscriminator(nn.Module):
    """Pictures [b, 3, size, size] → logits of being real (no sigmoid). Leaky ReLU 0.2; batch norm after every convolution but
    the first."""

    def __init__(self, width: int = 128, size: int = 64) -> None:
        super().__init__()
        self.width, self.size = width, size
        hidden = widths(width, size)[::-1]
        self.downconvs = nn.ModuleList(
            nn.Conv2d(inside, outside, KERNEL, STRIDE, KERNEL // 2, bias=False) for inside, outside in pairwise(hidden)
        )
        self.norms = nn.ModuleList(BatchNorm2d(channels) for channels in hidden[2:])
        self.dense = nn.Linear(FIRST * FIRST * hidden[-1], 1, bias=False)
        self.apply(_initialise)

    def architecture(self) -> dict[str, Any]:
        return {"width": self.width, "size": self.size}

    def forward(self, picture: Float[Tensor, "b 3 h w"]) -> Float[Tensor, " b"]:
        hidden = F.leaky_relu(self.downconvs[0](picture), SLOPE)
        for norm, downconv in zip(self.norms, self.downconvs[1:], strict=True):
            hidden = F.leaky_relu(norm(downconv(hidden)), SLOPE)
        return self.dense(hidden.flatten(1))[:, 0]


def _initialise(module: nn.Module) -> None:
    """Weights normal about 0, gains of batch norms about 1."""
    if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(module.weight, 0.0, DEVIATION)
    elif isinstance(module, BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, DEVIATION)
