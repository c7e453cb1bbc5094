"""How a made picture is judged against its picture: the scores that Parquet rows and tables share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from invertone.images.distances import picture_ssim, pixel_mae, pixel_mse, psnr
from invertone.models.networks.features import cosine_distance, feature_distance
from invertone.models.networks.listening import SignalClassifier
from invertone.models.scores import Heard, hear, variance


@dataclass(frozen=True)
class PictureScores:
    """One number per picture, and the logits [b, k] of reconstruction and picture; what a recogniser makes of them is None
    without one, and its labels and logits where it knows no identities. Variances (ddof 0), of all pixels and colours: of
    picture minus reconstruction, and of the picture. Distances: of feature maps, of embeddings. psnr: dB."""

    pixel_mae: Float[Tensor, " b"]
    pixel_mse: Float[Tensor, " b"]
    psnr: Float[Tensor, " b"]
    ssim: Float[Tensor, " b"]
    residual_variance: Float64[Tensor, " b"]
    clip_variance: Float64[Tensor, " b"]
    feature_distance: Float[Tensor, " b"] | None = None
    cosine_distance: Float[Tensor, " b"] | None = None
    predicted_label: Int[Tensor, " b"] | None = None
    logits: Float[Tensor, "b k"] | None = None
    clip_logits: Float[Tensor, "b k"] | None = None


@dataclass(frozen=True)
class Picture:
    """Pictures as they are compared. heard: what a recogniser makes of them, if there is one."""

    signal: Float[Tensor, "b 3 h w"]
    heard: Heard | None

    def of(self, chosen: Sequence[int]) -> Picture:
        """Those of them at the places `chosen`."""
        at = torch.as_tensor(chosen, device=self.signal.device)
        return Picture(self.signal[at], None if self.heard is None else self.heard.of(at))


@torch.no_grad()
def picture_of(signal: Float[Tensor, "b 3 h w"], classifier: SignalClassifier | None) -> Picture:
    """What is compared of pictures, for those who compare them with several others."""
    return Picture(signal, hear(classifier, signal) if classifier is not None else None)


@torch.no_grad()
def compare(target: Picture, found: Picture) -> PictureScores:
    """Scores of a batch; see images/distances.py and models/networks/features.py for what each means."""
    seen: dict[str, Tensor] = {}
    if target.heard is not None and found.heard is not None:
        seen = {
            "feature_distance": feature_distance(target.heard.blocks, found.heard.blocks),
            "cosine_distance": cosine_distance(target.heard.penultimate, found.heard.penultimate),
        }
        if found.heard.logits.shape[1]:
            seen |= {
                "predicted_label": found.heard.logits.argmax(1),
                "logits": found.heard.logits,
                "clip_logits": target.heard.logits,
            }
    return PictureScores(
        pixel_mae(target.signal, found.signal),
        pixel_mse(target.signal, found.signal),
        psnr(target.signal, found.signal),
        picture_ssim(target.signal, found.signal),
        variance(target.signal - found.signal),
        variance(target.signal),
        **seen,
    )


def score(
    target: Float[Tensor, "b 3 h w"], reconstruction: Float[Tensor, "b 3 h w"], classifier: SignalClassifier | None
) -> PictureScores:
    """As `compare`, of pictures."""
    return compare(picture_of(target, classifier), picture_of(reconstruction, classifier))
