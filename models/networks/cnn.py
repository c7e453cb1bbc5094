"""The CNNs that guided models are measured against, and that judge them: the paper's, and a stronger one.

The paper is Haque, Rana & Schuller's on GAAE.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from invertone.audio.front_end import FrontEnd, log_magnitude
from invertone.cluster.formats.signals import USUAL
from invertone.models.networks.batch_norm import BatchNorm2d
from invertone.models.networks.listening import ClipClassifier

MULTIPLES = (1, 2, 4, 8, 16, 16)
POOLINGS = 4
SMALLEST = 2**POOLINGS
"""Rows and columns that a spectrogram must have for `SpectrogramCnn`."""


class _Cnn(ClipClassifier):
    """What both are made of: a number of outputs, a width, a front end."""

    front_end: FrontEnd

    def __init__(self, outputs: int, width: int, front_end: FrontEnd | dict[str, Any] | None) -> None:
        super().__init__()
        self.outputs, self.width = outputs, width
        self.front_end = FrontEnd(**front_end) if isinstance(front_end, dict) else front_end or FrontEnd()

    def architecture(self) -> dict[str, Any]:
        return {"outputs": self.outputs, "width": self.width, "front_end": asdict(self.front_end)}

    def spectrogram(self, waveform: Float[Tensor, "b n"]) -> Float[Tensor, "b f t"]:
        return log_magnitude(waveform, self.front_end)


class SpectrogramCnn(_Cnn):
    """Waveforms → `outputs` numbers as table XXIV prints it ("simple spectrogram classifier"): four times convolution 3x3, to
    32, 64, 128 and 256 channels, and 2x2 maximum; then one dense layer that sees all 16 x 8 x 256 of them.

    width: channels of the first convolution. clip_samples: the dense layer sees every place of clips of this length. At 32, on
    the paper's 256 x 128 spectrogram, with ten outputs: 715,530 parameters.
    The table prints neither activations nor padding nor initial weights: ReLU after each convolution, zeros around, torch's.
    """

    def __init__(
        self,
        outputs: int,
        width: int = 32,
        front_end: FrontEnd | dict[str, Any] | None = None,
        clip_samples: int = USUAL.samples,
    ) -> None:
        super().__init__(outputs, width, front_end)
        self.clip_samples = clip_samples
        rows, columns = size_of(self.front_end, clip_samples)
        widths = [1, *(width * 2**layer for layer in range(POOLINGS))]
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(inside, outside, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
            for inside, outside in pairwise(widths)
        )
        self.dense = nn.Linear(rows // SMALLEST * (columns // SMALLEST) * widths[-1], outputs)

    def architecture(self) -> dict[str, Any]:
        others = {"clip_samples": self.clip_samples} if self.clip_samples != USUAL.samples else {}
        return {**super().architecture(), **others}

    def of_spectrogram(self, spectrogram: Float[Tensor, "b 1 f t"]) -> tuple[Float[Tensor, "b k"], list[Tensor]]:
        """Logits, and what each of the four blocks hands on."""
        hidden, features = spectrogram, []
        for block in self.blocks:
            hidden = block(hidden)
            features.append(hidden)
        return self.dense(hidden.flatten(1)), features


def size_of(front_end: FrontEnd, clip_samples: int) -> tuple[int, int]:
    """Rows and columns of a clip's spectrogram."""
    return front_end.rows(), clip_samples // front_end.hop_length


def plain_blocks(widths: Sequence[int]) -> nn.Sequential:
    """From one width to the next: convolution 3x3, batch norm, ReLU, 2x2 maximum."""
    layers: list[nn.Module] = []
    for inside, outside in pairwise(widths):
        convolution = nn.Conv2d(inside, outside, 3, padding=1, bias=False)
        layers += [convolution, BatchNorm2d(outside), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers)


class SimpleCnn(_Cnn):
    """Waveforms → `outputs` numbers: six times convolution 3x3, batch norm, ReLU, 2x2 maximum; mean over places; dense.

    Not the paper's, and far better with few labels. Widths are those of GAAE's encoder, so that the two have the same room
    to learn in.
    """

    def __init__(self, outputs: int, width: int = 16, front_end: FrontEnd | dict[str, Any] | None = None) -> None:
        super().__init__(outputs, width, front_end)
        widths = [1, *(width * each for each in MULTIPLES)]
        self.layers = plain_blocks(widths)
        self.dense = nn.Linear(widths[-1], outputs)

    def of_spectrogram(self, spectrogram: Float[Tensor, "b 1 f t"]) -> tuple[Float[Tensor, "b k"], list[Tensor]]:
        """Logits, and what each of the six blocks hands on."""
        hidden, features = spectrogram, []
        for layer in self.layers:
            hidden = layer(hidden)
            if isinstance(layer, nn.MaxPool2d):
                features.append(hidden)
        return self.dense(hidden.mean((2, 3))), features
