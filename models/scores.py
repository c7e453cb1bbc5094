"""How a reconstruction is judged against its clip: the scores that Parquet rows and tables share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from invertone.audio.distances import image, image_mae, image_mse, image_ssim
from invertone.models.networks.features import cosine_distance, feature_distance
from invertone.models.networks.listening import SignalClassifier


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
    residual_variance: Float64[Tensor, " b"]
    clip_variance: Float64[Tensor, " b"]
    feature_distance: Float[Tensor, " b"] | None = None
    cosine_distance: Float[Tensor, " b"] | None = None
    predicted_label: Int[Tensor, " b"] | None = None
    logits: Float[Tensor, "b k"] | None = None
    clip_logits: Float[Tensor, "b k"] | None = None


@dataclass(frozen=True)
class Heard:
    """What a classifier makes of clips: logits [b, k], penultimate activations [b, d], and the feature maps of its
    blocks."""

    logits: Float[Tensor, "b k"]
    penultimate: Float[Tensor, "b d"]
    blocks: Sequence[Tensor]

    def of(self, at: Int[Tensor, " n"]) -> Heard:
        """Those of them at the places `at`."""
        return Heard(self.logits[at], self.penultimate[at], [each[at] for each in self.blocks])


@dataclass(frozen=True)
class Sound:
    """Clips as they are compared. heard: by the classifier, if there is one."""

    waveform: Float[Tensor, "b *c n"]
    image: Float[Tensor, "b *c f t"]
    heard: Heard | None

    def of(self, chosen: Sequence[int]) -> Sound:
        """Those of them at the places `chosen`."""
        at = torch.as_tensor(chosen, device=self.waveform.device)
        return Sound(self.waveform[at], self.image[at], None if self.heard is None else self.heard.of(at))

    @property
    def signal(self) -> Float[Tensor, "b *c n"]:
        """The clips, by the name that pictures have too."""
        return self.waveform


@torch.no_grad()
def hear(classifier: SignalClassifier, waveform: Float[Tensor, "b *c n"]) -> Heard:
    """One pass of the classifier."""
    return Heard(*classifier.seen(waveform))


@torch.no_grad()
def sound_of(waveform: Float[Tensor, "b *c n"], classifier: SignalClassifier | None) -> Sound:
    """What is compared of clips, for those who compare them with several others."""
    return Sound(waveform, image(waveform), hear(classifier, waveform) if classifier is not None else None)


@torch.no_grad()
def compare(target: Sound, found: Sound) -> Scores:
    """Scores of a batch; see audio/distances.py and models/networks/features.py for what each means."""
    difference = target.waveform - found.waveform
    heard: dict[str, Tensor] = {}
    if target.heard is not None and found.heard is not None:
        heard = {
            "feature_distance": feature_distance(target.heard.blocks, found.heard.blocks),
            "cosine_distance": cosine_distance(target.heard.penultimate, found.heard.penultimate),
            "predicted_label": found.heard.logits.argmax(1),
            "logits": found.heard.logits,
            "clip_logits": target.heard.logits,
        }
    return Scores(
        difference.square().flatten(1).mean(1),
        difference.abs().flatten(1).mean(1),
        image_mae(target.image, found.image),
        image_mse(target.image, found.image),
        image_ssim(target.image, found.image),
        variance(difference),
        variance(target.waveform),
        **heard,
    )


def score(
    target: Float[Tensor, "b *c n"], reconstruction: Float[Tensor, "b *c n"], classifier: SignalClassifier | None
) -> Scores:
    """As `compare`, of waveforms."""
    return compare(sound_of(target, classifier), sound_of(reconstruction, classifier))


def variance(waveform: Float[Tensor, "b *c n"]) -> Float64[Tensor, " b"]:
    """Of the samples of all channels, ddof 0, in double precision: what is recovered almost whole leaves little."""
    samples = waveform.double().flatten(1)  # `var` takes seven times as long
    return (samples - samples.mean(1, keepdim=True)).square_().mean(1)
