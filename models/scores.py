"""How a reconstruction is judged against its clip: the scores that Parquet rows and tables share."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from invertone.audio.distances import image, image_mae, image_mse, image_ssim
from invertone.models.networks.features import cosine_distance, feature_distance
from invertone.models.networks.resnet import ResNet18


@dataclass(frozen=True)
class Scores:
    """One number per clip, and the logits [b, k] of reconstruction and clip; what a classifier makes of them is None without
    one. Variances (ddof 0): of clip minus reconstruction, and of the clip. Distances: of block activations, of penultimate
    activations."""

    waveform_mse: Float[Tensor, " b"]
    waveform_mae: Float[Tensor, " b"]
    spectrogram_mae: Float[Tensor, " b"]
    spectrogram_mse: Float[Tensor, " b"]
    ssim: Float[Tensor, " b"]
    residual_variance: Float[Tensor, " b"]
    clip_variance: Float[Tensor, " b"]
    feature_distance: Float[Tensor, " b"] | None = None
    cosine_distance: Float[Tensor, " b"] | None = None
    predicted_label: Int[Tensor, " b"] | None = None
    logits: Float[Tensor, "b k"] | None = None
    clip_logits: Float[Tensor, "b k"] | None = None


@torch.no_grad()
def score(target: Float[Tensor, "b n"], reconstruction: Float[Tensor, "b n"], classifier: ResNet18 | None) -> Scores:
    """Scores of a batch; see audio/distances.py and models/networks/features.py for what each means."""
    wanted, found = image(target), image(reconstruction)
    difference = target - reconstruction
    heard: dict[str, Tensor] = {}
    if classifier is not None:
        clip_logits, of_clip = classifier.with_features(target)
        logits, of_found = classifier.with_features(reconstruction)
        heard = {
            "feature_distance": feature_distance(of_clip, of_found),
            "cosine_distance": cosine_distance(of_clip, of_found),
            "predicted_label": logits.argmax(1),
            "logits": logits,
            "clip_logits": clip_logits,
        }
    return Scores(
        difference.square().mean(1),
        difference.abs().mean(1),
        image_mae(wanted, found),
        image_mse(wanted, found),
        image_ssim(wanted, found),
        _variance(difference),
        _variance(target),
        **heard,
    )


def _variance(waveform: Float[Tensor, "b n"]) -> Float[Tensor, " b"]:
    """With ddof 0, of what is left without the mean, so that little is lost in single precision."""
    return (waveform - waveform.mean(1, keepdim=True)).square().mean(1)
