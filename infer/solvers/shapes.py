"""Shapes of the optimisers: b problems, each on its own, in n unknowns."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

Points = Float[Tensor, "b n"]
Numbers = Float[Tensor, " b"]
Mask = Bool[Tensor, " b"]
