"""Keys of trainings on pictures: both adversarial generators, the recogniser, the inverse mapper."""

from __future__ import annotations

from dataclasses import dataclass, field

from invertone.cluster.config.schema import REQUIRED, key
from invertone.train.schemas.shared import PRIORS, SCHEDULES, TrainConfig

JUDGE = (
    "recogniser whose embeddings of real and generated pictures give the Fréchet distance that picks the best generator"
)
LOSSES = ("cross-entropy", "triplet")


@dataclass(frozen=True)
class DcganConfig(TrainConfig):
    """DCGAN, the loss of the generator not saturating."""

    width: int = key(128, "channels of the outermost layer; 128 is the paper's", minimum=1)
    latent_size: int = key(100, "size of the latent vector", minimum=1)
    prior: str = key("uniform", "latents: uniform in [-1, 1] as in the paper, or standard normal", choices=PRIORS)
    mirror: bool = key(False, "half of the real pictures are mirrored; the paper varies nothing")
    classifier: str | None = key(None, JUDGE, checkpoint="classifier")


@dataclass(frozen=True)
class ProganWeights:
    gradient_penalty: float = key(10.0, "lambda of WGAN-GP", minimum=0.0)
    drift: float = key(0.001, "mean square of the scores of real pictures", minimum=0.0)


@dataclass(frozen=True)
class ProganConfig(TrainConfig):
    """Progressive GAN with WGAN-GP."""

    width: int = key(512, "channels up to 32 x 32; 512 is the paper's", minimum=1)
    latent_size: int = key(512, "size of the latent vector, standard normal", minimum=1)
    fade_steps: int = key(9_375, "steps in which a level is faded in; the paper shows 600,000 pictures", minimum=0)
    stable_steps: int = key(9_375, "steps at each level after that", minimum=0)
    critic_updates: int = key(1, "updates of the discriminator per update of the generator", minimum=1)
    average: float = key(0.999, "decay of the moving average of the generator's weights", minimum=0.0, maximum=1.0)
    mirror: bool = key(True, "half of the real pictures are mirrored, as the authors do with faces")
    classifier: str | None = key(None, JUDGE, checkpoint="classifier")
    weights: ProganWeights = field(default_factory=ProganWeights)


@dataclass(frozen=True)
class RecogniserConfig(TrainConfig):
    """FaceNet, by triplets or as a classifier of identities."""

    loss: str = key("cross-entropy", "of identities, or triplets with semi-hard negatives", choices=LOSSES)
    margin: float = key(0.2, "of triplets, in squared distances of embeddings of length 1", minimum=0.0)
    embedding: int = key(512, "numbers of an embedding", minimum=1)
    width: int = key(256, "channels of the first stage, a multiple of 16; 256 is FaceNet's", minimum=16)
    blocks: list[int] = key([5, 10, 6], "blocks of the three stages; FaceNet's 21 are what perceptual losses compare")
    size: int = key(160, "side to which pictures are resized first", minimum=75)
    mirror: bool = key(True, "half of the training pictures are mirrored")
    schedule: str = key("cosine", "learning rate over the steps", choices=SCHEDULES)
    weight_decay: float = key(5e-4, "decoupled, of AdamW", minimum=0.0)


@dataclass(frozen=True)
class PictureMapperWeights:
    latent: float = key(1.0, "mean absolute error of the latents of generated pictures", minimum=0.0)
    perceptual: float = key(1.0, "perceptual distance of generated pictures", minimum=0.0)
    real_pixels: float = key(1.0, "mean absolute error of the pixels of real pictures", minimum=0.0)
    real_perceptual: float = key(1.0, "perceptual distance of real pictures", minimum=0.0)


@dataclass(frozen=True)
class PictureMapperConfig(TrainConfig):
    """Inverse mapper of a trained generator of pictures: ResNet-18 and three dense layers."""

    generator: str = key(
        REQUIRED,
        "generator to invert: folder of a checkpoint, package.module:Class (your own), FILE.pt2 (torch.export) or FILE.pt "
        "(TorchScript)",
        checkpoint="generator",
        neutral=True,
    )
    classifier: str | None = key(
        None,
        "checkpoint of the recogniser that measures perceptual distance, of whichever identities; without one "
        "weights.perceptual and weights.real_perceptual are 0",
        checkpoint="classifier",
        neutral=True,
    )
    perceptual_layers: list[str] = key([], "layers that perceptual distance adds up; empty means all")
    width: int = key(64, "channels of the first stage; 64 is ResNet-18", minimum=1)
    hidden: list[int] = key([2_048, 1_024], "units of the dense layers before the last")
    size: int = key(224, "side to which pictures are resized first", minimum=32)
    real: bool = key(True, "real pictures are learned from as well, in turn with generated ones")
    turn_steps: int = key(
        0,
        "steps of a turn of either kind, the thesis's epochs; 0 does both in every step, one after the other",
        minimum=0,
    )
    schedule: str = key("constant", "learning rate over the steps", choices=SCHEDULES)
    weights: PictureMapperWeights = field(default_factory=PictureMapperWeights)
