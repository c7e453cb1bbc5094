"""Keys that every inversion method has."""

from __future__ import annotations

from dataclasses import dataclass

from invertone.cluster.config.schema import REQUIRED, key
from invertone.cluster.config.shared import BulkConfig
from invertone.cluster.formats.latents import RECONSTRUCTIONS, ROWS, SCORES
from invertone.cluster.formats.shards import AUDIO_FORMATS, SPLITS

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("float32", "tf32", "bf16")


@dataclass(frozen=True)
class InferConfig(BulkConfig):
    """Keys that every method has."""

    method: str = key(REQUIRED, "how latents are recovered")
    shards: str = key(REQUIRED, "run folder of an ingest", path=True, neutral=True)
    generator: str = key(
        REQUIRED,
        "generator whose latents are wanted: folder of a checkpoint, package.module:Class (your own), FILE.pt2 "
        "(torch.export) or FILE.pt (TorchScript)",
        checkpoint="generator",
        neutral=True,
    )
    out: str = key(REQUIRED, "run folder that takes the Parquet", path=True, neutral=True)
    classifier: str | None = key(
        None, "checkpoint for feature distance and predicted label", checkpoint="classifier", neutral=True
    )
    splits: list[str] = key([], "only these splits; empty means all", choices=SPLITS)
    rows: str = key(
        RECONSTRUCTIONS,
        "what a row holds: the latent alone; with scores, which compare clip and reconstruction; with the reconstruction's "
        "sound; or with both (reconstructions). What is not asked for is not computed",
        choices=ROWS,
        former={"reconstructions": {True: RECONSTRUCTIONS, False: SCORES}},
    )
    reconstruction_format: str = key(
        "flac", "audio format of reconstructions of clips; those of pictures are PNG", choices=AUDIO_FORMATS
    )
    precision: str = key("float32", "of the networks; tf32 on GPUs only, bf16 changes latents", choices=PRECISIONS)
    compile: bool = key(
        False, "compile the networks (torch.compile), a minute or so for each worker; pays on GPUs for large archives"
    )
    tile: int = key(
        0,
        "clips that the networks see at once, always as many, so that no clip depends on its neighbours; 0 means 8 on a CPU "
        "and 64 on a GPU; fewer where a generator does not fit its GPU",
        minimum=0,
    )
    batch: int = key(64, "clips at a time; does not change the result", minimum=1, neutral=True)
    seed: int = key(0, "decides the starting points of gradient inversion, together with each clip's key")
    device: str = key("auto", "auto takes GPUs where the cluster has them", choices=DEVICES, neutral=True)
