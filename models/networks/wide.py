"""Convolutions of very many channels, which oneDNN computes wrongly on CPUs of several threads.

Its kernel for the gradient of a strided convolution by its input, which a transposed convolution is as well, adds up more than
1,024 channels in parts, and with several threads these overwrite each other: other values in every call, wrong by up to half of
the largest (torch 2.11, a 25-tap kernel of stride 4: 2,048 → 1,024 channels forwards, 512 → 1,024 backwards; one thread is
right). So the widest layers of WaveGANs go by a matrix product, which is right and as fast; others stay as they
were, to the bit.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

MOST = 1_024
"""Channels up to which oneDNN adds up in one part; a convolution's gradient is wrong from there on."""


def conv_transpose1d(
    x: Float[Tensor, "b i t"], weight: Float[Tensor, "i o k"], bias: Float[Tensor, " o"], stride: int, padding: int
) -> Float[Tensor, "b o n"]:
    """As torch's of the same name, right for any number of channels."""
    if x.device.type != "cpu" or x.shape[1] <= MOST:
        return F.conv_transpose1d(x, weight, bias, stride, padding)
    taps = weight.shape[2]
    columns = torch.einsum("bit,iok->bokt", x, weight).flatten(1, 2)
    samples = (x.shape[2] - 1) * stride + taps - 2 * padding
    found = F.fold(columns, (1, samples), (1, taps), padding=(0, padding), stride=(1, stride))
    return found[:, :, 0] + bias[:, None]


def conv1d(
    x: Float[Tensor, "b i n"], weight: Float[Tensor, "o i k"], bias: Float[Tensor, " o"], stride: int
) -> Float[Tensor, "b o t"]:
    """As torch's of the same name, with a right gradient for any number of channels."""
    if x.device.type != "cpu" or weight.shape[0] < MOST:
        return F.conv1d(x, weight, bias, stride)
    return torch.einsum("bitk,oik->bot", x.unfold(2, weight.shape[2], stride), weight) + bias[:, None]
