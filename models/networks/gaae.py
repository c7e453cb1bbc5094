"""The networks of GAAE (Haque, Rana & Schuller 2020) and of its family: encoder, decoder, discriminators, small heads.

Spectrograms are log magnitudes in [-1, 1], 256 x 128. Widths are multiples of `channels` (`ch` in the paper, 16). What a
network gives is at least float32, also where it computes in bfloat16: losses are not rounded.

`patch` is none of the papers' ideas: with p > 1 networks see and make squares of p x p points as p * p channels of a picture
that is p times smaller both ways, and have log2(p) blocks less. The first and the last blocks, which take most of the time at
the full size, become cheap: what a CPU can train. `rows` is none either: below 256 networks see and make the lowest
frequencies alone, and above is silence, as in recordings of a lower rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from invertone.models.networks.batch_norm import BatchNorm2d
from invertone.models.networks.biggan import DownBlock, LastBlock, NonLocalBlock, UpBlock, orthogonal, spectral
from invertone.models.networks.cnn import plain_blocks

DOWN = (1, 2, 4, 8, 16, 16)
UP = (16, 16, 8, 8, 4, 2, 1)
"""BigGAN's widths."""
PAPERS_DOWN = (1, 1, 2, 4, 8, 16, 16)
PAPERS_UP = (16, 16, 16, 16, 16, 16, 1)
"""Of tables XIII, XVII to XX, and of XII, XVI and XXI."""
ROWS, COLUMNS = 256, 128
LEAST_ROWS = 4
"""What the picture is halved to: 4 x 2 from 256 x 128."""
SILENCE = -1.0
ATTENTION_ROWS = 128
PATCHES = (1, 2, 4, 8)
HEIGHTS = (256, 128, 64)
"""Rows that networks may see."""


