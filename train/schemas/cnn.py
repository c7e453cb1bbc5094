"""Keys of the CNNs that know the guided clips alone."""

from __future__ import annotations

from dataclasses import dataclass, field

from invertone.cluster.config.schema import key
from invertone.train.schemas.classifier import ClassifierConfig
from invertone.train.schemas.spectrogram_gan import GuidanceConfig

NETWORKS = ("batch-norm", "simple")


@dataclass(frozen=True)
class CnnConfig(ClassifierConfig):
    """A CNN that knows the guided clips alone, with augmentation."""

    network: str = key(
        "batch-norm",
        "simple: GAAE's table XXIV; batch-norm: six blocks with batch norm and a mean over places, better with few labels",
        choices=NETWORKS,
    )
    width: int = key(64, "channels of the first block; table XXIV has 32", minimum=1)
    guidance: GuidanceConfig = field(default_factory=GuidanceConfig)
    also: str | None = key(
        None,
        "further clips to learn from, with all their labels: shards by `invertone generate gaae output=shards`, say",
        path=True,
        neutral=True,
    )
    rotation: float = key(
        0.0, "spectrograms turn by up to so many degrees, of places; -1 comes in", minimum=0.0, maximum=180.0
    )
    patches: int = key(
        0, "rectangles per spectrogram that are multiplied by 0, which is half of the dynamic range", minimum=0
    )
    patch_size: float = key(
        0.25, "share of the rows, and of the columns, that a patch covers at most", minimum=0.0, maximum=1.0
    )
