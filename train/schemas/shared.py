"""Keys that every training has."""

from __future__ import annotations

from dataclasses import dataclass, field

from invertone.cluster.config.schema import REQUIRED, key
from invertone.cluster.config.shared import WorkerConfig

SCHEDULES = ("constant", "cosine")
PRIORS = ("normal", "uniform")
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
    window: str = key("hann", "analysis window; GAAE's is hamming", choices=("hann", "hamming"))
    mean: float = key(
        0.0,
        "mean of the logarithms relative to the reference, in nats: they are standardised before they are clipped (GAAE's "
        "text); off, because of deviations of about 4 its 10 reach so deep that nothing is clipped",
    )
    deviation: float = key(
        1.0, "their standard deviation: dynamic_range then counts these below the mean", minimum=1e-3
    )


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
