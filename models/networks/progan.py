"""The progressive GAN (Karras, Aila, Laine & Lehtinen 2018): pictures that grow from 4 x 4 by doubling.

How far a network has grown is an argument: a resolution, and `alpha`, the share that its newest level has in the picture
while it is faded in (figure 2 there). So growth is data, and a network of full size has all its weights from the beginning.
Channels, kernels and gains are those of the paper's table 2 and of its authors' code. Where a discriminator's planes shrink,
the table has the leaky ReLU before, and that code after; here it stands as in the table.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from invertone.models.prior import Prior

FIRST, COLOURS, SLOPE = 4, 3, 0.2
EPSILON = 1e-8
GROUP = 4
"""Pictures over which the discriminator takes a deviation."""
RELU_GAIN = math.sqrt(2.0)
"""He's gain, for layers that a leaky ReLU follows."""


def levels(size: int) -> list[int]:
    """Resolutions from 4 to `size`, a power of two."""
    assert size >= FIRST and size.bit_count() == 1, f"pictures of {size} px"
    return [1 << exponent for exponent in range(FIRST.bit_length() - 1, size.bit_length())]


def channels(resolution: int, width: int) -> int:
    """Feature maps at a resolution: `width` up to 32 x 32, half of them at every doubling above. 512 is the paper's (table 2:
    16 at 1024 x 1024)."""
    return max(1, min(width, width * 32 // resolution))


class EqualisedConv2d(nn.Conv2d):
    """A convolution whose weights are standard normal at first and are multiplied by He's constant when they are used (section
    4.1), so that Adam moves all layers at one speed. The height and width stay."""

    def __init__(self, inside: int, outside: int, kernel: int, gain: float = RELU_GAIN) -> None:
        super().__init__(inside, outside, kernel, padding=kernel // 2)
        nn.init.normal_(self.weight)
        assert self.bias is not None
        nn.init.zeros_(self.bias)
        self.scale = gain / math.sqrt(inside * kernel * kernel)

    def forward(self, input: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o h w"]:
        return F.conv2d(input, self.weight * self.scale, self.bias, padding=self.padding)


class EqualisedLinear(nn.Linear):
    """As EqualisedConv2d, a dense layer."""

    def __init__(self, inside: int, outside: int, gain: float = RELU_GAIN, bias: bool = True) -> None:
        super().__init__(inside, outside, bias)
        nn.init.normal_(self.weight)
        if bias:
            nn.init.zeros_(self.bias)
        self.scale = gain / math.sqrt(inside)

    def forward(self, input: Float[Tensor, "b i"]) -> Float[Tensor, "b o"]:
        return F.linear(input, self.weight * self.scale, self.bias)


def pixel_norm(x: Float[Tensor, "b c *p"]) -> Float[Tensor, "b c *p"]:
    """Every place's channels divided by the root of their mean square (section 4.2); of latents [b, z] that puts them on the
    sphere of radius √z."""
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + EPSILON)


def minibatch_deviation(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
    """`x` and one plane more: the standard deviation over GROUP neighbours, averaged over channels and places (section 3).

    Groups are neighbours in the batch, so that they are the same where ranks hold parts of it that are multiples of GROUP;
    pictures that are left over make a group of their own.
    """
    planes = [
        (group.var(0, unbiased=False) + EPSILON).sqrt().mean().expand(len(group), 1, *x.shape[2:])
        for group in x.split(GROUP)
    ]
    return torch.cat([x, torch.cat(planes)], 1)


def doubled(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c i j"]:
    """Twice the height and width, by nearest neighbours."""
    return F.interpolate(x, scale_factor=2.0)


class GeneratorBlock(nn.Module):
    """One level: two 3x3 convolutions, each with leaky ReLU and pixel norm, of what was doubled before."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = EqualisedConv2d(inside, outside, 3), EqualisedConv2d(outside, outside, 3)

    def forward(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o j k"]:
        hidden = pixel_norm(F.leaky_relu(self.conv1(doubled(x)), SLOPE))
        return pixel_norm(F.leaky_relu(self.conv2(hidden), SLOPE))


class ProganGenerator(nn.Module):
    """Latents, standard normal → pictures [b, 3, size, size], of full scale ±1, which no last activation keeps within.
    23,079,115 parameters at 1,024 px, those of every level's picture included; 22,933,394 at 128 px.

    grown: the resolution it has grown to, which belongs to what it is: `forward` makes pictures of `size` at any time, of those
    by nearest neighbours. alpha: how far the newest level has been faded in.
    """

    def __init__(
        self, size: int = 128, latent_size: int = 512, width: int = 512, grown: int | None = None, alpha: float = 1.0
    ) -> None:
        super().__init__()
        self.size, self.latent_size, self.width = size, latent_size, width
        self.picture_height = self.picture_width = size
        self.grown, self.alpha = grown or size, alpha
        self.prior = Prior(kind="normal")
        self.resolutions = levels(size)
        hidden = [channels(resolution, width) for resolution in self.resolutions]
        # One bias for each channel of the 4 x 4 that the dense layer makes: it is a transposed convolution 4x4 of one place.
        self.dense = EqualisedLinear(latent_size, FIRST * FIRST * hidden[0], RELU_GAIN / FIRST, bias=False)
        self.bias = nn.Parameter(torch.zeros(hidden[0]))
        self.first = EqualisedConv2d(hidden[0], hidden[0], 3)
        self.blocks = nn.ModuleList(
            GeneratorBlock(inside, outside) for inside, outside in zip(hidden, hidden[1:], strict=False)
        )
        self.to_rgb = nn.ModuleList(EqualisedConv2d(inside, COLOURS, 1, gain=1.0) for inside in hidden)

    def architecture(self) -> dict[str, Any]:
        """Says how far it has grown where that is not all the way."""
        growing = {"grown": self.grown, "alpha": self.alpha} if (self.grown, self.alpha) != (self.size, 1.0) else {}
        return {"size": self.size, "latent_size": self.latent_size, "width": self.width, **growing}

    def forward(self, latent: Float[Tensor, "b z"], label: Int[Tensor, " b"] | None = None) -> Float[Tensor, "b 3 h w"]:
        """`label` is ignored: it is unconditional."""
        picture = self.at(latent, self.grown, self.alpha)
        return picture if self.grown == self.size else F.interpolate(picture, scale_factor=self.size / self.grown)

    def at(self, latent: Float[Tensor, "b z"], resolution: int, alpha: float = 1.0) -> Float[Tensor, "b 3 h w"]:
        """Pictures of `resolution`, grown so far: alpha 0 shows what was doubled of the level below, 1 the newest level
        alone."""
        newest = self.resolutions.index(resolution)
        hidden = self.dense(pixel_norm(latent)).unflatten(1, (-1, FIRST, FIRST)) + self.bias[:, None, None]
        hidden = pixel_norm(F.leaky_relu(hidden, SLOPE))
        below = hidden = pixel_norm(F.leaky_relu(self.first(hidden), SLOPE))
        for block in self.blocks[:newest]:
            below, hidden = hidden, block(hidden)
        picture = self.to_rgb[newest](hidden)
        if newest == 0 or alpha == 1.0:
            return picture
        return torch.lerp(doubled(self.to_rgb[newest - 1](below)), picture, alpha)


class DiscriminatorBlock(nn.Module):
    """One level: two 3x3 convolutions with leaky ReLU, then half the height and width by averages."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = EqualisedConv2d(inside, inside, 3), EqualisedConv2d(inside, outside, 3)

    def forward(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o j k"]:
        hidden = F.leaky_relu(self.conv1(x), SLOPE)
        return F.avg_pool2d(F.leaky_relu(self.conv2(hidden), SLOPE), 2)


class ProganDiscriminator(nn.Module):
    """Pictures of a resolution that is at most `size` → scores (no sigmoid), by the levels up to that resolution. The
    generator's mirror. 23,087,249 parameters at 1,024 px, those of every level's picture included; 22,941,313 at 128 px.

    A picture's score depends on its neighbours in the batch (`minibatch_deviation`).
    """

    def __init__(self, size: int = 128, width: int = 512) -> None:
        super().__init__()
        self.size, self.width = size, width
        self.resolutions = levels(size)
        hidden = [channels(resolution, width) for resolution in self.resolutions]
        self.from_rgb = nn.ModuleList(EqualisedConv2d(COLOURS, outside, 1) for outside in hidden)
        self.blocks = nn.ModuleList(
            DiscriminatorBlock(inside, outside) for outside, inside in zip(hidden, hidden[1:], strict=False)
        )
        """From the level of 8 x 8 on: `blocks[i]` goes from resolution i + 1 to resolution i."""
        self.last = EqualisedConv2d(hidden[0] + 1, hidden[0], 3)
        self.dense1 = EqualisedLinear(FIRST * FIRST * hidden[0], hidden[0])
        self.dense2 = EqualisedLinear(hidden[0], 1, gain=1.0)

    def architecture(self) -> dict[str, Any]:
        return {"size": self.size, "width": self.width}

    def forward(self, picture: Float[Tensor, "b 3 h w"], alpha: float = 1.0) -> Float[Tensor, " b"]:
        """alpha: as the generator's, of the level of the picture's own resolution."""
        newest = self.resolutions.index(picture.shape[-1])
        hidden = F.leaky_relu(self.from_rgb[newest](picture), SLOPE)
        for level in reversed(range(newest)):
            hidden = self.blocks[level](hidden)
            if level == newest - 1 and alpha != 1.0:
                below = F.leaky_relu(self.from_rgb[level](F.avg_pool2d(picture, 2)), SLOPE)
                hidden = torch.lerp(below, hidden, alpha)
        hidden = F.leaky_relu(self.last(minibatch_deviation(hidden)), SLOPE)
        return self.dense2(F.leaky_relu(self.dense1(hidden.flatten(1)), SLOPE))[:, 0]
