"""Keys of the inverse mapper and of the iterative one."""

from __future__ import annotations

from dataclasses import dataclass, field

from invertone.cluster.config.schema import REQUIRED, key
from invertone.train.schemas.shared import SCHEDULES, FrontEndConfig, TrainConfig


@dataclass(frozen=True)
class MapperWeights:
    real_features: float = key(1.0, "feature distance of real clips", minimum=0.0)
    latent: float = key(1.0, "latent error of synthesised clips", minimum=0.0)
    features: float = key(1.0, "feature distance of synthesised clips", minimum=0.0)
    real_log_magnitude: float = key(
        0.0, "mean absolute difference of log-magnitude spectrograms of real clips", minimum=0.0
    )
    real_multi_resolution_stft: float = key(
        0.0, "spectral convergence and log magnitude of real clips at three resolutions", minimum=0.0
    )
    real_multi_scale_mel: float = key(
        0.0,
        "mean absolute difference of log magnitudes of real clips in mel bands at three resolutions, 60 dB deep",
        minimum=0.0,
    )


@dataclass(frozen=True)
class MapperConfig(TrainConfig):
    """ResNet-18 inverse mapper of a trained generator."""

    generator: str = key(
        REQUIRED,
        "generator to invert: folder of a checkpoint, package.module:Class (your own), FILE.pt2 (torch.export) or FILE.pt "
        "(TorchScript)",
        checkpoint="generator",
        neutral=True,
    )
    classifier: str | None = key(
        None,
        "checkpoint of the classifier that measures feature distance; it may know other labels than the shards. Without one, "
        "and without listener, weights.real_features and weights.features are 0",
        checkpoint="classifier",
        neutral=True,
    )
    listener: str | None = key(
        None,
        "checkpoint whose network measures feature distance where there is no classifier: a mapper, or a run of wae, whose "
        "encoder it then is; no label is needed for them",
        checkpoint="any",
        neutral=True,
    )
    width: int = key(64, "channels of the first stage; 64 is ResNet-18", minimum=1)
    front_end: FrontEndConfig = field(default_factory=FrontEndConfig)
    initial: str | None = key(
        None,
        "checkpoint whose network training begins with, of the same shape: another mapper, or a run of wae, whose encoder "
        "it then is (of a restyle mapper the first pass)",
        checkpoint="any",
        neutral=True,
    )
    feature_loss: str = key(
        "mse", "the second paper writes MSE, the first one's supplement MAE", choices=("mse", "mae")
    )
    schedule: str = key("constant", "learning rate over the steps", choices=SCHEDULES)
    weights: MapperWeights = field(default_factory=MapperWeights)


@dataclass(frozen=True)
class RestyleConfig(MapperConfig):
    """Iterative inverse mapper: sees the clip and its present reconstruction, and corrects the latent."""

    passes: int = key(3, "corrections per clip in training", minimum=1)
