"""A recogniser of faces: FaceNet (Schroff, Kalenichenko & Philbin 2015) as Inception-ResNet-v1 (Szegedy, Ioffe, Vanhoucke &
Alemi 2017), at any width and depth.

It gives an embedding of unit length, by which faces are told apart, and what it sees on its way: the concatenations of its
residual blocks, 21 at full depth, which the perceptual loss of the inversion of faces compares (Bayat 2020, 2.2.2).
Layers, padding and scales are those of Sandberg's FaceNet; without its dropout before the embedding, and with torch's initial
weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from invertone.models.networks.batch_norm import BatchNorm2d
from invertone.models.networks.listening import SignalClassifier
from invertone.models.networks.picture_mapper import resized

COLOURS = 3
WIDTH, BLOCKS, SIZE = 256, (5, 10, 6), 160
"""Channels of the first stage's planes, blocks of each stage, and the pictures' side, as the papers have them."""
WIDTH_STEP = 16
"""Widths are multiples of it: that many times fewer channels has the narrowest convolution."""
SMALLEST = 75
"""Pixels of a side below which the last stage has no place left: convolutions of the stem have no padding."""
SCALES = (0.17, 0.10, 0.20)
"""What a stage's blocks add to their input is multiplied by (Szegedy et al., 3.3)."""
STAGES = ("block35", "block17", "block8")
"""Names of the stages' blocks, by the side of their planes at 299 px."""


def layer_names(blocks: Sequence[int]) -> tuple[str, ...]:
    """Of the feature maps of a recogniser with so many blocks in each stage."""
    return tuple(
        f"{stage}-{number + 1}" for stage, count in zip(STAGES, blocks, strict=True) for number in range(count)
    )


