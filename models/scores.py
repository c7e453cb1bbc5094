"""How a reconstruction is judged against its clip: the scores that Parquet rows and tables share."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from invertone.audio.distances import image, image_mae, image_ssim, waveform_mse
from invertone.models.networks.features import feature_distance
from invertone.models.networks.resnet import ResNet18


@dataclass(frozen=True)
class Scores:
    """One number per clip; the last two are None without a classifier."""

    waveform_mse: Float[Tensor, " b"]
    spectrogram_mae: Float[Tensor, " b"]
    ssim: Float[Tensor, " b"]
    feature_distance: Float[Tensor, " b"] | None
    predicted_label: Int[Tensor, " b"] | None


@torch.no_grad()
def score(target: Float[Tensor, "b n"], reconstruction: Float[Tensor, "b n"], classifier: ResNet18 | None) -> Scores:
    """Scores of a batch; see audio/distances.py and models/networks/features.py for what each means."""
    features, predicted = None, None
    if classifier is not None:
        _, wanted = classifier.with_features(target)
        logits, found = classifier.with_features(reconstruction)
        features, predicted = feature_distance(wanted, found), logits.argmax(1)
    images = image(target), image(reconstruction)
    return Scores(
        waveform_mse(target, reconstruction),
        image_mae(*images),
        image_ssim(*images),
        features,
        predicted,
    )
