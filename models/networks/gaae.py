"""The networks of GAAE (Haque, Rana & Schuller 2020) and of its family: encoder, decoder, discriminators, small heads.

Spectrograms are log magnitudes in [-1, 1], 256 x 128. Widths are multiples of `channels` (`ch` in the paper, 16). What a
network gives is at least float32, also where it computes in bfloat16: losses are not rounded.
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
from invertone.models.networks.biggan import DownBlock, NonLocalBlock, UpBlock, orthogonal, spectral

DOWN = (1, 2, 4, 8, 16, 16)
UP = (16, 16, 8, 8, 4, 2, 1)
"""BigGAN's. GAAE's table prints 16 for the first five blocks of the decoder."""
ROWS, COLUMNS = 256, 128
ATTENTION_ROWS = 128


def unrounded(output: Float[Tensor, ...]) -> Float[Tensor, ...]:
    """As it is, or float32 where it is less exact."""
    return output.to(torch.promote_types(output.dtype, torch.float32))


class _Downwards(nn.Module):
    """Spectrograms → features [b, last width]: down-blocks, a non-local block where `attention_rows` are left (0: none), ReLU,
    sum over all places; with `batch_norm` normalised once more and the mean."""

    def __init__(self, channels: int, multiples: Sequence[int], attention_rows: int, batch_norm: bool = False) -> None:
        super().__init__()
        widths = [1, *(channels * each for each in multiples)]
        self.size = widths[-1]
        blocks: list[nn.Module] = []
        rows = ROWS
        for number, (inside, outside) in enumerate(pairwise(widths)):
            blocks.append(DownBlock(inside, outside, first=number == 0, batch_norm=batch_norm))
            rows //= 2
            if rows == attention_rows:
                blocks.append(NonLocalBlock(outside))
        self.norm = BatchNorm2d(self.size) if batch_norm else None
        self.blocks = nn.Sequential(*blocks)

    def forward(self, spectrogram: Float[Tensor, "b f t"]) -> Float[Tensor, "b c"]:
        hidden = self.blocks(spectrogram[:, None])
        return F.relu(hidden).sum((2, 3)) if self.norm is None else F.relu(self.norm(hidden)).mean((2, 3))


class Encoder(nn.Module):
    """Spectrograms → `heads` latents: GAAE's guided one and the style; BiGAN and GGAN have one.

    norm: `spectral`, as the paper's, or `batch`, with which it learns from far fewer updates.
    """

    def __init__(
        self,
        channels: int = 16,
        latent_size: int = 128,
        heads: int = 2,
        multiples: Sequence[int] = DOWN,
        attention_rows: int = ATTENTION_ROWS,
        norm: str = "spectral",
    ) -> None:
        super().__init__()
        self.channels, self.latent_size, self.attention_rows = channels, latent_size, attention_rows
        self.multiples, self.norm = tuple(multiples), norm
        self.down = _Downwards(channels, multiples, attention_rows, batch_norm=norm == "batch")
        make = orthogonal if norm == "batch" else spectral
        self.heads = nn.ModuleList(make(nn.Linear(self.down.size, latent_size)) for _ in range(heads))

    def architecture(self) -> dict[str, Any]:
        return {
            "channels": self.channels,
            "latent_size": self.latent_size,
            "heads": len(self.heads),
            "multiples": list(self.multiples),
            "attention_rows": self.attention_rows,
            "norm": self.norm,
        }

    def forward(self, spectrogram: Float[Tensor, "b f t"]) -> tuple[Float[Tensor, "b z"], ...]:
        features = self.down(spectrogram)
        return tuple(unrounded(head(features)) for head in self.heads)


class Decoder(nn.Module):
    """Latent and label → spectrogram. BigGAN's generator without a hierarchy of latents; `classes` 0 is unconditional."""

    def __init__(
        self,
        channels: int = 16,
        latent_size: int = 128,
        classes: int = 10,
        multiples: Sequence[int] = UP,
        attention_rows: int = ATTENTION_ROWS,
    ) -> None:
        super().__init__()
        self.channels, self.latent_size, self.classes = channels, latent_size, classes
        self.attention_rows, self.multiples = attention_rows, tuple(multiples)
        widths = [channels * each for each in multiples]
        self.start = (widths[0], ROWS >> (len(widths) - 1), COLUMNS >> (len(widths) - 1))
        self.dense = spectral(nn.Linear(latent_size, self.start[0] * self.start[1] * self.start[2]))
        self.blocks = nn.ModuleList(UpBlock(inside, outside, classes) for inside, outside in pairwise(widths))
        attended = [ROWS >> left for left in range(len(widths) - 2, -1, -1)]
        at = attended.index(attention_rows) if attention_rows else -1
        self.attention_after = at
        self.attention = NonLocalBlock(widths[at + 1]) if attention_rows else None
        self.norm = BatchNorm2d(widths[-1])
        self.out = spectral(nn.Conv2d(widths[-1], 1, 3, padding=1))

    def architecture(self) -> dict[str, Any]:
        return {
            "channels": self.channels,
            "latent_size": self.latent_size,
            "classes": self.classes,
            "multiples": list(self.multiples),
            "attention_rows": self.attention_rows,
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
        return torch.tanh(unrounded(self.out(F.relu(self.norm(hidden)))))[:, 0]


class SampleDiscriminator(nn.Module):
    """Spectrogram and label → score: BigGAN's discriminator with projection (Miyato & Koyama 2018). With `latent_size`
    it judges pairs of spectrogram and latent, as BiGAN's does (Donahue, Krähenbühl & Darrell 2017)."""

    def __init__(
        self,
        channels: int = 16,
        classes: int = 10,
        latent_size: int = 0,
        multiples: Sequence[int] = DOWN,
        attention_rows: int = ATTENTION_ROWS,
    ) -> None:
        super().__init__()
        self.channels, self.classes, self.latent_size = channels, classes, latent_size
        self.multiples, self.attention_rows = tuple(multiples), attention_rows
        self.down = _Downwards(channels, multiples, attention_rows)
        size = self.down.size
        self.of_latent = (
            nn.Sequential(spectral(nn.Linear(latent_size, size)), nn.ReLU(), spectral(nn.Linear(size, size)), nn.ReLU())
            if latent_size
            else None
        )
        joint = 2 * size if latent_size else size
        self.joined = nn.Sequential(spectral(nn.Linear(joint, size)), nn.ReLU()) if latent_size else nn.Identity()
        self.score = spectral(nn.Linear(size, 1))
        self.label = spectral(nn.Linear(classes, size, bias=False)) if classes else None

    def architecture(self) -> dict[str, Any]:
        return {
            "channels": self.channels,
            "classes": self.classes,
            "latent_size": self.latent_size,
            "multiples": list(self.multiples),
            "attention_rows": self.attention_rows,
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
    """A perceptron on latents: GAAE's classifier (128-128-10) and latent discriminator (128-128-128-1, `normed`: with
    spectral norm, as all discriminators here)."""

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
