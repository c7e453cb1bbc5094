"""The perceptual loss of the inversion of faces: how differently a frozen recogniser sees two pictures, at layers named."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from invertone.models.networks.recogniser import Recogniser


def perceptual_distance(a: Sequence[Tensor], b: Sequence[Tensor]) -> Float[Tensor, " b"]:
    """The sum over layers of the mean squared difference of their activations, one number per picture (Bayat 2020, 2.2.2: a sum
    there, where the loss of the audio mappers is a mean).

    a, b: activations of the layers that are compared (`chosen`).
    """
    return torch.stack([(x - y).square().flatten(1).mean(1) for x, y in zip(a, b, strict=True)]).sum(0)


def chosen(recogniser: Recogniser, features: Sequence[Tensor], layers: Sequence[str] = ()) -> list[Tensor]:
    """Of all feature maps of a recogniser those of the layers that are named; of none named, all."""
    return [each for name, each in zip(recogniser.layers, features, strict=True) if not layers or name in layers]
