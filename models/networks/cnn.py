"""The simple CNN that guided models are measured against: convolutions, pooling, one dense layer."""

from __future__ import annotations

from dataclasses import asdict
from itertools import pairwise
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from invertone.audio.front_end import FrontEnd, log_magnitude
from invertone.models.networks.batch_norm import BatchNorm2d

MULTIPLES = (1, 2, 4, 8, 16, 16)


class SimpleCnn(nn.Module):
    """Waveforms → `outputs` numbers: six times convolution 3x3, batch norm, ReLU, 2x2 maximum; mean over places; dense.

    Widths are those of GAAE's encoder, so that the two have the same room to learn in.
    """

    def __init__(self, outputs: int, width: int = 16, front_end: FrontEnd | dict[str, Any] | None = None) -> None:
        super().__init__()
        self.outputs, self.width = outputs, width
        self.front_end = FrontEnd(**front_end) if isinstance(front_end, dict) else front_end or FrontEnd()
        widths = [1, *(width * each for each in MULTIPLES)]
        layers: list[nn.Module] = []
        for inside, outside in pairwise(widths):
            convolution = nn.Conv2d(inside, outside, 3, padding=1, bias=False)
            layers += [convolution, BatchNorm2d(outside), nn.ReLU(), nn.MaxPool2d(2)]
        self.layers = nn.Sequential(*layers)
        self.dense = nn.Linear(widths[-1], outputs)

    def architecture(self) -> dict[str, Any]:
        return {"outputs": self.outputs, "width": self.width, "front_end": asdict(self.front_end)}

    def spectrogram(self, waveform: Float[Tensor, "b n"]) -> Float[Tensor, "b f t"]:
        return log_magnitude(waveform, self.front_end)

    def of_spectrogram(self, spectrogram: Float[Tensor, "b 1 f t"]) -> tuple[Float[Tensor, "b k"], list[Tensor]]:
        """Logits, and what they were made of."""
        features = self.layers(spectrogram).mean((2, 3))
        return self.dense(features), [features]

    def forward(self, waveform: Float[Tensor, "b n"]) -> Float[Tensor, "b k"]:
        return self.of_spectrogram(self.spectrogram(waveform)[:, None])[0]
