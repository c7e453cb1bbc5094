"""What readers of published models have in common: every variable is there, of its shape, and none besides."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from invertone.cluster.errors import UserError
from invertone.models.published.tensorflow_checkpoint import TensorflowCheckpoint

Shape = tuple[int, ...]
Places = dict[str, tuple[str, Shape]]
"""By TensorFlow's name: ours, and TensorFlow's shape."""

FLOAT32 = 1
STEP = "global_step"
_LARGEST_STEP = 10**12


def size_of(shapes: dict[str, Shape], name: str, rank: int, axis: int, where: str, fix: str) -> int:
    """One size of a variable from which others follow."""
    if name not in shapes:
        raise UserError(f"lacks {name}", where=where, fix=fix)
    shape = shapes[name]
    if len(shape) != rank or not 1 <= shape[axis] < 2**20:
        raise UserError(f"{name} has the shape {list(shape)}", where=where, fix=fix)
    return shape[axis]


def match(checkpoint: TensorflowCheckpoint, found: dict[str, Shape], places: Places, fix: str) -> None:
    """Every variable is there, has its shape and holds float32, and there is none besides."""
    for what, names in (("lacks", places.keys() - found.keys()), ("has also", found.keys() - places.keys())):
        if names:
            listed = ", ".join(sorted(names)[:3]) + ", …" * (len(names) > 3)
            raise UserError(f"{what} {listed}", where=checkpoint.uri, fix=fix)
    for name, (_, shape) in places.items():
        if found[name] != shape:
            what = f"{name} has the shape {list(found[name])}, not {list(shape)}"
            raise UserError(what, where=checkpoint.uri, fix=fix)
        if checkpoint.variables[name].dtype != FLOAT32:
            raise UserError(f"{name} does not hold float32", where=checkpoint.uri, fix=fix)


def step_of(checkpoint: TensorflowCheckpoint, fix: str) -> int:
    """Updates done, 0 where the checkpoint does not say."""
    if STEP not in checkpoint.variables:
        return 0
    step: npt.NDArray[np.generic] = checkpoint.read(STEP)
    if step.shape or step.dtype.kind != "i" or not 0 <= int(step) < _LARGEST_STEP:
        raise UserError(f"{STEP} is no count", where=checkpoint.uri, fix=fix)
    return int(step)
