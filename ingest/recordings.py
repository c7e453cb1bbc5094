"""A recording becomes clips: decoded, mixed and resampled, cut into windows, each encoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BufferedIOBase
from typing import Any

from invertone.audio.clip import Samples, encode, fit, peak
from invertone.audio.recording.decoder import Decoder
from invertone.audio.recording.recording import BadAudioError, Concern
from invertone.audio.windows import cut
from invertone.cluster.formats.shards import Clip, ClipInfo, window_key
from invertone.ingest.conversions import conversion_line, converted
from invertone.ingest.corpora.keys import IngestConfig
from invertone.ingest.plan.entries import Sample
from invertone.ingest.plan.headers import sample_lines
from invertone.ingest.sources.members import Listing

SOUND = "sound"
"""What a unit's statistics call the counts of conversions; units of older versions have none."""


class Recordings:
    """A `ingest.signals.Intake`."""

    one, many, made, bad, statistics = "recording", "recordings", "clips", BadAudioError, SOUND

    def __init__(self, config: IngestConfig) -> None:
        self.config, self.format, self.levels = config, config.clips, config.levels

    def check_size(self, size: int) -> None:
        """None is too long: they are read as a stream."""

    def take(self, file: BufferedIOBase, row: Mapping[str, Any], uri: str, beat: Callable[[], None]) -> Recorded:
        """Raises BadAudioError where the file is no recording."""
        return Recorded(self.config, Decoder(file, self.config.sample_rate, self.config.channels), row, uri, beat)

    def counted(self, counts: Mapping[str, Any], units: int) -> str:
        return conversion_line(counts, self.config.clips, units)

    def sample_lines(self, listing: Listing, sample: Sample) -> list[str]:
        return sample_lines(self.config, listing, sample)


@dataclass(frozen=True)
class Recorded:
    """A `ingest.signals.Taken`."""

    config: IngestConfig
    decoder: Decoder
    row: Mapping[str, Any]
    uri: str
    beat: Callable[[], None]

    def clips(self) -> Iterator[Clip]:
        """Every window."""
        config, row = self.config, self.row

        def blocks() -> Iterator[Samples]:
            for block in self.decoder.blocks():
                self.beat()
                yield block

        hop, length = config.hop, config.clip_samples
        assert hop is not None, "see IngestConfig"
        for start, stretch in cut(blocks, config.window, hop, config.seed, row["key"], length, config.shortest_window):
            info = ClipInfo(
                key=window_key(row["key"], start) if config.window == "all" else row["key"],
                split=row["split"],
                source_uri=self.uri,
                start=start,
                length=len(stretch),
                source_sample_rate=self.decoder.source_sample_rate,
                label=row["label"],
                label_name=row["label_name"],
                speaker=row["speaker"],
                gender=row["gender"],
                pitch=row["pitch"],
            )
            samples = peak(stretch) if config.levels == "peak" else stretch
            yield Clip(info, encode(fit(samples, length), config.format, config.sample_rate), config.format)

    @property
    def clipped(self) -> int:
        return self.decoder.clipped

    def concerns(self) -> Sequence[Concern]:
        return self.decoder.concerns()

    def counts(self) -> dict[str, Any]:
        return converted(self.decoder.source_channels, self.decoder.source_sample_rate, self.config.clips)
