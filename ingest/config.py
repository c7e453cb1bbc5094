"""Keys of `invertone ingest`: one schema per corpus."""

from __future__ import annotations

from dataclasses import dataclass

from invertone.audio.clip import CLIP_SAMPLES
from invertone.audio.windows import WINDOWS
from invertone.cluster.config.schema import REQUIRED, Catalogue, key
from invertone.cluster.config.shared import BulkConfig
from invertone.cluster.formats.shards import AUDIO_FORMATS, LEVELS

SPLIT_RULES = ("official", "hash")
NSYNTH_FAMILIES = (
    "bass", "brass", "flute", "guitar", "keyboard", "mallet", "organ", "reed", "string", "synth_lead", "vocal",
)  # fmt: skip
"""Instrument families in the order of NSynth's own numbers."""


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
    hop: int = key(16_384, "samples between windows (window=all)", minimum=1)
    shortest_window: int = key(
        1, "a last window with fewer samples is left out (window=all)", minimum=1, maximum=CLIP_SAMPLES
    )
    levels: str = key("untouched", "peak scales each clip's largest sample to full scale", choices=LEVELS)
    split: str = key(
        "official", "hash ignores the corpus's own split and assigns speakers by hash", choices=SPLIT_RULES
    )
    format: str = key("flac", "audio format inside the shards; both are lossless", choices=AUDIO_FORMATS)
    clips_per_shard: int = key(512, "how many clips make a shard", minimum=1, maximum=100_000)
    seed: int = key(0, "decides the order of clips in shards and the places of random windows")


@dataclass(frozen=True)
class SpeechCommandsConfig(IngestConfig):
    """Speech Commands, all words."""


@dataclass(frozen=True)
class Sc09Config(IngestConfig):
    """The ten digit words of Speech Commands, or the WaveGAN authors' sc09 folder."""


@dataclass(frozen=True)
class LibrispeechConfig(IngestConfig):
    """LibriSpeech; the label is the reader's sex."""

    subsets: list[str] = key([], "only these subsets, for example [train-clean-100]; empty means all that are there")


@dataclass(frozen=True)
class NsynthConfig(IngestConfig):
    """NSynth; the label is the instrument family."""

    families: list[str] = key(
        [], "only these families, which then number the labels; empty means all", choices=NSYNTH_FAMILIES
    )
    sources: list[str] = key([], "only these sources", choices=("acoustic", "electronic", "synthetic"))
    pitch_min: int = key(0, "lowest MIDI pitch", minimum=0, maximum=127)
    pitch_max: int = key(127, "highest MIDI pitch", minimum=0, maximum=127)


@dataclass(frozen=True)
class FsddConfig(IngestConfig):
    """Free Spoken Digit Dataset; recordings 0-4 of each speaker and digit are the test split."""


@dataclass(frozen=True)
class FolderConfig(IngestConfig):
    """Any tree of audio."""

    label_from: str = key("folder", "where a clip's label comes from", choices=("folder", "pattern", "none"))
    pattern: str = key(
        "", "regular expression searched in the relative path; its groups `label`, `speaker` and `split` are taken"
    )


CATALOGUE = Catalogue(
    stage="ingest",
    selector="corpus",
    schemas={
        "sc09": Sc09Config,
        "speech_commands": SpeechCommandsConfig,
        "librispeech": LibrispeechConfig,
        "nsynth": NsynthConfig,
        "fsdd": FsddConfig,
        "folder": FolderConfig,
    },
)
