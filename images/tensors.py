"""Pictures on a device: the same numbers as of `images.picture`, to the bit, wherever they are computed."""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from invertone.images.picture import SCALE


def view(pixels: UInt8[Tensor, "b h w 3"]) -> Float[Tensor, "b 3 h w"]:
    """As `invertone.images.picture.views`, on the pixels' device. Multiplied, not divided: GPUs and CPUs divide by a number in
    different ways."""
    return pixels.permute(0, 3, 1, 2).float().mul_(2).sub_(255).mul_(float(SCALE)).contiguous()


@torch.no_grad()
def quantised(seen: Float[Tensor, "b 3 h w"]) -> UInt8[Tensor, "b h w 3"]:
    """As `invertone.images.picture.to_uint8`, on the view's device; NaN is grey."""
    levels = torch.nan_to_num(seen.double(), nan=0.0).add_(1).mul_(127.5).round_()
    return levels.clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
