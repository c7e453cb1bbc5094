"""Keys that every corpus has."""

from __future__ import annotations

from dataclasses import dataclass

from invertone.audio.windows import WINDOWS
from invertone.cluster.config.schema import REQUIRED, key
from invertone.cluster.config.shared import BulkConfig
from invertone.cluster.formats.shards import AUDIO_FORMATS, LEVELS
from invertone.cluster.formats.signals import ClipFormat

SPLIT_RULES = ("official", "hash")


@dataclass(frozen=True)
class IngestConfig(BulkConfig):
    """Keys that every corpus has."""

    corpus: str = key(REQUIRED, "which reader")
    source: str = key(
        REQUIRED,
        "the corpus: its folder, its published archive (.tar, .tar.gz, .zip), or a folder of archives",
        path=True,
    )
    out: str = key(REQUIRED, "run folder that takes the shards", path=True, neutral=True)
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
