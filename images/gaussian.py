"""The window of structural similarity."""

from __future__ import annotations

import math

WINDOW, SIGMA = 11, 1.5
"""Side of the window, and of its Gaussian."""


def gaussian() -> list[float]:
    """The window's weights along one axis, which sum to 1."""
    weights = [math.exp(-((at - WINDOW // 2) ** 2) / (2 * SIGMA**2)) for at in range(WINDOW)]
    return [weight / sum(weights) for weight in weights]
