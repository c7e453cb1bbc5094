"""BigGAN's building blocks (Brock, Donahue & Simonyan 2019, appendix B) for one-channel spectrograms.

Labels enter as probabilities [b, classes]: one-hot where a label is known, soft where a classifier guesses.
"""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from invertone.models.networks.batch_norm import BatchNorm2d

SPECTRAL_EPSILON = 1e-6


def spectral(module: nn.Module) -> nn.Module:
    """`module` with orthogonal weights (Saxe, McClelland & Ganguli 2014) and zero biases, its weight divided by its largest
    singular value (Miyato et al. 2018). The estimate of that value moves in training mode only."""
    return spectral_norm(orthogonal(module), eps=SPECTRAL_EPSILON)


def orthogonal(module: nn.Module) -> nn.Module:
    """`module` with orthogonal weights and zero biases."""
    nn.init.orthogonal_(cast(Tensor, module.weight))
    if getattr(module, "bias", None) is not None:
        nn.init.zeros_(cast(Tensor, module.bias))
    return module


class ConditionalBatchNorm2d(nn.Module):
    """Batch norm whose gain and bias are linear in the label; with `classes` 0 ordinary batch norm."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.norm = BatchNorm2d(channels, affine=classes == 0)
        self.gain = spectral(nn.Linear(classes, channels, bias=False)) if classes else None
        self.bias = spectral(nn.Linear(classes, channels, bias=False)) if classes else None

    def forward(self, x: Float[Tensor, "b c h w"], label: Float[Tensor, "b k"]) -> Float[Tensor, "b c h w"]:
        normal = self.norm(x)
        if self.gain is None or self.bias is None:
            return normal
        return normal * (1 + self.gain(label))[:, :, None, None] + self.bias(label)[:, :, None, None]


class UpBlock(nn.Module):
    """Residual block of the generator: twice the height and width, `inside` → `outside` channels."""

    def __init__(self, inside: int, outside: int, classes: int) -> None:
        super().__init__()
        self.norm1 = ConditionalBatchNorm2d(inside, classes)
        self.conv1 = spectral(nn.Conv2d(inside, outside, 3, padding=1))
        self.norm2 = ConditionalBatchNorm2d(outside, classes)
        self.conv2 = spectral(nn.Conv2d(outside, outside, 3, padding=1))
        self.shortcut = spectral(nn.Conv2d(inside, outside, 1))

    def forward(self, x: Float[Tensor, "b c h w"], label: Float[Tensor, "b k"]) -> Float[Tensor, "b d i j"]:
        hidden = F.interpolate(F.relu(self.norm1(x, label)), scale_factor=2)
        hidden = self.conv2(F.relu(self.norm2(self.conv1(hidden), label)))
        # A 1x1 convolution and nearest-neighbour upsampling commute: this order costs a quarter.
        return hidden + F.interpolate(self.shortcut(x), scale_factor=2)


class DownBlock(nn.Module):
    """Residual block of discriminator and encoder: half the height and width. The `first` sees the spectrogram itself, which
    no ReLU may cut. Its weights have spectral norm, or with `batch_norm` its inputs are normalised over the batch."""

    def __init__(self, inside: int, outside: int, first: bool = False, batch_norm: bool = False) -> None:
        super().__init__()
        self.first = first
        make = orthogonal if batch_norm else spectral
        self.norm1 = BatchNorm2d(inside) if batch_norm and not first else nn.Identity()
        self.conv1 = make(nn.Conv2d(inside, outside, 3, padding=1))
        self.norm2 = BatchNorm2d(outside) if batch_norm else nn.Identity()
        self.conv2 = make(nn.Conv2d(outside, outside, 3, padding=1))
        self.shortcut = make(nn.Conv2d(inside, outside, 1))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        hidden = self.conv1(x if self.first else F.relu(self.norm1(x)))
        hidden = F.avg_pool2d(self.conv2(F.relu(self.norm2(hidden))), 2)
        return hidden + self.shortcut(F.avg_pool2d(x, 2))  # pooling and a 1x1 convolution commute


class LastBlock(nn.Module):
    """The block at the end of discriminator and encoder that GAAE's tables print as "ResBlock (No Shortcut)" (XIII, XVII to
    XX): as many channels and places come out as go in, and nothing is added to what its two convolutions make."""

    def __init__(self, channels: int, batch_norm: bool = False) -> None:
        super().__init__()
        make = orthogonal if batch_norm else spectral
        self.norm1 = BatchNorm2d(channels) if batch_norm else nn.Identity()
        self.conv1 = make(nn.Conv2d(channels, channels, 3, padding=1))
        self.norm2 = BatchNorm2d(channels) if batch_norm else nn.Identity()
        self.conv2 = make(nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        hidden = self.conv1(F.relu(self.norm1(x)))
        return self.conv2(F.relu(self.norm2(hidden)))


class NonLocalBlock(nn.Module):
    """Self-attention over all places (Zhang, Goodfellow, Metaxas & Odena 2019), added with a gain that starts at 0.

    Keys and values are pooled 2x2; queries and keys have an eighth of the channels, values half. The matrix of
    attention (67 MB a clip in float32 at 128 x 64) is never held where `scaled_dot_product_attention` has a fused kernel.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.narrow, self.wide = max(1, channels // 8), max(1, channels // 2)
        self.query = spectral(nn.Conv2d(channels, self.narrow, 1, bias=False))
        self.key = spectral(nn.Conv2d(channels, self.narrow, 1, bias=False))
        self.value = spectral(nn.Conv2d(channels, self.wide, 1, bias=False))
        self.out = spectral(nn.Conv2d(self.wide, channels, 1, bias=False))
        self.gain = nn.Parameter(torch.zeros(()))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        query = self.query(x).flatten(2).mT
        key = F.max_pool2d(self.key(x), 2).flatten(2).mT
        value = F.max_pool2d(self.value(x), 2).flatten(2).mT
        # Fused kernels want one size for all three: zeros change neither the products nor the result's first part.
        query, key = (F.pad(each, (0, self.wide - self.narrow)) for each in (query, key))
        attended = F.scaled_dot_product_attention(query[:, None], key[:, None], value[:, None], scale=1.0)[:, 0]
        return x + self.gain * self.out(attended.mT.unflatten(2, x.shape[2:]))
