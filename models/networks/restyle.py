"""The iterative mapper (Alaluf, Patashnik & Cohen-Or 2021, ReStyle, on audio): it sees a clip and its present
reconstruction, and says how the latent should change."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from invertone.audio.front_end import FrontEnd
from invertone.models.networks.resnet import ResNet18


class RestyleMapper(nn.Module):
    """A ResNet-18 on three spectrograms of each of the clips' channels: of target and reconstruction, and their difference.

    The head begins at zero, so that an untrained mapper changes nothing.
    """

    def __init__(
        self, outputs: int, width: int = 64, front_end: FrontEnd | dict[str, Any] | None = None, channels: int = 1
    ) -> None:
        super().__init__()
        self.resnet, self.channels = ResNet18(outputs, width, front_end, channels=3 * channels), channels
        nn.init.zeros_(self.resnet.head.weight)
        nn.init.zeros_(self.resnet.head.bias)

    def architecture(self) -> dict[str, Any]:
        usual = {key: value for key, value in self.resnet.architecture().items() if key != "channels"}
        return usual | ({"channels": self.channels} if self.channels > 1 else {})

    def compile(self, *options: Any, **named: Any) -> None:
        """As nn.Module's, of what comes after the spectrograms."""
        self.resnet.compile(*options, **named)

    def forward(self, target: Float[Tensor, "b *c n"], reconstruction: Float[Tensor, "b *c n"]) -> Float[Tensor, "b o"]:
        wanted, found = self.resnet.spectrogram(target), self.resnet.spectrogram(reconstruction)
        return self.resnet.of_spectrogram(torch.stack([wanted, found, wanted - found], 1).flatten(1, -3))[0]
