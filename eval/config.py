"""Keys of `invertone eval`: one schema per table. Imports neither torch nor Ray."""

from __future__ import annotations

from dataclasses import dataclass

from cluster.config import REQUIRED, Catalogue, key
from cluster.engine_config import BulkConfig
from cluster.shards import SPLITS

DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class EvalConfig(BulkConfig):
    """Keys that every table has."""

    table: str = key(REQUIRED, "which table")
    out: str = key(REQUIRED, "run folder that takes the table", path=True, neutral=True)
    splits: list[str] = key([], "only clips of these splits; empty means all", choices=SPLITS)
    batch: int = key(64, "clips at a time; does not change the result", minimum=1, neutral=True)
    device: str = key("auto", "auto takes GPUs where the cluster has them", choices=DEVICES, neutral=True)


@dataclass(frozen=True)
class ReconstructionConfig(EvalConfig):
    """Reconstructions against their clips, with the rows real, silence and random latent."""

    latents: list[str] = key(REQUIRED, "run folder of an infer, or several: [runs/a, runs/b]", path=True, neutral=True)
    shards: str | None = key(None, "the clips; none means those the latents were made from", path=True, neutral=True)
    classifier: str | None = key(
        None,
        "checkpoint that recognises; none means the one the latents were scored with, if any",
        path=True,
        neutral=True,
    )
    generator: str | None = key(
        None, "for random latents, given as to infer; none means the one that was inverted", path=True, neutral=True
    )
    seed: int = key(0, "decides the random latents")


@dataclass(frozen=True)
class ClassifierTableConfig(EvalConfig):
    """A classifier's accuracy and confusions on the clips themselves."""

    shards: str = key(REQUIRED, "run folder of an ingest", path=True, neutral=True)
    classifier: str = key(
        REQUIRED, "checkpoint to judge: classifier, cnn, gaae, ggan or bigan", path=True, neutral=True
    )


CATALOGUE = Catalogue(
    stage="eval",
    selector="table",
    schemas={"reconstruction": ReconstructionConfig, "classifier": ClassifierTableConfig},
)