def halvings(patch: int, rows: int = ROWS) -> int:
    """How many blocks halve or double the picture of `rows` frequencies where patches of p x p are taken together."""
    return (rows // patch // LEAST_ROWS).bit_length() - 1


def unrounded(output: Float[Tensor, ...]) -> Float[Tensor, ...]:
    """As it is, or float32 where it is less exact."""
    return output.to(torch.promote_types(output.dtype, torch.float32))


class _Downwards(nn.Module):
    """Spectrograms → features [b, last width]: down-blocks, a non-local block where `attention_rows` are left (0: none), ReLU,
    sum over all places; with `batch_norm` normalised once more and the mean.

    One width more than there are halvings is that of a last block, which keeps the size and has no shortcut: so do the
    papers' tables print the stack.
    """

    def __init__(
        self,
        channels: int,
        multiples: Sequence[int],
        attention_rows: int,
        batch_norm: bool = False,
        patch: int = 1,
        height: int = ROWS,
    ) -> None:
        super().__init__()
        widths = [patch * patch, *(channels * each for each in multiples)]
        last = len(multiples) == halvings(patch, height) + 1
        assert last or len(multiples) == halvings(patch, height), "checked when the job was planned"
        assert not last or widths[-1] == widths[-2], "a block without a shortcut keeps its width"
        self.size, self.patch, self.height = widths[-1], patch, height
        blocks: list[nn.Module] = []
        rows = height // patch
        for number, (inside, outside) in enumerate(pairwise(widths[:-1] if last else widths)):
            blocks.append(DownBlock(inside, outside, first=number == 0, batch_norm=batch_norm))
            rows //= 2
            if rows == attention_rows:
                blocks.append(NonLocalBlock(outside))
        if last:
            blocks.append(LastBlock(self.size, batch_norm))
        self.norm = BatchNorm2d(self.size) if batch_norm else None
        self.blocks = nn.Sequential(*blocks)

    def forward(self, spectrogram: Float[Tensor, "b f t"]) -> Float[Tensor, "b c"]:
        hidden = self.blocks(F.pixel_unshuffle(spectrogram[:, None, : self.height], self.patch))
        return F.relu(hidden).sum((2, 3)) if self.norm is None else F.relu(self.norm(hidden)).mean((2, 3))


class _Plain(nn.Module):
    """Spectrograms → features [b, last width]: the blocks of `SimpleCnn`, as often as the picture can be halved; mean over
    places. They learn from fewer clips than residual blocks do."""

    def __init__(self, channels: int, multiples: Sequence[int], patch: int, height: int) -> None:
        super().__init__()
        assert len(multiples) == halvings(patch, height), "checked when the job was planned"
        widths = [patch * patch, *(channels * each for each in multiples)]
        self.size, self.patch, self.height = widths[-1], patch, height
        self.blocks = plain_blocks(widths)
        for layer in self.blocks:
            if isinstance(layer, nn.Conv2d):
                orthogonal(layer)

    def forward(self, spectrogram: Float[Tensor, "b f t"]) -> Float[Tensor, "b c"]:
        return self.blocks(F.pixel_unshuffle(spectrogram[:, None, : self.height], self.patch)).mean((2, 3))


class Encoder(nn.Module):
    """Spectrograms → `heads` latents: GAAE's guided one and the style (table XX); BiGAN and GGAN have one (XVIII).

    norm: `spectral`, as BigGAN's discriminator, or `batch`, with which it learns from far fewer updates. blocks: `residual`,
    as the paper's, or `plain`, as the simple CNN's. style_size: of the second latent, 0: as large as the first.
    """

    def __init__(
        self,
        channels: int = 16,
        latent_size: int = 128,
        heads: int = 2,
        multiples: Sequence[int] = DOWN,
        attention_rows: int = ATTENTION_ROWS,
        norm: str = "spectral",
        patch: int = 1,
        style_size: int = 0,
        blocks: str = "residual",
        rows: int = ROWS,
    ) -> None:
        super().__init__()
        self.channels, self.latent_size, self.attention_rows = channels, latent_size, attention_rows
        self.multiples, self.norm, self.patch, self.style_size = tuple(multiples), norm, patch, style_size
        self.down: _Downwards | _Plain = (
            _Plain(channels, multiples, patch, rows)
            if blocks == "plain"
            else _Downwards(channels, multiples, attention_rows, norm == "batch", patch, rows)
        )
        self.blocks, self.rows = blocks, rows
        make = orthogonal if norm == "batch" else spectral
        sizes = [latent_size, *[style_size or latent_size] * (heads - 1)]
        self.heads = nn.ModuleList(make(nn.Linear(self.down.size, each)) for each in sizes)

    def architecture(self) -> dict[str, Any]:
        return {
            "channels": self.channels,
            "latent_size": self.latent_size,
            "heads": len(self.heads),
            "multiples": list(self.multiples),
            "attention_rows": self.attention_rows,
            "norm": self.norm,
            "patch": self.patch,
            "style_size": self.style_size,
            "blocks": self.blocks,
            "rows": self.rows,
        }

    def forward(self, spectrogram: Float[Tensor, "b f t"]) -> tuple[Float[Tensor, "b z"], ...]:
        features = self.down(spectrogram)
        return tuple(unrounded(head(features)) for head in self.heads)


class Decoder(nn.Module):
    """Latent and label → spectrogram (table XXI; XII and XVI of BigGAN). BigGAN's generator without a hierarchy of latents;
    `classes` 0 is unconditional."""

    def __init__(
        self,
        channels: int = 16,
        latent_size: int = 128,
        classes: int = 10,
        multiples: Sequence[int] = UP,
        attention_rows: int = ATTENTION_ROWS,
        patch: int = 1,
        rows: int = ROWS,
    ) -> None:
        super().__init__()
        self.channels, self.latent_size, self.classes = channels, latent_size, classes
        self.attention_rows, self.multiples, self.patch, self.rows = attention_rows, tuple(multiples), patch, rows
        widths, doublings = [channels * each for each in multiples], halvings(patch, rows)
        assert len(widths) == doublings + 1, "checked when the job was planned"
        self.start = (widths[0], LEAST_ROWS, COLUMNS // patch >> doublings)
        self.dense = spectral(nn.Linear(latent_size, self.start[0] * self.start[1] * self.start[2]))
        self.blocks = nn.ModuleList(UpBlock(inside, outside, classes) for inside, outside in pairwise(widths))
        attended = [rows // patch >> left for left in range(len(widths) - 2, -1, -1)]
        at = attended.index(attention_rows) if attention_rows else -1
        self.attention_after = at
        self.attention = NonLocalBlock(widths[at + 1]) if attention_rows else None
        self.norm = BatchNorm2d(widths[-1])
        self.out = spectral(nn.Conv2d(widths[-1], patch * patch, 3, padding=1))

    def architecture(self) -> dict[str, Any]:
        return {
            "channels": self.channels,
            "latent_size": self.latent_size,
            "classes": self.classes,
            "multiples": list(self.multiples),
            "attention_rows": self.attention_rows,
            "patch": self.patch,
            "rows": self.rows,
        }

    def forward(
        self, latent: Float[Tensor, "b z"], label: Float[Tensor, "b k"] | None = None
    ) -> Float[Tensor, "b f t"]:
        given = latent.new_zeros(len(latent), 0) if label is None else label
        hidden = self.dense(latent).unflatten(1, self.start)
        for number, block in enumerate(self.blocks):
            hidden = block(hidden, given)
            if self.attention is not None and number == self.attention_after:
                hidden = self.attention(hidden)
        points = F.pixel_shuffle(unrounded(self.out(F.relu(self.norm(hidden)))), self.patch)
        return F.pad(torch.tanh(points)[:, 0], (0, 0, 0, ROWS - self.rows), value=SILENCE)


class SampleDiscriminator(nn.Module):
    """Spectrogram and label → score: BigGAN's discriminator with projection (Miyato & Koyama 2018; GAAE's table XIII, and
    XVII without labels). With `latent_size` it judges pairs of spectrogram and latent, as BiGAN's does (Donahue, Krähenbühl &
    Darrell 2017): `joint` units hear both, of features and the latent itself (table XIX), or with 0 as many as there are
    features, of these and of what two layers make of the latent."""

    def __init__(
        self,
        channels: int = 16,
        classes: int = 10,
        latent_size: int = 0,
        multiples: Sequence[int] = DOWN,
        attention_rows: int = ATTENTION_ROWS,
        patch: int = 1,
        joint: int = 0,
        rows: int = ROWS,
    ) -> None:
        super().__init__()
        self.channels, self.classes, self.latent_size = channels, classes, latent_size
        self.multiples, self.attention_rows, self.patch = tuple(multiples), attention_rows, patch
        self.joint, self.rows = joint, rows
        self.down = _Downwards(channels, multiples, attention_rows, patch=patch, height=rows)
        size = self.down.size
        of_latent: nn.Module | None = None
        joined: nn.Module = nn.Identity()
        if latent_size and joint:
            of_latent = nn.Identity()
            joined, size = nn.Sequential(spectral(nn.Linear(size + latent_size, joint)), nn.ReLU()), joint
        elif latent_size:
            of_latent = nn.Sequential(
                spectral(nn.Linear(latent_size, size)), nn.ReLU(), spectral(nn.Linear(size, size)), nn.ReLU()
            )
            joined = nn.Sequential(spectral(nn.Linear(2 * size, size)), nn.ReLU())
        # In this order: optimisers of older checkpoints know parameters by their number.
        self.of_latent = of_latent
        self.joined = joined
        self.score = spectral(nn.Linear(size, 1))
        self.label = spectral(nn.Linear(classes, size, bias=False)) if classes else None

    def architecture(self) -> dict[str, Any]:
        return {
            "channels": self.channels,
            "classes": self.classes,
            "latent_size": self.latent_size,
            "multiples": list(self.multiples),
            "attention_rows": self.attention_rows,
            "patch": self.patch,
            "joint": self.joint,
            "rows": self.rows,
        }

    def forward(
        self,
        spectrogram: Float[Tensor, "b f t"],
        label: Float[Tensor, "b k"] | None = None,
        latent: Float[Tensor, "b z"] | None = None,
    ) -> Float[Tensor, " b"]:
        features = self.down(spectrogram)
        if self.of_latent is not None:
            assert latent is not None
            features = self.joined(torch.cat([features, self.of_latent(latent)], 1))
        score = unrounded(self.score(features)[:, 0])
        return score if self.label is None else score + unrounded(self.label(label) * features).sum(1)


class Head(nn.Module):
    """A perceptron on latents: GAAE's classifier (table XXII: 128-128-10) and latent discriminator (XXIII: 128-128-128-1,
    `normed`: with spectral norm, as all discriminators here)."""

    def __init__(self, inputs: int, hidden: Sequence[int], outputs: int, normed: bool = False) -> None:
        super().__init__()
        self.inputs, self.hidden, self.outputs, self.normed = inputs, tuple(hidden), outputs, normed
        make = spectral if normed else orthogonal
        layers: list[nn.Module] = []
        sizes = [inputs, *hidden]
        for inside, outside in pairwise(sizes):
            layers += [make(nn.Linear(inside, outside)), nn.ReLU()]
        self.layers = nn.Sequential(*layers, make(nn.Linear(sizes[-1], outputs)))

    def architecture(self) -> dict[str, Any]:
        return {"inputs": self.inputs, "hidden": list(self.hidden), "outputs": self.outputs, "normed": self.normed}

    def forward(self, latent: Float[Tensor, "b z"]) -> Float[Tensor, "b k"]:
        return unrounded(self.layers(latent))
