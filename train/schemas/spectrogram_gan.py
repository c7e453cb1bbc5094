"""Keys that GAAE, GGAN, BigGAN and BiGAN share, and those of guidance."""

from __future__ import annotations

from dataclasses import dataclass, field

from invertone.cluster.config.schema import key
from invertone.train.schemas.shared import PRIORS, SCHEDULES, FrontEndConfig, TrainConfig


@dataclass(frozen=True)
class GuidanceConfig:
    """Which labels a semi-supervised training may know."""

    fraction: float = key(0.05, "share of the labelled clips", minimum=0.0, maximum=1.0)
    draw: str = key(
        "stratified",
        "which ones: equally many of every label, or at random whatever their labels (the paper's)",
        choices=("stratified", "random"),
    )
    speakers: int | None = key(None, "instead: all clips of so many speakers per label", minimum=1)
    shards: str | None = key(
        None, "another corpus whose labels guide; none: the training clips", path=True, neutral=True
    )
    seed: int = key(0, "decides which clips are chosen")
    apart: bool = key(
        False,
        "the unlabelled clips are the rest: guided clips are none of them (the paper's); where there is no rest, as with "
        "fraction=1, they are all clips",
    )
    merged: bool = key(False, "the guided clips of another corpus are unlabelled training clips as well (the paper's)")


@dataclass(frozen=True)
class SpectrogramGanConfig(TrainConfig):
    """Keys of the BigGAN family on 256 x 128 log-magnitude spectrograms."""

    classifier: str | None = key(
        None,
        "checkpoint that judges generated clips in validations (inception score, Fréchet distance of its logits, share of "
        "clips it hears as asked), of the guidance's labels; it trains nothing and picks nothing",
        checkpoint="classifier",
        neutral=True,
    )
    validate_labels: bool = key(
        False,
        "validations read the labels of validation clips, for the accuracy of the model's own classifier; otherwise no label "
        "beyond the guidance is ever read",
        neutral=True,
    )
    channels: int = key(16, "ch of the paper: widths of networks are multiples of it", minimum=1)
    encoder_multiples: list[int] = key(
        [1, 2, 4, 8, 16, 16],
        "widths of the encoder's blocks, in channels; one more than halve the picture is a last block without a shortcut: "
        "GAAE's tables print [1, 1, 2, 4, 8, 16, 16]",
    )
    discriminator_multiples: list[int] = key(
        [1, 2, 4, 8, 16, 16], "widths of the discriminator's blocks, as encoder_multiples"
    )
    decoder_multiples: list[int] = key(
        [16, 16, 8, 8, 4, 2, 1],
        "widths of the decoder's dense layer and of its blocks, in channels; BigGAN's; GAAE's tables print "
        "[16, 16, 16, 16, 16, 16, 1]",
    )
    patch: int = key(
        1,
        "networks see and make squares of patch x patch points (1, 2, 4 or 8) as channels, and have log2(patch) blocks less; "
        "the papers have 1, a CPU trains 4 several times as fast",
        minimum=1,
        maximum=8,
    )
    attention_rows: int = key(128, "where the non-local block stands, by rows left: 128, 64, 32, 16; 0 is none")
    rows: int = key(
        256,
        "lowest frequencies that networks see and make (256, 128 or 64), above is silence: 128 suits recordings of 8 kHz, and "
        "halves the work",
        minimum=64,
        maximum=256,
    )
    encoder_norm: str = key(
        "spectral",
        "spectral: as the discriminators; batch: batch norm and mean pooling, which learns in fewer updates",
        choices=("spectral", "batch"),
    )
    encoder_blocks: str = key(
        "residual",
        "residual: as the discriminators; plain: as the simple CNN (convolution, batch norm, ReLU, maximum; mean over places), "
        "which learns from fewer clips",
        choices=("residual", "plain"),
    )
    encoder_patch: int | None = key(None, "of the encoder; none: patch", minimum=1, maximum=8)
    latent_size: int = key(128, "size of each latent", minimum=1)
    prior: str = key(
        "normal",
        "latents that generate, and that styles are to be like: standard normal, or uniform in [-1, 1]",
        choices=PRIORS,
    )
    front_end: FrontEndConfig = field(default_factory=FrontEndConfig)
    schedule: str = key("constant", "learning rates over the steps", choices=SCHEDULES)
    beta1: float = key(
        0.0, "Adam's momentum of encoder, decoder and classifier; BigGAN has none", minimum=0.0, maximum=0.999
    )
    discriminator_learning_rate: float = key(2e-4, "step size of Adam for discriminators", minimum=0.0)
    discriminator_updates: int = key(2, "updates of discriminators per update of the others", minimum=1)
    average: float = key(
        0.9999, "decay of the moving average of weights that is used in the end", minimum=0.0, maximum=1.0
    )
