"""Keys of `invertone infer`: one schema per inversion method. Imports neither torch nor Ray."""

from __future__ import annotations

from dataclasses import dataclass

from cluster.config import REQUIRED, Catalogue, key
from cluster.engine_config import BulkConfig
from cluster.shards import AUDIO_FORMATS, SPLITS

DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class InferConfig(BulkConfig):
    """Keys that every method has."""

    method: str = key(REQUIRED, "how latents are recovered")
    shards: str = key(REQUIRED, "run folder of an ingest", path=True, neutral=True)
    generator: str = key(
        REQUIRED,
        "generator whose latents are wanted: folder of a checkpoint, package.module:Class (your own), FILE.pt2 "
        "(torch.export) or FILE.pt (TorchScript)",
        path=True,
        neutral=True,
    )
    out: str = key(REQUIRED, "run folder that takes the Parquet", path=True, neutral=True)
    classifier: str | None = key(None, "checkpoint for feature distance and predicted label", path=True, neutral=True)
    splits: list[str] = key([], "only these splits; empty means all", choices=SPLITS)
    reconstructions: bool = key(True, "write the reconstruction of every clip beside its latent")
    reconstruction_format: str = key("flac", "audio format of reconstructions", choices=AUDIO_FORMATS)
    batch: int = key(64, "clips at a time; does not change the result", minimum=1, neutral=True)
    seed: int = key(0, "decides the starting points of gradient inversion, together with each clip's key")
    device: str = key("auto", "auto takes GPUs where the cluster has them", choices=DEVICES, neutral=True)


@dataclass(frozen=True)
class EncoderConfig(InferConfig):
    """One pass of a trained inverse mapper."""

    mapper: str = key(REQUIRED, "checkpoint of a mapper trained for this generator", path=True, neutral=True)


@dataclass(frozen=True)
class GradientConfig(InferConfig):
    """Adam on the log-magnitude distance inside the prior, from a random start."""

    steps: int = key(200, "gradient steps per clip", minimum=1)
    learning_rate: float = key(0.03, "step size of Adam", minimum=0.0)


@dataclass(frozen=True)
class HybridConfig(GradientConfig):
    """Gradient inversion that starts from the mapper's latent."""

    mapper: str = key(REQUIRED, "checkpoint of a mapper trained for this generator", path=True, neutral=True)


CATALOGUE = Catalogue(
    stage="infer",
    selector="method",
    schemas={"encoder": EncoderConfig, "gradient": GradientConfig, "hybrid": HybridConfig},
)
