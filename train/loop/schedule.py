"""How learning rates change over the steps of a run."""

from __future__ import annotations

import math


def scheduled(schedule: str, step: int, steps: int) -> float:
    """What every base rate is multiplied by at `step`, counted from 1: 1 always, or half a cosine from 1 down to 0."""
    if schedule == "constant":
        return 1.0
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, (step - 1) / steps)))
