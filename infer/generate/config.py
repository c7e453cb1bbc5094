"""Keys of `invertone generate`: one schema per kind of output. Imports neither torch nor Ray."""

from __future__ import annotations

from dataclasses import dataclass

from invertone.cluster.config.registry import Entry, Registry
from invertone.cluster.config.schema import REQUIRED, Catalogue, key
from invertone.cluster.config.shared import BulkConfig
from invertone.cluster.formats.shards import AUDIO_FORMATS, SPLITS
from invertone.infer.schemas.shared import DEVICES

RANDOM, FIXED, INTERPOLATED, GRID = STYLES = ("random", "fixed", "interpolated", "grid")
IN_TURN, BY_CHANCE = LABELS = ("in-turn", "random")
CIRCLE, LINEAR = PATHS = ("great-circle", "linear")
OUTPUTS = ("wav", "parquet", "shards")
MOST_CLIPS = 100_000_000
"""As many as keys of eight digits can name."""


@dataclass(frozen=True)
class GenerateConfig(BulkConfig):
    """Keys that everything which is generated has."""

    kind: str = key(REQUIRED, "what is made")
    out: str = key(REQUIRED, "run folder that takes what is made", path=True, neutral=True)
    count: int = key(REQUIRED, "how many clips", minimum=1, maximum=MOST_CLIPS)
    seed: int = key(0, "decides each clip's latent, together with the clip's number", minimum=0)
    batch: int = key(64, "clips at a time; does not change the result", minimum=1, neutral=True)
    device: str = key("auto", "auto takes GPUs where the cluster has them", choices=DEVICES, neutral=True)


@dataclass(frozen=True)
class ClipsConfig(GenerateConfig):
    """Shards of clips or pictures whose latents are known, as `ingest` makes them of recordings and of picture files."""

    generator: str = key(REQUIRED, "checkpoint of the generator; every clip names it as where it comes from", path=True)
    classifier: str | None = key(
        None, "checkpoint that classifies them: what it says is their label", path=True, neutral=True
    )
    split: str = key("test", "the split that all clips belong to", choices=SPLITS)
    format: str = key(
        "flac", "audio format inside shards of clips, both lossless; pictures are PNG", choices=AUDIO_FORMATS
    )
    clips_per_shard: int = key(512, "how many clips make a shard", minimum=1, maximum=100_000)


@dataclass(frozen=True)
class GaaeClipsConfig(GenerateConfig):
    """Clips of a GAAE, GGAN, BigGAN or BiGAN, by label and style, to listen to."""

    checkpoint: str = key(REQUIRED, "checkpoint of a GAAE, GGAN, BigGAN or BiGAN", path=True, neutral=True)
    label: str | None = key(None, "label of every clip, by name or number from 0; none: all labels in turn")
    labels: str = key(
        IN_TURN,
        "where no label is given: all in turn, by the clip's number; or each clip's drawn at random, every label alike likely, "
        "by seed and number",
        choices=LABELS,
    )
    style: str = key(
        RANDOM,
        "random: a style for each clip; fixed: one style for all; interpolated: from one style to another; grid: one style "
        "for every so many clips as there are labels, each with another label",
        choices=STYLES,
    )
    path: str = key(
        CIRCLE,
        "style=interpolated: along the great circle, on which latents stay as long as a normal prior makes them; or linear, "
        "z0 + share (z1 - z0)",
        choices=PATHS,
    )
    steps: int = key(
        0,
        "style=interpolated: clips from one style to the other, one label for all of them, then the next two styles; 0: all of "
        "`count`, whose labels change from clip to clip",
        minimum=0,
    )
    latents: str | None = key(
        None,
        "run folder of `invertone infer gaae`: styles are of its clips, chosen by seed and key; none: drawn from the prior",
        path=True,
        neutral=True,
    )
    output: str = key(
        "wav",
        "a folder of WAV files; Parquet with latents and audio; or shards, to train on and to judge",
        choices=OUTPUTS,
    )
    split: str = key("train", "output=shards: the split that all clips belong to", choices=SPLITS)
    clips_per_unit: int = key(256, "how many clips are made and published together", minimum=1, maximum=100_000)


_HERE = "invertone.infer.generate"
KINDS = Registry(
    Entry("clips", f"{_HERE}.config:ClipsConfig", f"{_HERE}.clips_job"),
    Entry("gaae", f"{_HERE}.config:GaaeClipsConfig", f"{_HERE}.gaae_job"),
)
"""Each implementation has `plan(config)` and `run(name, config)`."""
CATALOGUE = Catalogue(stage="generate", selector="kind", schemas=KINDS)
