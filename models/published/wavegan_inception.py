"""The classifier of WaveGAN's inception scores as its authors publish it (TensorFlow 1): its variables, and where they belong.

Below `classifier/`: `batch_normalization/{gamma, beta, moving_mean, moving_variance} [mel bands]`; `conv2d`, `conv2d_1` … `_3`
with `kernel [5 times, 5 bands, in, out]` and `bias`; `batch_normalization_1` … `_3` after the first three maxima and `_4` of
the numbers that `dense` sees, time by time, band by band. The labels are the digits, in order.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from invertone.cluster.errors import UserError
from invertone.models.networks.wavegan_inception import KERNEL, LAYERS, MELS, PLACES, WaveganInception
from invertone.models.published.tensorflow_checkpoint import TensorflowCheckpoint
from invertone.models.published.variables import STEP, Places, Shape, match, size_of, step_of

LABELS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
"""As the published graph names them, but for its capitals."""
SCOPE = "classifier/"
_SLOT = re.compile(r"/(Adam|RMSProp|Momentum)(_\d+)?$|^beta[12]_power(_\d+)?$")
_NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
_FIX = "give the classifier that WaveGAN's authors publish (eval/inception/best_acc-103005)"


@dataclass(frozen=True)
class PublishedInception:
    """A published checkpoint whose every variable is accounted for. outputs: how many labels. optimiser: how many variables
    are an optimiser's. others: names of what belongs to neither network nor optimiser."""

    checkpoint: TensorflowCheckpoint
    width: int
    outputs: int
    step: int
    optimiser: int
    others: tuple[str, ...]

    @property
    def parameters(self) -> dict[str, int]:
        """How many are trained, by network."""
        places = _places(self.width, self.outputs)
        trained = [shape for name, (_, shape) in places.items() if "/moving_" not in name]
        return {"classifier": sum(math.prod(shape) for shape in trained)}

    def networks(self) -> dict[str, nn.Module]:
        """The classifier with the published weights. Raises UserError for damaged ones."""
        with torch.random.fork_rng(devices=[]):
            network = WaveganInception(self.outputs, self.width)
        weights = {ours: self._weight(theirs) for theirs, (ours, _) in _places(self.width, self.outputs).items()}
        kept = {name: each for name, each in network.state_dict().items() if name.endswith("num_batches_tracked")}
        network.load_state_dict(weights | kept)
        return {"classifier": network}

    def _weight(self, name: str) -> Tensor:
        """The variable `name` in torch's order of axes, which is TensorFlow's reversed: its first axis of places is time."""
        values = np.asarray(self.checkpoint.read(name), np.float32)
        if not np.isfinite(values).all():
            raise UserError(f"{name} holds values that are not finite", where=self.checkpoint.uri, fix="give another")
        if name.endswith("/moving_variance") and (values < 0).any():
            raise UserError(f"{name} holds variances below 0", where=self.checkpoint.uri, fix="give another")
        return torch.from_numpy(np.array(values.T, order="C"))


def inspect(checkpoint: TensorflowCheckpoint) -> PublishedInception:
    """What `checkpoint` holds, by its index alone. Raises UserError, naming the variable, where it is not this classifier."""
    shapes = {name: each.shape for name, each in checkpoint.variables.items() if not _SLOT.search(name)}
    found = {name: shape for name, shape in shapes.items() if name.startswith(SCOPE)}
    if not found:
        what = "holds no classifier of WaveGAN's inception scores: no variable is named classifier/…"
        raise UserError(what, where=checkpoint.uri, fix=_FIX)
    width = size_of(found, f"{SCOPE}conv2d/kernel", 4, 3, checkpoint.uri, _FIX)
    outputs = size_of(found, f"{SCOPE}dense/kernel", 2, 1, checkpoint.uri, _FIX)
    match(checkpoint, found, _places(width, outputs), _FIX)
    if outputs != len(LABELS):
        raise UserError(f"hears {outputs} labels, not the ten digits", where=checkpoint.uri, fix=_FIX)
    others = sorted(shapes.keys() - found.keys() - {STEP})
    optimiser = len(checkpoint.variables) - len(shapes)
    return PublishedInception(checkpoint, width, outputs, step_of(checkpoint, _FIX), optimiser, tuple(others))


def _places(width: int, outputs: int) -> Places:
    """Every variable of the classifier."""
    places: Places = {}
    norms = {"bands": MELS, **{f"norms.{at}": width for at in range(LAYERS - 1)}, "last": PLACES * width}
    for at, (ours, size) in enumerate(norms.items()):
        for theirs, part in _NORM.items():
            places[f"{SCOPE}{_numbered('batch_normalization', at)}/{theirs}"] = (f"{ours}.{part}", (size,))
    for at in range(LAYERS):
        kernel: Shape = (KERNEL, KERNEL, width if at else 1, width)
        places |= _layer(_numbered("conv2d", at), f"convolutions.{at}", kernel)
    return places | _layer("dense", "dense", (PLACES * width, outputs))


def _layer(theirs: str, ours: str, kernel: Shape) -> Places:
    return {
        f"{SCOPE}{theirs}/kernel": (f"{ours}.weight", kernel),
        f"{SCOPE}{theirs}/bias": (f"{ours}.bias", kernel[-1:]),
    }


def _numbered(name: str, at: int) -> str:
    """As TensorFlow names the layers of one kind."""
    return f"{name}_{at}" if at else name
