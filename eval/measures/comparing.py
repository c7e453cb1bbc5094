"""What differs between clips and pictures where reconstructions are compared with what they are of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from invertone.cluster.formats.latents import COMPARED, COMPARED_PICTURES
from invertone.cluster.formats.signals import ClipFormat, SignalFormat
from invertone.models import picture_scores, scores
from invertone.models.networks.listening import SignalClassifier
from invertone.models.scores import Heard

REAL, RANDOM = "real", "random latent"
SILENCE, MEAN_FACE = "silence", "mean face"


@runtime_checkable
class Seen(Protocol):
    """Signals of a batch as they are compared: `models.scores.Sound` or `models.picture_scores.Picture`."""

    @property
    def signal(self) -> Float[Tensor, "b ..."]: ...
    @property
    def heard(self) -> Heard | None: ...
    def of(self, chosen: Sequence[int]) -> Seen: ...


@dataclass(frozen=True)
class Comparing:
    """One kind of signals. blank: the row of a reconstruction that holds nothing of its own. compared: the numbers that
    `compare` gives of two batches whatever the classifier, in the order of columns; zeros: those that are 0 of a perfect
    copy, and ones 1. seen: how signals are seen with a classifier, or without. by_label: whether what a classifier takes
    them for says how good they are, as inception scores have it, and not only who they are of."""

    blank: str
    compared: tuple[str, ...]
    zeros: tuple[str, ...]
    seen: Callable[[Any, SignalClassifier | None], Any]
    compare: Callable[[Any, Any], Any]
    by_label: bool

    @property
    def baselines(self) -> tuple[str, str, str]:
        """Their rows, in order."""
        return REAL, self.blank, RANDOM


CLIPS = Comparing(
    SILENCE,
    COMPARED,
    ("waveform_mse", "waveform_mae", "spectrogram_mae", "spectrogram_mse"),
    scores.sound_of,
    scores.compare,
    True,
)
PICTURES = Comparing(
    MEAN_FACE, COMPARED_PICTURES, ("pixel_mae", "pixel_mse"), picture_scores.picture_of, picture_scores.compare, False
)


def comparing(format: SignalFormat) -> Comparing:
    """How signals of this format are compared."""
    return CLIPS if isinstance(format, ClipFormat) else PICTURES
