"""Keys of the recognition table."""

from __future__ import annotations

from dataclasses import dataclass

from invertone.cluster.config.schema import REQUIRED, key
from invertone.cluster.formats.shards import SPLITS
from invertone.eval.schemas.shared import JudgedConfig

AUTO, SPEAKER, LABEL, KEY = IDENTITIES = ("auto", "speaker", "label", "key")


@dataclass(frozen=True)
class RecognitionConfig(JudgedConfig):
    """How often the person is found again in reconstructions of pictures: the cumulative match characteristic."""

    latents: list[str] = key(REQUIRED, "run folder of an infer, or several: [runs/a, runs/b]", path=True, neutral=True)
    classifier: str = key(
        REQUIRED,
        "checkpoint of a recogniser, and not of the one that was the runs' loss",
        checkpoint="classifier",
        neutral=True,
    )
    shards: str | None = key(None, "the pictures; none means those the latents were made from", path=True, neutral=True)
    gallery: str | None = key(
        None,
        "shards of pictures of the same people, among which reconstructions are looked up; none means the pictures themselves",
        path=True,
        neutral=True,
    )
    gallery_splits: list[str] = key(
        [],
        "splits of the gallery; empty means all, or without a gallery of its own those of `splits`",
        choices=SPLITS,
    )
    identity: str = key(
        AUTO,
        "who a picture is of: its speaker, its label, or nobody else (key); auto takes the speaker where there is one, "
        "else the key",
        choices=IDENTITIES,
    )
    generator: str | None = key(
        None,
        "for random latents, given as to infer; none means the one that was inverted",
        checkpoint="generator",
        neutral=True,
    )
    sample: int = key(
        1_000,
        "pictures, roughly, for which mean face and random latent are looked up, chosen by seed and key; all where there are "
        "no more",
        minimum=1,
    )
