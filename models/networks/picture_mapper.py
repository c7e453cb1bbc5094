"""The inverse mapper of pictures (Bayat 2020, chapter 2): ResNet-18 at 224 x 224, then dense layers of 2,048, 1,024 and as many
numbers as a latent has, 512 there.

The text gives the dense layers' sizes alone; here ReLU stands between them, nothing after the last, and there is no dropout.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from invertone.models.networks.listening import SignalClassifier
from invertone.models.networks.residual import activations, he, last_width, residual_blocks, stem

SIZE, COLOURS = 224, 3
HIDDEN = (2_048, 1_024)


def resized(picture: Float[Tensor, "b c h w"], size: int) -> Float[Tensor, "b c s s"]:
    """Pictures of `size` x `size`, by linear interpolation, over the pixels that fall together where they shrink."""
    if picture.shape[-2:] == (size, size):
        return picture
    return F.interpolate(picture, (size, size), mode="bilinear", antialias=True)


class PictureMapper(SignalClassifier):
    """Pictures [b, 3, h, w] of full scale ±1 → latents [b, outputs], without a last activation. At width 64, hidden (2,048,
    1,024) and 512 outputs 14,850,112 parameters, of which ResNet-18 has 11,176,512.

    size: what pictures are resized to before the ResNet. hidden: units of the dense layers before the last.
    """

    def __init__(self, outputs: int = 512, width: int = 64, hidden: Sequence[int] = HIDDEN, size: int = SIZE) -> None:
        super().__init__()
        self.outputs, self.width, self.hidden, self.size = outputs, width, tuple(hidden), size
        self.stem, self.blocks = stem(COLOURS, width), residual_blocks(width)
        self.dense = nn.ModuleList(
            nn.Linear(inside, outside) for inside, outside in pairwise([last_width(width), *hidden, outputs])
        )
        self.apply(he)

    def architecture(self) -> dict[str, Any]:
        return {"outputs": self.outputs, "width": self.width, "hidden": list(self.hidden), "size": self.size}

    def with_features(self, signal: Float[Tensor, "b 3 h w"]) -> tuple[Float[Tensor, "b o"], list[Tensor]]:
        """The latents, and the activations after each of the eight residual blocks."""
        latent, _, features = self.seen(signal)
        return latent, features

    def seen(self, signal: Float[Tensor, "b 3 h w"]) -> tuple[Float[Tensor, "b o"], Float[Tensor, "b d"], list[Tensor]]:
        """As `with_features`; its penultimate activations are the mean over places of the last block's, which the dense
        layers see."""
        features = activations(self.blocks, self.stem(resized(signal, self.size)))
        found = mean = features[-1].mean((2, 3))
        for dense in self.dense[:-1]:
            found = F.relu(dense(found))
        return self.dense[-1](found), mean, features
