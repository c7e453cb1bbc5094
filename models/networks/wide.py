"""Convolutions of very many channels, which oneDNN computes wrongly on CPUs of several threads.

Its kernel for the gradient of a strided convolution by its input, which a transposed convolution is as well, adds up more than
1,024 channels in parts, and with several threads these overwrite each other: other values in every call, wrong by up to half of
the largest (torch 2.11, a 25-tap kernel of stride 4: 2,048 → 1,024 channels forwards, 512 → 1,024 backwards; one thread is
right). So the widest layers of WaveGANs go by a matrix product, which is right and as fast; others stay as they
were, to the bit. Square kernels of pictures (3 to 7 taps a side) are right at any width tried, up to 2,048 channels.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

MOST, BLOCK = 1_024, 16
"""Channels up to which oneDNN adds up in one part; a convolution's gradient is wrong from there on. They count in whole blocks:
1,016 are 1,024 to it, and were wrong once in some thousand calls."""


class WideConvTranspose1d(nn.ConvTranspose1d):
    """As torch's, right for any number of channels; it takes no more of torch's options than stride and padding."""

    def forward(self, input: Float[Tensor, "b i t"], output_size: list[int] | None = None) -> Float[Tensor, "b o n"]:
        if input.device.type != "cpu" or self.in_channels <= MOST:
            return super().forward(input, output_size)
        (taps,), (stride,), padding = self.kernel_size, self.stride, int(self.padding[0])
        assert self.bias is not None and output_size is None
        columns = torch.einsum("bit,iok->bokt", input, self.weight).flatten(1, 2)
        samples = (input.shape[2] - 1) * stride + taps - 2 * padding
        found = F.fold(columns, (1, samples), (1, taps), padding=(0, padding), stride=(1, stride))
        return found[:, :, 0] + self.bias[:, None]


class WideConv1d(nn.Conv1d):
    """As torch's, with a right gradient for any number of channels; it takes no more of torch's options than the stride."""

    def forward(self, input: Float[Tensor, "b i n"]) -> Float[Tensor, "b o t"]:
        if input.device.type != "cpu" or -(-self.out_channels // BLOCK) * BLOCK < MOST:
            return super().forward(input)
        (taps,), (stride,) = self.kernel_size, self.stride
        assert self.padding == (0,) and self.bias is not None
        return torch.einsum("bitk,oik->bot", input.unfold(2, taps, stride), self.weight) + self.bias[:, None]
