"""Keys of `invertone train`: one schema per objective. Imports neither torch nor Ray, so that --help answers at once."""

from __future__ import annotations

from dataclasses import dataclass, field

from cluster.config import REQUIRED, Catalogue, key
from cluster.engine_config import StorageConfig

SCHEDULES = ("constant", "cosine")
RESIDENT = ("auto", "yes", "no")
DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class FrontEndConfig:
    """How a network sees audio (audio/front_end.py)."""

    n_fft: int = key(512, "window in samples", minimum=16)
    hop_length: int = key(128, "hop in samples", minimum=1)
    dynamic_range: float = key(10.0, "nats below the reference that count as silence", minimum=0.1)
    reference: str = key("clip", "0 dB is the clip's loudest bin or a full-scale sine", choices=("clip", "full_scale"))
    mels: int = key(0, "mel bands; 0 means linear frequency", minimum=0)


@dataclass(frozen=True)
class TrainConfig(StorageConfig):
    """Keys that every objective has."""

    objective: str = key(REQUIRED, "what is trained")
    shards: str = key(REQUIRED, "run folder of an ingest", path=True, neutral=True)
    out: str = key(REQUIRED, "run folder that takes checkpoints, metrics and samples", path=True, neutral=True)
    splits: list[str] = key(["train"], "splits to train on", choices=("train", "validation", "test"))
    steps: int = key(REQUIRED, "updates in all; a larger number continues a finished run", minimum=1, neutral=True)
    batch: int = key(64, "clips per batch, over all workers", minimum=1)
    learning_rate: float = key(1e-3, "step size of Adam", minimum=0.0)
    seed: int = key(0, "decides initial weights, order of clips, latents")
    workers: int = key(1, "data-parallel workers; batch is divided among them", minimum=1, neutral=True)
    device: str = key("auto", "auto takes a GPU per worker where the cluster has them", choices=DEVICES, neutral=True)
    resident: str = key(
        "auto", "decode all clips once and keep them; auto does up to 4 GB", choices=RESIDENT, neutral=True
    )
    log_every: int = key(10, "updates between two lines of metrics", minimum=1)
    checkpoint_every: int = key(500, "updates between two checkpoints, validations and samples", minimum=1)
    keep_checkpoints: int = key(2, "how many of the latest checkpoints stay, besides the best", minimum=1, neutral=True)
    validation_clips: int = key(1_000, "at most so many clips in a validation", minimum=1)
    samples: int = key(8, "clips to listen to at every checkpoint", minimum=0, neutral=True)


@dataclass(frozen=True)
class ClassifierConfig(TrainConfig):
    """ResNet-18 on spectrograms, cross-entropy."""

    width: int = key(64, "channels of the first stage; 64 is ResNet-18", minimum=1)
    front_end: FrontEndConfig = field(default_factory=FrontEndConfig)
    schedule: str = key("cosine", "learning rate over the steps", choices=SCHEDULES)
    weight_decay: float = key(1e-4, "decoupled (AdamW)", minimum=0.0)
    shift: int = key(1_600, "training clips move in time by up to so many samples", minimum=0)
    noise: float = key(0.002, "training clips get white noise of up to this standard deviation", minimum=0.0)
    mask: float = key(
        0.15, "share of the spectrogram's rows and columns hidden at most in training", minimum=0.0, maximum=0.9
    )
    label_smoothing: float = key(0.05, "share of probability spread over the other labels", minimum=0.0, maximum=0.9)


@dataclass(frozen=True)
class WaveganWeights:
    gradient_penalty: float = key(10.0, "lambda of WGAN-GP", minimum=0.0)


@dataclass(frozen=True)
class WaveganConfig(TrainConfig):
    """WaveGAN with WGAN-GP."""

    width: int = key(64, "model size d; 64 is the paper's", minimum=1)
    latent_size: int = key(100, "size of the latent vector", minimum=1)
    phase_shuffle: int = key(2, "radius in samples", minimum=0)
    critic_updates: int = key(5, "updates of the critic per update of the generator", minimum=1)
    classifier: str | None = key(None, "checkpoint for the inception score that picks the best generator", path=True)
    weights: WaveganWeights = field(default_factory=WaveganWeights)


@dataclass(frozen=True)
class WaeWeights:
    reconstruction: float = key(1.0, "multi-resolution STFT distance", minimum=0.0)
    features: float = key(1.0, "feature distance; counts if there is a classifier", minimum=0.0)
    prior: float = key(5.0, "sliced Wasserstein distance of latents and prior", minimum=0.0)


@dataclass(frozen=True)
class WaeConfig(TrainConfig):
    """WaveGAN's generator as the decoder of a Wasserstein autoencoder: speaks after an hour on one CPU core."""

    width: int = key(64, "model size d; 64 is WaveGAN's", minimum=1)
    latent_size: int = key(100, "size of the latent vector", minimum=1)
    encoder_width: int = key(64, "channels of the encoder's first stage; 64 is ResNet-18", minimum=1)
    front_end: FrontEndConfig = field(default_factory=FrontEndConfig)
    schedule: str = key("cosine", "learning rate over the steps", choices=SCHEDULES)
    noise: float = key(0.1, "latents move by up to so much in training", minimum=0.0)
    classifier: str | None = key(None, "checkpoint for feature distance and for accuracy in validation", path=True)
    weights: WaeWeights = field(default_factory=WaeWeights)


@dataclass(frozen=True)
class MapperWeights:
    real_features: float = key(1.0, "feature distance of real clips", minimum=0.0)
    latent: float = key(1.0, "latent error of synthesised clips", minimum=0.0)
    features: float = key(1.0, "feature distance of synthesised clips", minimum=0.0)


@dataclass(frozen=True)
class MapperConfig(TrainConfig):
    """ResNet-18 inverse mapper of a trained generator."""

    generator: str = key(
        REQUIRED,
        "generator to invert: folder of a checkpoint, package.module:Class (your own), FILE.pt2 (torch.export) or FILE.pt "
        "(TorchScript)",
        path=True,
        neutral=True,
    )
    classifier: str = key(
        REQUIRED, "checkpoint of the classifier that measures feature distance", path=True, neutral=True
    )
    width: int = key(64, "channels of the first stage; 64 is ResNet-18", minimum=1)
    front_end: FrontEndConfig = field(default_factory=FrontEndConfig)
    feature_loss: str = key("mse", "the papers write MSE, a supplement MAE", choices=("mse", "mae"))
    weights: MapperWeights = field(default_factory=MapperWeights)


@dataclass(frozen=True)
class RestyleConfig(MapperConfig):
    """Iterative inverse mapper: sees the clip and its present reconstruction, and corrects the latent."""

    passes: int = key(3, "corrections per clip in training", minimum=1)


CATALOGUE = Catalogue(
    stage="train",
    selector="objective",
    schemas={
        "classifier": ClassifierConfig,
        "wavegan": WaveganConfig,
        "wae": WaeConfig,
        "mapper": MapperConfig,
        "restyle": RestyleConfig,
    },
)
