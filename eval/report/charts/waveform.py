"""A sound as its waveform: the least and the greatest sample of each of a few columns, as one small SVG path."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

COLUMNS, HEIGHT = 160, 64
"""Of the field that paths are drawn on; the middle of its height is silence."""
FAINTEST_PEAK = 1e-3


@dataclass(frozen=True)
class Wave:
    """path: of an SVG on a field COLUMNS × HEIGHT; top: the sample value at its upper edge; peak: the greatest there is."""

    path: str
    top: float
    peak: float


def wave(samples: npt.NDArray[np.float32], top: float | None = None) -> Wave:
    """Samples [n] or [n, channels] of full scale ±1, which are not none; of several channels the least and the greatest sample
    of all. top: what the field reaches (None: their own peak), so that several
    sounds can be drawn on one scale; what is beyond lies on its edge."""
    finite = np.nan_to_num(samples)
    peak = float(np.abs(finite).max())
    reach = max(peak if top is None else top, FAINTEST_PEAK)
    edges = np.linspace(0, len(finite), min(COLUMNS, len(finite)) + 1).astype(int)[:-1]
    channels = finite.reshape(len(finite), -1)
    high, low = (each.reduceat(channels, edges) for each in (np.maximum, np.minimum))
    high, low = high.max(axis=1), low.min(axis=1)
    x = np.rint(np.linspace(0, COLUMNS, len(edges))).astype(int)
    upper, lower = (np.rint((1 - np.clip(each / reach, -1, 1)) * HEIGHT / 2).astype(int) for each in (high, low))
    outline = [*zip(x, upper, strict=True), *zip(x[::-1], lower[::-1], strict=True)]
    return Wave("M" + " ".join(f"{a} {b}" for a, b in outline) + "z", reach, peak)
