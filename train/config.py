"""Keys of `invertone train`: one schema per objective. Imports neither torch nor Ray, so that --help answers at once."""

from __future__ import annotations

from dataclasses import dataclass, field

from invertone.cluster.config.schema import REQUIRED, Catalogue, key
from invertone.cluster.config.shared import WorkerConfig

SCHEDULES = ("constant", "cosine")
RESIDENT = ("auto", "yes", "no")
DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "float32", "tf32", "bf16")


@dataclass(frozen=True)
class FrontEndConfig:
    """How a network sees audio (audio/front_end.py)."""

    n_fft: int = key(512, "window in samples", minimum=16)
    hop_length: int = key(128, "hop in samples", minimum=1)
    dynamic_range: float = key(10.0, "nats below the reference that count as silence", minimum=0.1)
    reference: str = key("clip", "0 dB is the clip's loudest bin or a full-scale sine", choices=("clip", "full_scale"))
    mels: int = key(0, "mel bands; 0 means linear frequency", minimum=0)


@dataclass(frozen=True)
class WorkersConfig:
    """How many data-parallel workers. Between two different numbers training is elastic: it goes on with those that are left
    when a node is lost, and takes in new ones. `workers=2` means 2 and 2."""

    min: int = key(1, "data-parallel workers without which training waits", minimum=1, neutral=True)
    max: int = key(1, "at most so many; batch is divided among those there are", minimum=1, neutral=True)

    @staticmethod
    def from_one(value: object) -> dict[str, object]:
        """What a number alone means."""
        return {"min": value, "max": value}


@dataclass(frozen=True)
class TrainConfig(WorkerConfig):
    """Keys that every objective has."""

    objective: str = key(REQUIRED, "what is trained")
    shards: str = key(REQUIRED, "run folder of an ingest", path=True, neutral=True)
    out: str = key(REQUIRED, "run folder that takes checkpoints, metrics and samples", path=True, neutral=True)
    splits: list[str] = key(["train"], "splits to train on", choices=("train", "validation", "test"))
    steps: int = key(REQUIRED, "updates in all; a larger number continues a finished run", minimum=1, neutral=True)
    batch: int = key(64, "clips per batch, over all workers", minimum=1)
    learning_rate: float = key(1e-3, "step size of Adam", minimum=0.0)
    seed: int = key(0, "decides initial weights, order of clips, latents")
    workers: WorkersConfig = field(default_factory=WorkersConfig)
    device: str = key("auto", "auto takes a GPU per worker where the cluster has them", choices=DEVICES, neutral=True)
    precision: str = key("auto", "of the networks; auto is tf32 on GPUs and float32 elsewhere", choices=PRECISIONS)
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
    initial: str | None = key(
        None,
        "checkpoint whose network training begins with, of the same shape: another mapper, or a run of wae, whose encoder "
        "it then is (of a restyle mapper the first pass)",
        path=True,
        neutral=True,
    )
    feature_loss: str = key("mse", "the papers write MSE, a supplement MAE", choices=("mse", "mae"))
    schedule: str = key("constant", "learning rate over the steps", choices=SCHEDULES)
    weights: MapperWeights = field(default_factory=MapperWeights)


@dataclass(frozen=True)
class RestyleConfig(MapperConfig):
    """Iterative inverse mapper: sees the clip and its present reconstruction, and corrects the latent."""

    passes: int = key(3, "corrections per clip in training", minimum=1)


@dataclass(frozen=True)
class GuidanceConfig:
    """Which labels a semi-supervised training may know."""

    fraction: float = key(0.05, "share of the labelled clips, equally many of every label", minimum=0.0, maximum=1.0)
    speakers: int | None = key(None, "instead: all clips of so many speakers per label", minimum=1)
    shards: str | None = key(
        None, "another corpus whose labels guide; none: the training clips", path=True, neutral=True
    )
    seed: int = key(0, "decides which clips are chosen")


