"""The perceptual loss of the inversion of faces: how differently a frozen recogniser sees two pictures, at layers named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def perceptual_distance(
    a: Mapping[str, Tensor], b: Mapping[str, Tensor], layers: Sequence[str] = ()
) -> Float[Tensor, " b"]:
    """The sum over `layers` of the mean squared difference of their activations, one number per picture (Bayat 2021, 2.2.2:
    a sum there, where the loss of the audio mappers is a mean).

    a, b: activations by name (`Recogniser.with_features`). layers: which of them; none given means all of `a`.
    """
    chosen = tuple(layers) or tuple(a)
    return torch.stack([(a[name] - b[name]).square().flatten(1).mean(1) for name in chosen]).sum(0)
