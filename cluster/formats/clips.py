"""What all clips of a corpus, and all that a model takes or makes, have in common: how many samples at which rate, in how many
channels. Shards' and checkpoints' manifests say it; where they meet, it is compared."""

from __future__ import annotations

from dataclasses import dataclass

from invertone.cluster.errors import UserError

CHANNELS = {1: "mono", 2: "stereo"}


@dataclass(frozen=True)
class ClipFormat:
    """sample_rate: Hz. samples: of each channel. channels: 1 or 2. Unless it is said otherwise WaveGAN's, 1.024 s."""

    sample_rate: int = 16_000
    samples: int = 16_384
    channels: int = 1

    def __post_init__(self) -> None:
        assert self.channels in CHANNELS and self.samples > 0 and self.sample_rate > 0

    def __str__(self) -> str:
        return f"{self.samples:,} {CHANNELS[self.channels]} samples at {self.sample_rate:,} Hz"

    @property
    def seconds(self) -> float:
        return self.samples / self.sample_rate

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a clip's samples, as files have them."""
        return (self.samples,) if self.channels == 1 else (self.samples, self.channels)

    @property
    def waveform(self) -> tuple[int, ...]:
        """Of a clip, as networks see it."""
        return self.shape[::-1]

    @property
    def keys(self) -> str:
        """What an ingest must be told to make such clips."""
        return f"sample_rate={self.sample_rate} clip_samples={self.samples} channels={self.channels}"


USUAL = ClipFormat()
"""WaveGAN's, and what everything meant that an older version wrote without saying it."""


def refuse_others(
    found: ClipFormat, role: str, wanted: ClipFormat, whose: str, where: str, how: str = "is for"
) -> None:
    """Raises UserError unless both are the same: a model for other clips would run, and give nonsense. role: what has the
    format `found`, lying at `where`; whose: what has the one that is `wanted`. how: models are for clips, shards are of
    them."""
    if found != wanted:
        raise UserError(
            f"{role} {how} {found}, not {wanted} as the {whose}",
            where=where,
            fix=f"give another, or clips of an ingest with {found.keys}",
        )