@dataclass(frozen=True)
class SpectrogramGanConfig(TrainConfig):
    """Keys of the BigGAN family on 256 x 128 log-magnitude spectrograms."""

    classifier: str | None = key(
        None,
        "checkpoint for the inception score of generated clips in validations; it trains nothing and picks nothing",
        path=True,
        neutral=True,
    )
    channels: int = key(16, "ch of the paper: widths of networks are multiples of it", minimum=1)
    encoder_multiples: list[int] = key([1, 2, 4, 8, 16, 16], "widths of the encoder's blocks, in channels")
    discriminator_multiples: list[int] = key([1, 2, 4, 8, 16, 16], "widths of the discriminator's blocks, in channels")
    decoder_multiples: list[int] = key(
        [16, 16, 8, 8, 4, 2, 1],
        "widths of the decoder's blocks, in channels; GAAE's table prints [16, 16, 16, 16, 16, 2, 1]",
    )
    attention_rows: int = key(128, "where the non-local block stands, by rows left: 128, 64, 32, 16; 0 is none")
    encoder_norm: str = key(
        "spectral",
        "spectral: as the discriminators; batch: batch norm and mean pooling, which learns in fewer updates",
        choices=("spectral", "batch"),
    )
    latent_size: int = key(128, "size of each latent", minimum=1)
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
class GaaeConfig(SpectrogramGanConfig):
    """Guided adversarial autoencoder: labels from a few clips, a guided latent and a style latent."""

    guidance: GuidanceConfig = field(default_factory=GuidanceConfig)
    guided_batch: int | None = key(None, "guided clips per update of the classifier; none: as many as batch", minimum=1)
    weights: GaaeWeights = field(default_factory=GaaeWeights)
    shift: int = key(0, "guided clips move in time by up to so many samples, for the classifier", minimum=0)
    noise: float = key(0.0, "guided clips get white noise of up to this standard deviation", minimum=0.0)
    mask: float = key(0.0, "share of a guided spectrogram's rows and columns hidden at most", minimum=0.0, maximum=0.9)
    real_pairs: str = key(
        "both",
        "real examples of the sample discriminator: guided clips with their label, all clips with the classifier's, or both",
        choices=("guided", "all", "both"),
    )


@dataclass(frozen=True)
class GganConfig(SpectrogramGanConfig):
    """Guided GAN, the predecessor of GAAE: clip, latent and label judged together."""

    guidance: GuidanceConfig = field(default_factory=GuidanceConfig)


@dataclass(frozen=True)
class BigganConfig(SpectrogramGanConfig):
    """BigGAN: with labels (of the guidance, usually all) or without any."""

    conditional: bool = key(True, "labels steer the generator; false is the unsupervised baseline")
    guidance: GuidanceConfig = field(default_factory=GuidanceConfig)


@dataclass(frozen=True)
class BiganConfig(SpectrogramGanConfig):
    """BiGAN, and a classifier on its encoder's latents that knows the guided labels."""

    guidance: GuidanceConfig = field(default_factory=GuidanceConfig)


@dataclass(frozen=True)
class CnnConfig(ClassifierConfig):
    """A simple CNN that knows the guided clips alone, with augmentation."""

    guidance: GuidanceConfig = field(default_factory=GuidanceConfig)
    also: str | None = key(
        None,
        "further clips to learn from, with all their labels: shards by `invertone generate gaae output=shards`, say",
        path=True,
        neutral=True,
    )


CATALOGUE = Catalogue(
    stage="train",
    selector="objective",
    schemas={
        "classifier": ClassifierConfig,
        "wavegan": WaveganConfig,
        "wae": WaeConfig,
        "mapper": MapperConfig,
        "restyle": RestyleConfig,
        "gaae": GaaeConfig,
        "ggan": GganConfig,
        "biggan": BigganConfig,
        "bigan": BiganConfig,
        "cnn": CnnConfig,
    },
)
