"""Keys that every corpus has: of recordings, and of pictures."""

from __future__ import annotations

from dataclasses import dataclass

from invertone.audio.windows import WINDOWS
from invertone.cluster.config.schema import REQUIRED, key
from invertone.cluster.config.shared import BulkConfig
from invertone.cluster.errors import UserError
from invertone.cluster.formats.shards import AUDIO_FORMATS, LEVELS
from invertone.cluster.formats.signals import ClipFormat, PictureFormat

SPLIT_RULES = ("official", "hash")
PICTURE_SPLIT_RULES = (*SPLIT_RULES, "within")
CROPS = ("centre", "box", "none")
LARGEST = 4_096
"""Pixels of a picture's height or width: far beyond what any network here makes."""


@dataclass(frozen=True)
class SourceConfig(BulkConfig):
    """Where a corpus lies, and where its shards go."""

    corpus: str = key(REQUIRED, "which reader")
    source: str = key(
        REQUIRED,
        "the corpus: its folder, its published archive (.tar, .tar.gz, .zip), or a folder of archives",
        path=True,
    )
    out: str = key(REQUIRED, "run folder that takes the shards", path=True, neutral=True)


@dataclass(frozen=True)
class IngestConfig(SourceConfig):
    """Keys that every corpus of recordings has."""

    window: str = key("first", "which stretch of a longer recording becomes a clip", choices=WINDOWS)
    sample_rate: int = key(
        16_000, "Hz of the clips: recordings of other rates are resampled", minimum=1_000, maximum=768_000
    )
    clip_samples: int = key(16_384, "samples of a clip, of each channel", minimum=1)
    channels: int = key(
        1,
        "1: recordings are mixed to mono; 2: stereo, a recording that has not two channels is in both",
        minimum=1,
        maximum=2,
    )
    hop: int | None = key(
        None, "samples between windows (window=all); none: as long as a clip", minimum=1
    )  # a number once it is constructed: what runs record, and older ones did
    shortest_window: int = key(1, "a last window with fewer samples is left out (window=all)", minimum=1)
    levels: str = key("untouched", "peak scales each clip's largest sample to full scale", choices=LEVELS)
    split: str = key(
        "official", "hash ignores the corpus's own split and assigns speakers by hash", choices=SPLIT_RULES
    )
    format: str = key("flac", "audio format inside the shards; both are lossless", choices=AUDIO_FORMATS)
    clips_per_shard: int = key(512, "how many clips make a shard", minimum=1, maximum=100_000)
    seed: int = key(0, "decides the order of clips in shards and the places of random windows")

    def __post_init__(self) -> None:
        if self.hop is None:
            object.__setattr__(self, "hop", self.clip_samples)

    @property
    def clips(self) -> ClipFormat:
        return ClipFormat(self.sample_rate, self.clip_samples, self.channels)


@dataclass(frozen=True)
class PictureConfig(SourceConfig):
    """Keys that every corpus of pictures has."""

    height: int = key(64, "pixels of the pictures from top to bottom", minimum=1, maximum=LARGEST)
    width: int = key(64, "pixels of the pictures from side to side", minimum=1, maximum=LARGEST)
    crop: str = key(
        "centre",
        "what is cut out before it is resized: the largest middle part of the pictures' shape, a box of each file's own, or "
        "nothing (none: the whole, stretched)",
        choices=CROPS,
    )
    share: float = key(
        1.0,
        "of the middle part that crop=centre takes, its height and width: 0.6 of LFW's files is what its faces fill",
        minimum=0.01,
        maximum=1.0,
    )
    boxes: str = key(
        "",
        "a table of boxes for crop=box (.csv, .tsv, .jsonl, .json, .parquet), inside the source or anywhere: a column that "
        "names files, then left, top, width, height in pixels, or left, top, right, bottom (shares where none is above 1)",
    )
    margin: float = key(
        0.0,
        "what a box is widened by at each side, as a share of its height and width; below 0 it is narrowed",
        minimum=-0.49,
        maximum=10.0,
    )
    split: str = key(
        "official",
        "hash ignores the corpus's own split and assigns identities by hash: nobody is in two splits; within assigns files: "
        "people are in all",
        choices=PICTURE_SPLIT_RULES,
    )
    clips_per_shard: int = key(512, "how many pictures make a shard", minimum=1, maximum=100_000)
    seed: int = key(0, "decides the order of pictures in shards")

    @property
    def pictures(self) -> PictureFormat:
        return PictureFormat(self.height, self.width)


AnyIngest = IngestConfig | PictureConfig
"""Whatever works with both takes what both have; what is of one alone takes that one."""


def check_boxes(config: PictureConfig, own: str = "") -> None:
    """Raises UserError where keys of boxes do not fit each other. own: the corpus's own boxes, if it has them, in words."""
    if config.crop == "box" and not config.boxes and not own:
        raise UserError("crop=box without boxes", fix="name their table: boxes=boxes.csv")
    if config.crop != "box" and config.boxes:
        raise UserError(f"boxes are given, and crop={config.crop} uses none", fix="add crop=box, or leave boxes away")