class Convolution(nn.Module):
    """Convolution without bias, batch norm, ReLU."""

    def __init__(
        self, inside: int, outside: int, kernel: int | tuple[int, int], stride: int = 1, pad: bool = False
    ) -> None:
        super().__init__()
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (sides[0] // 2, sides[1] // 2) if pad else (0, 0)
        self.convolution = nn.Conv2d(inside, outside, sides, stride, padding, bias=False)
        self.norm = BatchNorm2d(outside, eps=1e-3)

    def forward(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o j k"]:
        return F.relu(self.norm(self.convolution(x)))


class InceptionBlock(nn.Module):
    """Branches of convolutions side by side, concatenated, brought to the input's channels and added to it, times `scale`. The
    last block of all has no ReLU after that."""

    def __init__(self, channels: int, branches: Sequence[nn.Module], joined: int, scale: float, last: bool) -> None:
        super().__init__()
        self.branches, self.scale, self.last = nn.ModuleList(branches), scale, last
        self.up = nn.Conv2d(joined, channels, 1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b j h w"]]:
        """What the block gives, and the concatenation of its branches."""
        concatenation = torch.cat([branch(x) for branch in self.branches], 1)
        hidden = x + self.scale * self.up(concatenation)
        return (hidden if self.last else F.relu(hidden)), concatenation


class Reduction(nn.Module):
    """Half the height and width: branches that end in a stride of 2, and a maximum, concatenated."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList([*branches, nn.MaxPool2d(3, 2)])

    def forward(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o j k"]:
        return torch.cat([branch(x) for branch in self.branches], 1)


class Recogniser(SignalClassifier):
    """Pictures [b, 3, h, w] of full scale ±1, of any size → embeddings [b, embedding] of length 1. 23,482,624 parameters at
    full size without identities.

    identities: faces that a dense layer on what the embedding is before it has length 1 tells apart (`logits`); 0 for a
    network that learns by triplets alone. width: a multiple of 16; 256 is FaceNet's. blocks: of each of the three stages.
    size: what pictures are resized to, SMALLEST at least.

    one_by_one: whether it sees each picture of a batch by itself. On a CPU a convolution of 1 x 1 pixel with few channels gives
    another last bit by where in the batch a picture stands; whoever must not depend on that takes the longer way.
    """

    one_by_one = False

    def __init__(
        self,
        embedding: int = 512,
        identities: int = 0,
        width: int = WIDTH,
        blocks: Sequence[int] = BLOCKS,
        size: int = SIZE,
    ) -> None:
        super().__init__()
        assert width % WIDTH_STEP == 0 and size >= SMALLEST and len(blocks) == len(STAGES) and blocks[-1] >= 1
        self.embedding, self.identities, self.width, self.size = embedding, identities, width, size
        self.outputs = identities
        self.depth = tuple(blocks)

        def c(channels: int) -> int:
            return channels * width // WIDTH

        def convolution(inside: int, outside: int, *sizes: Any, **named: Any) -> Convolution:
            return Convolution(c(inside), c(outside), *sizes, **named)

        def path(*layers: nn.Module) -> nn.Sequential:
            return nn.Sequential(*layers)

        self.stem = path(
            Convolution(COLOURS, c(32), 3, 2),
            convolution(32, 32, 3),
            convolution(32, 64, 3, pad=True),
            nn.MaxPool2d(3, 2),
            convolution(64, 80, 1),
            convolution(80, 192, 3),
            convolution(192, 256, 3, 2),
        )

        def block35(last: bool) -> InceptionBlock:
            branches = [
                convolution(256, 32, 1),
                path(convolution(256, 32, 1), convolution(32, 32, 3, pad=True)),
                path(convolution(256, 32, 1), convolution(32, 32, 3, pad=True), convolution(32, 32, 3, pad=True)),
            ]
            return InceptionBlock(c(256), branches, c(96), SCALES[0], last)

        def block17(last: bool) -> InceptionBlock:
            tall = convolution(128, 128, (1, 7), pad=True), convolution(128, 128, (7, 1), pad=True)
            branches = [convolution(896, 128, 1), path(convolution(896, 128, 1), *tall)]
            return InceptionBlock(c(896), branches, c(256), SCALES[1], last)

        def block8(last: bool) -> InceptionBlock:
            tall = convolution(192, 192, (1, 3), pad=True), convolution(192, 192, (3, 1), pad=True)
            branches = [convolution(1_792, 192, 1), path(convolution(1_792, 192, 1), *tall)]
            return InceptionBlock(c(1_792), branches, c(384), 1.0 if last else SCALES[2], last)

        made = zip((block35, block17, block8), self.depth, (False, False, True), strict=True)
        self.stages = nn.ModuleList(
            nn.ModuleList(make(ends and number == count - 1) for number in range(count)) for make, count, ends in made
        )
        self.reductions = nn.ModuleList(
            [
                Reduction(
                    convolution(256, 384, 3, 2),
                    path(convolution(256, 192, 1), convolution(192, 192, 3, pad=True), convolution(192, 256, 3, 2)),
                ),
                Reduction(
                    path(convolution(896, 256, 1), convolution(256, 384, 3, 2)),
                    path(convolution(896, 256, 1), convolution(256, 256, 3, 2)),
                    path(convolution(896, 256, 1), convolution(256, 256, 3, pad=True), convolution(256, 256, 3, 2)),
                ),
            ]
        )
        self.dense = nn.Linear(c(1_792), embedding, bias=False)
        self.norm = BatchNorm2d(embedding, eps=1e-3)
        self.head = nn.Linear(embedding, identities) if identities else None

    def architecture(self) -> dict[str, Any]:
        return {
            "embedding": self.embedding,
            "identities": self.identities,
            "width": self.width,
            "blocks": list(self.depth),
            "size": self.size,
        }

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the feature maps, from the first concatenation to the last: block35-1 … block8-6."""
        return layer_names(self.depth)

    def embed(self, picture: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        """Embeddings of length 1."""
        return F.normalize(self._seen(picture)[0])

    def with_features(self, signal: Float[Tensor, "b 3 h w"]) -> tuple[Float[Tensor, "b k"], list[Tensor]]:
        """Logits of the identities it is taught, and the concatenations of all blocks, as `layers` names them."""
        direction, features = self._seen(signal)
        return self._logits(direction), features

    def seen(self, signal: Float[Tensor, "b 3 h w"]) -> tuple[Float[Tensor, "b k"], Float[Tensor, "b d"], list[Tensor]]:
        """As `with_features`; its penultimate activations are the embeddings of length 1."""
        direction, features = self._seen(signal)
        return self._logits(direction), F.normalize(direction), features

    def _logits(self, direction: Float[Tensor, "b d"]) -> Float[Tensor, "b k"]:
        return direction.new_empty(len(direction), 0) if self.head is None else self.head(direction)

    def _seen(self, picture: Tensor) -> tuple[Tensor, list[Tensor]]:
        """What embeddings are before they have length 1, and the feature maps."""
        if not self.one_by_one or len(picture) < 2:
            return self._seen_together(picture)
        directions, features = zip(*(self._seen_together(each) for each in picture.split(1)), strict=True)
        return torch.cat(directions), [torch.cat(maps) for maps in zip(*features, strict=True)]

    def _seen_together(self, picture: Tensor) -> tuple[Tensor, list[Tensor]]:
        hidden, features = self.stem(resized(picture, self.size)), []
        for number, stage in enumerate(self.stages):
            for block in stage:  # type: ignore[attr-defined]
                hidden, concatenation = block(hidden)
                features.append(concatenation)
            if number < len(self.reductions):
                hidden = self.reductions[number](hidden)
        return self.norm(self.dense(hidden.mean((2, 3)))[:, :, None, None]).flatten(1), features
