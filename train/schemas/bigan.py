"""Keys of BiGAN, of a classifier on it, and of GGAN, its heir."""

from __future__ import annotations

from dataclasses import dataclass, field

from invertone.cluster.config.schema import REQUIRED, key
from invertone.train.schemas.shared import SCHEDULES, TrainConfig
from invertone.train.schemas.spectrogram_gan import GuidanceConfig, SpectrogramGanConfig

LOSSES = ("hinge", "log")


@dataclass(frozen=True)
class GganConfig(SpectrogramGanConfig):
    """Guided GAN, the predecessor of GAAE: clip, latent and label judged together."""

    guidance: GuidanceConfig = field(default_factory=GuidanceConfig)


@dataclass(frozen=True)
class BiganConfig(SpectrogramGanConfig):
    """BiGAN: encoder and discriminator on top of a BigGAN that was trained before; or all of it at once, together with a
    classifier on the encoder's latents that knows the guided labels."""

    guidance: GuidanceConfig = field(default_factory=GuidanceConfig)
    generator: str | None = key(
        None,
        "checkpoint of a BigGAN without labels, whose generator stays as it is (GAAE's paper); none: one is trained along, and "
        "the classifier as well",
        checkpoint="biggan",
        neutral=True,
    )
    loss: str = key("hinge", "log: BiGAN's own, of probabilities; hinge: as the others of the family", choices=LOSSES)
    joint: int = key(
        0,
        "units of the discriminator that hear clip and latent together; table XIX has 128; 0: as many as there are features, "
        "after two layers on the latent",
        minimum=0,
    )


@dataclass(frozen=True)
class BiganClassifierConfig(TrainConfig):
    """A classifier on the latents of a trained BiGAN's encoder, which stays as it is; it knows the guided labels."""

    encoder: str = key(REQUIRED, "checkpoint of a BiGAN", checkpoint="bigan", neutral=True)
    guidance: GuidanceConfig = field(default_factory=GuidanceConfig)
    hidden: int = key(128, "units of the hidden layer; table XXII has 128", minimum=1)
    average: float = key(
        0.999, "decay of the moving average of weights that is used in the end", minimum=0.0, maximum=1.0
    )
    schedule: str = key("constant", "learning rate over the steps", choices=SCHEDULES)
    validate_labels: bool = key(
        False,
        "validations read the labels of validation clips, for the accuracy; otherwise only the guidance's are ever read",
        neutral=True,
    )
