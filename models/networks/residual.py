"""What the residual networks with 18 layers (He et al. 2016, "ResNet-18") have in common, whatever they look at: stem, eight
blocks, initial weights. What makes their input and what reads their output is the business of who uses them."""

from __future__ import annotations

from collections.abc import Iterable

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from invertone.models.networks.batch_norm import BatchNorm2d

STAGES, BLOCKS_PER_STAGE = 4, 2


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, which is a 1x1 convolution where the shape changes."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.norm1 = BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.norm2 = BatchNorm2d(outside)
        self.shortcut = (
            nn.Identity()
            if inside == outside and stride == 1
            else nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), BatchNorm2d(outside))
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        hidden = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(hidden)) + self.shortcut(x))


def stem(channels: int, width: int) -> nn.Sequential:
    """What stands before the blocks: a quarter of the height and width of `channels` planes, `width` channels."""
    return nn.Sequential(
        nn.Conv2d(channels, width, 7, 2, 3, bias=False), BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
    )


def last_width(width: int) -> int:
    """Channels after the last block of a network whose first stage has `width`."""
    return width << (STAGES - 1)


def residual_blocks(width: int) -> nn.ModuleList:
    """The eight blocks, in order: every stage but the first halves height and width and doubles the channels."""
    widths = [width, *(width << stage for stage in range(STAGES))]
    return nn.ModuleList(
        ResidualBlock(
            widths[stage] if block == 0 else widths[stage + 1],
            widths[stage + 1],
            stride=2 if block == 0 and stage > 0 else 1,
        )
        for stage in range(STAGES)
        for block in range(BLOCKS_PER_STAGE)
    )


def activations(blocks: Iterable[nn.Module], hidden: Float[Tensor, "b c h w"]) -> list[Tensor]:
    """What each block gives, one after the other: [b, c, i, j] from the first to the last."""
    features = []
    for block in blocks:
        hidden = block(hidden)
        features.append(hidden)
    return features


def he(module: nn.Module) -> None:
    """He et al.'s initial weights, of convolutions; for `nn.Module.apply`."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
