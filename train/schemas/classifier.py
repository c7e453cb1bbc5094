"""Keys of the classifiers of clips that know every label: ResNet-18, and that of WaveGAN's inception scores."""

from __future__ import annotations

from dataclasses import dataclass, field

from invertone.cluster.config.schema import key
from invertone.train.schemas.shared import SCHEDULES, FrontEndConfig, TrainConfig

NETWORKS = ("resnet18", "wavegan-inception")
OPTIMISERS = ("adamw", "sgd")


@dataclass(frozen=True)
class ClassifierConfig(TrainConfig):
    """A classifier on spectrograms, cross-entropy."""

    network: str = key(
        "resnet18",
        "ResNet-18, or the network that WaveGAN's authors take inception scores with, which brings its own front end",
        choices=NETWORKS,
    )
    width: int = key(64, "channels of the first stage; 64 is ResNet-18, WaveGAN's authors have 128", minimum=1)
    front_end: FrontEndConfig = field(default_factory=FrontEndConfig)
    optimiser: str = key(
        "adamw", "AdamW, which is Adam where weight_decay is 0; or plain gradient descent", choices=OPTIMISERS
    )
    schedule: str = key("cosine", "learning rate over the steps", choices=SCHEDULES)
    weight_decay: float = key(1e-4, "decoupled, of AdamW", minimum=0.0)
    shift: int = key(1_600, "training clips move in time by up to so many samples", minimum=0)
    noise: float = key(0.002, "training clips get white noise of up to this standard deviation", minimum=0.0)
    mask: float = key(
        0.15, "share of the spectrogram's rows and columns hidden at most in training", minimum=0.0, maximum=0.9
    )
    label_smoothing: float = key(0.05, "share of probability spread over the other labels", minimum=0.0, maximum=0.9)
