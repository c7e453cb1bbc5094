"""Keys of gradient descent on the latent, from the prior or from a mapper (hybrid)."""

from __future__ import annotations

from dataclasses import dataclass, field

from invertone.cluster.config.schema import key
from invertone.infer.schemas.shared import InferConfig

OPTIMISERS = ("lbfgs", "adam", "scipy")
CLIPPINGS = ("none", "standard", "stochastic")
AUTO, CLIP, HEARD, SEARCH = LABELS = ("auto", "clip", "heard", "search")
"""Where the label comes from that a generator is told beside the latent."""


@dataclass(frozen=True)
class LossWeights:
    """What gradient inversion minimises: the weighted sum of these terms. 0 leaves a term out. Terms of clips are refused for
    pictures, and the other way round. Where the generator's network makes spectrograms they look at these, by the generator's
    own front end."""

    waveform: float = key(0.0, "mean absolute difference of samples", minimum=0.0)
    spectrogram: float = key(
        0.0,
        "mean absolute difference of magnitude spectrograms 256/128: equation 1 of the inverse-mapper papers",
        minimum=0.0,
    )
    real_stft: float = key(0.0, "as spectrogram, of the STFT's real part: what the papers' code computes", minimum=0.0)
    log_magnitude: float = key(0.0, "mean absolute difference of log-magnitude spectrograms", minimum=0.0)
    log_magnitude_squared: float = key(0.0, "as log_magnitude, mean squared", minimum=0.0)
    multi_resolution_stft: float = key(
        0.0,
        "spectral convergence and log magnitude at three resolutions; at its own one of a generator of spectrograms",
        minimum=0.0,
    )
    multi_scale_mel: float = key(
        0.0, "mean absolute difference of log magnitudes in mel bands at three resolutions, 60 dB deep", minimum=0.0
    )
    pixel_mae: float = key(
        0.0, "pictures: mean absolute difference of pixels, between -1 and 1: the thesis's loss", minimum=0.0
    )
    pixel_mse: float = key(0.0, "pictures: mean squared difference of pixels", minimum=0.0)
    structural: float = key(0.0, "pictures: 1 minus structural similarity (SSIM)", minimum=0.0)
    perceptual: float = key(
        0.0,
        "pictures: mean squared difference of a recogniser's feature maps, the sum over layers; needs classifier, a recogniser",
        minimum=0.0,
    )
    features: float = key(0.0, "feature distance; needs classifier", minimum=0.0)
    mapper_features: float = key(
        0.0, "feature distance by the mapper's own feature maps; needs mapper, and no label", minimum=0.0
    )
    consistency: float = key(
        0.0, "mean square of latent minus mapper's latent of the result; needs mapper", minimum=0.0
    )
    prior: float = key(0.001, "half the mean square of the latent; only under a normal prior", minimum=0.0)


@dataclass(frozen=True)
class StopConfig:
    """When the inversion of a clip ends before its budget of evaluations."""

    gradient: float = key(1e-5, "lbfgs, scipy: largest coordinate of the projected gradient", minimum=0.0)
    decrease: float = key(2.22e-9, "lbfgs, scipy: relative decrease of the loss in an iteration", minimum=0.0)
    target: float | None = key(None, "a loss that is good enough", minimum=0.0)
    patience: int | None = key(None, "evaluations without an improvement", minimum=1)
    improvement: float = key(0.001, "relative decrease of the loss that counts for patience", minimum=0.0)
    seconds: float | None = key(
        None, "time for one start of one clip; makes results depend on the machine", minimum=0.0
    )


@dataclass(frozen=True)
class GradientConfig(InferConfig):
    """Minimisation of a loss inside a box, the prior's own or `clip_to`, from starts drawn from the prior."""

    optimiser: str = key("lbfgs", "lbfgs and adam: many clips at once; scipy: one by one", choices=OPTIMISERS)
    weights: LossWeights = field(default_factory=LossWeights)
    feature_loss: str = key(
        "mse", "the second paper writes MSE, the first one's supplement MAE", choices=("mse", "mae")
    )
    perceptual_layers: list[str] = key(
        [], "weights.perceptual: layers of the recogniser that are compared, such as block35-1; empty means all"
    )
    evaluations: int = key(300, "evaluations of loss and gradient per start at most", minimum=1)
    iterations: int = key(15_000, "lbfgs, scipy: iterations per start at most", minimum=1)
    starts: int = key(1, "starting points per clip; the best result is kept", minimum=1)
    learning_rate: float = key(0.03, "adam: step size", minimum=0.0)
    clipping: str = key("standard", "adam: what happens to a coordinate outside the box", choices=CLIPPINGS)
    clip_to: float | None = key(
        None,
        "the box that latents are kept in: b means [-b, b], 0 none; null is the prior's own, [-1, 1] of a uniform one and "
        "none of a normal one",
        minimum=0.0,
    )
    label: str = key(
        AUTO,
        "where a generator that takes labels has a clip's from: the clip's own (clip), the one that its own classifier hears "
        "(heard), or all are searched with and the best by loss is kept (search); auto: heard, without a classifier search",
        choices=LABELS,
    )
    stop: StopConfig = field(default_factory=StopConfig)
    trajectory: bool = key(False, "write the loss after every evaluation of the kept start")
    mapper: str | None = key(
        None, "checkpoint of the mapper for weights.consistency", checkpoint="mapper", neutral=True
    )


@dataclass(frozen=True)
class HybridConfig(GradientConfig):
    """Gradient inversion that starts from the mapper's latent, or that of the generator's own encoder (further starts are
    drawn from the prior)."""

    mapper: str | None = key(
        None,
        "checkpoint of a mapper trained for this generator; a GAAE, GGAN or BiGAN has an encoder of its own and needs none",
        checkpoint="mapper",
        neutral=True,
    )
