"""Keys of GAAE."""

from __future__ import annotations

from dataclasses import dataclass, field

from invertone.cluster.config.schema import key
from invertone.train.schemas.spectrogram_gan import GuidanceConfig, SpectrogramGanConfig


@dataclass(frozen=True)
class GaaeWeights:
    """alpha (w1 G + w2 lambda R) + beta (w3 Cl + w4 Cg + w5 L) of the paper."""

    alpha: float = key(0.5, "of generation and reconstruction; alpha + beta = 1 in the paper", minimum=0.0)
    beta: float = key(0.5, "of both classifications and the latent's prior", minimum=0.0)
    generation: float = key(0.6, "w1: scores of reconstructed and generated clips", minimum=0.0)
    reconstruction: float = key(0.4, "w2: squared error; w1 + w2 = 1 in the paper", minimum=0.0)
    reconstruction_scale: float = key(20.0, "lambda", minimum=0.0)
    guided: float = key(0.25, "w3: cross-entropy of guided clips; w3 + w4 + w5 = 1 in the paper", minimum=0.0)
    generated: float = key(0.25, "w4: cross-entropy of generated clips", minimum=0.0)
    latent: float = key(0.5, "w5: scores of style latents", minimum=0.0)


@dataclass(frozen=True)
class GaaeWarmUp:
    """What is learned before everything is learned at once. The paper knows none."""

    classifier: int = key(0, "first so many updates of encoder and classifier, by guided clips alone", minimum=0)
    reconstruction: int = key(0, "then so many without the sample discriminator and generated clips", minimum=0)


@dataclass(frozen=True)
class GaaeConfig(SpectrogramGanConfig):
    """Guided adversarial autoencoder: labels from a few clips, a guided latent and a style latent."""

    guidance: GuidanceConfig = field(default_factory=GuidanceConfig)
    guided_batch: int | None = key(None, "guided clips per update of the classifier; none: as many as batch", minimum=1)
    weights: GaaeWeights = field(default_factory=GaaeWeights)
    warm_up: GaaeWarmUp = field(default_factory=GaaeWarmUp)
    style_size: int | None = key(None, "size of the style latent; none: latent_size, as in the paper", minimum=1)
    independent_style: bool = key(
        False,
        "the latent discriminator sees labels beside latents (drawn ones, the classifier's), so that a style may not tell the "
        "label; not in the paper",
    )
    style_noise: float = key(
        0.0,
        "standard deviation of noise in clips' own styles where they are decoded in training (style and noise together keep "
        "the style's variance): what the label tells is then not worth a place in the style; not in the paper",
        minimum=0.0,
    )
    generated_style: str = key(
        "prior",
        "style of generated clips in training: own: each clip's, with a random label (the paper, III-A3); prior: drawn; both: "
        "of every second clip its own",
        choices=("own", "prior", "both"),
    )
    shift: int = key(0, "clips move in time by up to so many samples (see varied)", minimum=0)
    noise: float = key(
        0.0, "white noise of up to this standard deviation in what the encoder sees of clips", minimum=0.0
    )
    mask: float = key(
        0.0, "share of a spectrogram's rows and columns hidden at most from the encoder", minimum=0.0, maximum=0.9
    )
    varied: str = key(
        "guided",
        "what shift, noise and mask vary: guided clips, or all: the unlabelled are then moved in time, and reconstructed from "
        "a noisy, masked version; the paper varies nothing",
        choices=("guided", "all"),
    )
    real_pairs: str = key(
        "both",
        "real examples of the sample discriminator: guided clips with their label, all clips with the classifier's, or both",
        choices=("guided", "all", "both"),
    )
