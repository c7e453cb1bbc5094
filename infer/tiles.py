"""Batches of one shape: networks always see tiles of the same size, so that a row's result does not depend on the others."""

from __future__ import annotations

import torch
from jaxtyping import Shaped
from torch import Tensor

SLOTS = 64
"""How many searches are under way at once, on any number of threads: tiles of them, so that threads have what to share."""


def tile_size(device: torch.device, asked: int = 0) -> int:
    """What was asked for. A CPU gains little from more than a few clips at a time, a GPU starves on them."""
    return asked or (64 if device.type == "cuda" else 8)


def phase_tile_size(device: torch.device, asked: int = 0) -> int:
    """The same for networks whose spectrograms get their phase by PGHI. On a CPU each clip is alone: where a row stands in
    a tile may change its last bit, and PGHI makes another sound of that. Convolutions this large cost no more so."""
    return tile_size(device, asked) if device.type == "cuda" else 1


def tiles(rows: Shaped[Tensor, "b ..."], size: int) -> list[Shaped[Tensor, "s ..."]]:
    """`rows` in pieces of `size`, the last one filled up with zeros."""
    return [tile(rows, first, size) for first in range(0, len(rows), size)]


def tile(rows: Shaped[Tensor, "b ..."], first: int, size: int) -> Shaped[Tensor, "s ..."]:
    """The piece of `rows` that begins at `first`."""
    part = rows[first : first + size]
    return torch.cat([part, part.new_zeros(size - len(part), *part.shape[1:])])
