"""Batch normalisation over the whole batch, also where ranks hold a part each.

torch's SyncBatchNorm refuses CPU tensors; with this one, two gloo ranks with half a batch each equal one with all of it.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce


class BatchNorm2d(nn.BatchNorm2d):
    """As torch's, with statistics of all ranks in training mode. Ranks must hold equally many clips."""

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        if not (self.training and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
            return super().forward(input)
        world = dist.get_world_size()
        local = torch.cat([input.mean((0, 2, 3)), input.square().mean((0, 2, 3))])
        mean, square = (all_reduce(local) / world).chunk(2)
        variance = (square - mean.square()).clamp_min(0.0)
        count = input.numel() / input.shape[1] * world
        with torch.no_grad():
            assert (
                self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
            )
            momentum = self.momentum if self.momentum is not None else 0.1
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), momentum)
            self.num_batches_tracked.add_(1)
        scale = torch.rsqrt(variance + self.eps) * (1.0 if self.weight is None else self.weight)
        shift = (0.0 if self.bias is None else self.bias) - mean * scale
        return input * scale[:, None, None] + shift[:, None, None]
