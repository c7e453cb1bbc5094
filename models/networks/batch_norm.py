"""Batch normalisation over the whole batch, also where ranks hold a part each.

torch's SyncBatchNorm refuses CPU tensors; with this one, two gloo ranks with half a batch each equal one with all of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce


@contextmanager
def statistics_of(networks: Iterable[nn.Module], momentum: float | None) -> Iterator[None]:
    """Within, batch norms of `networks` normalise by the batch, and what they keep of it has another momentum: 0 keeps
    nothing, None begins anew and keeps the mean over all batches (standing statistics, Brock et al. 2019)."""
    chosen = list(networks)
    norms = [each for network in chosen for each in network.modules() if isinstance(each, BatchNorm2d)]
    before = [network.training for network in chosen], [norm.momentum for norm in norms]
    for norm in norms:
        if momentum is None:
            norm.reset_running_stats()
        norm.momentum = momentum
    for network in chosen:
        network.train()
    yield
    for network, training in zip(chosen, before[0], strict=True):
        network.train(training)
    for norm, kept in zip(norms, before[1], strict=True):
        norm.momentum = kept


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
            self.num_batches_tracked.add_(1)
            momentum = self.momentum if self.momentum is not None else 1.0 / float(self.num_batches_tracked)
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), momentum)
        scale = torch.rsqrt(variance + self.eps) * (1.0 if self.weight is None else self.weight)
        shift = (0.0 if self.bias is None else self.bias) - mean * scale
        return input * scale[:, None, None] + shift[:, None, None]
