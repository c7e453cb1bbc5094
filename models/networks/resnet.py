"""ResNet-18 (He et al. 2015) on spectrograms: as digit classifier and as inverse mapper."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from invertone.audio.front_end import FrontEnd, log_magnitude
from invertone.models.networks.listening import ClipClassifier
from invertone.models.networks.residual import activations, he, last_width, residual_blocks, stem


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
        self.stem, self.blocks = stem(channels, width), residual_blocks(width)
        self.head = nn.Linear(last_width(width), outputs)
        self.apply(he)

    def architecture(self) -> dict[str, Any]:
        front_end = {name: getattr(self.front_end, name) for name in self.front_end.__dataclass_fields__}
        several = {"channels": self.channels} if self.channels > 1 else {}
        return {"outputs": self.outputs, "width": self.width, "front_end": front_end, **several}

    def spectrogram(self, waveform: Float[Tensor, "b *c n"]) -> Float[Tensor, "b *c f t"]:
        return log_magnitude(waveform, self.front_end)

    def of_spectrogram(self, spectrogram: Float[Tensor, "b c f t"]) -> tuple[Float[Tensor, "b o"], list[Tensor]]:
        """The outputs and the activations after each of the eight residual blocks."""
        features = activations(self.blocks, self.stem(spectrogram))
        return self.head(features[-1].mean((2, 3))), features
