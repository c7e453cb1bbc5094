"""ResNet-18 (He et al. 2015) on spectrograms: as digit classifier and as inverse mapper."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from invertone.audio.front_end import FrontEnd, log_magnitude
from invertone.models.networks.batch_norm import BatchNorm2d
from invertone.models.networks.listening import ClipClassifier

BLOCKS_PER_STAGE = 2


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


class ResNet18(ClipClassifier):
    """Waveforms → `outputs` numbers, without a last activation. `width` 64 is the original; smaller is for small machines.

    The front end is part of the network, so that a checkpoint can only be used with the spectrogram it was trained on.
    `channels`: spectrograms seen at once (`of_spectrogram`); from waveforms there is one of each of theirs.
    """

    front_end: FrontEnd

    def __init__(
        self, outputs: int, width: int = 64, front_end: FrontEnd | dict[str, Any] | None = None, channels: int = 1
    ) -> None:
        super().__init__()
        self.outputs, self.width, self.channels = outputs, width, channels
        self.front_end = FrontEnd(**front_end) if isinstance(front_end, dict) else front_end or FrontEnd()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, width, 7, 2, 3, bias=False), BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        )
        widths = [width, width, 2 * width, 4 * width, 8 * width]
        self.blocks = nn.ModuleList(
            ResidualBlock(
                widths[stage] if block == 0 else widths[stage + 1],
                widths[stage + 1],
                stride=2 if block == 0 and stage > 0 else 1,
            )
            for stage in range(4)
            for block in range(BLOCKS_PER_STAGE)
        )
        self.head = nn.Linear(widths[-1], outputs)
        self.apply(_he)

    def architecture(self) -> dict[str, Any]:
        front_end = {name: getattr(self.front_end, name) for name in self.front_end.__dataclass_fields__}
        several = {"channels": self.channels} if self.channels > 1 else {}
        return {"outputs": self.outputs, "width": self.width, "front_end": front_end, **several}

    def spectrogram(self, waveform: Float[Tensor, "b *c n"]) -> Float[Tensor, "b *c f t"]:
        return log_magnitude(waveform, self.front_end)

    def of_spectrogram(self, spectrogram: Float[Tensor, "b c f t"]) -> tuple[Float[Tensor, "b o"], list[Tensor]]:
        """The outputs and the activations after each of the eight residual blocks."""
        hidden = self.stem(spectrogram)
        features = []
        for block in self.blocks:
            hidden = block(hidden)
            features.append(hidden)
        return self.head(hidden.mean((2, 3))), features


def _he(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
