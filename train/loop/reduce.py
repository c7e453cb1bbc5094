"""What ranks tell each other: gradients, sums, and whether all is well. Explicit, because DDP's hooks rule out autograd.grad,
which gradient penalties need. With one process everything here is the identity."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_gather


def world_size() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Every gradient becomes its mean over the ranks, in one message."""
    size = world_size()
    if size == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= size
    at = 0
    for gradient in gradients:
        gradient.copy_(flat[at : at + gradient.numel()].view_as(gradient))
        at += gradient.numel()


def total(value: Tensor) -> Tensor:
    """The sum over ranks."""
    if world_size() > 1:
        dist.all_reduce(value)
    return value


def mean(value: Tensor) -> Tensor:
    """The mean over ranks."""
    return total(value) / world_size()


def gathered(part: Tensor) -> Tensor:
    """All ranks' rows, in their order. Its gradient is right where every rank computes the same loss of the whole and
    gradients are averaged afterwards."""
    return torch.cat(all_gather(part.contiguous())) if world_size() > 1 else part


def broadcast(networks: Iterable[nn.Module]) -> None:
    """Every rank starts from rank 0's weights."""
    if world_size() == 1:
        return
    for network in networks:
        for tensor in network.state_dict().values():
            dist.broadcast(tensor, 0)
