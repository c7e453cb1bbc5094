"""Which layers of a recogniser the perceptual loss compares."""

from __future__ import annotations

from collections.abc import Sequence

from invertone.cluster.errors import UserError, did_you_mean
from invertone.models.checkpoint import RECOGNISER, folder_of
from invertone.models.networks.recogniser import layer_names


def check_layers(layers: Sequence[str], classifier: str) -> None:
    """Raises UserError where the checkpoint `classifier` is no recogniser, or has no layer of one of these names."""
    _, manifest = folder_of(classifier, "classifier", "classifier")
    if manifest.kind != RECOGNISER:
        raise UserError(
            f"weights.perceptual needs a recogniser, and classifier is a {manifest.kind} checkpoint",
            where=classifier,
            fix="give a run of `invertone train recogniser`, or weights.perceptual=0",
        )
    known = layer_names(manifest.networks["classifier"]["blocks"])
    for layer in layers:
        if layer not in known:
            raise UserError(
                f"perceptual_layers: the recogniser has no layer {layer!r}",
                where=classifier,
                fix=f"choose of {', '.join(known)}{did_you_mean(layer, known)}",
            )
