"""What all signals of a corpus, and all that a model takes or makes, have in common: of clips how many samples at which rate,
in how many channels; of pictures how high and wide. Shards' and checkpoints' manifests say it; where they meet, it is compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

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
    def view(self) -> tuple[int, ...]:
        """Of a clip, as networks see it."""
        return self.shape[::-1]

    @property
    def bytes(self) -> int:
        """Of a clip's 16-bit samples."""
        return 2 * self.samples * self.channels

    @property
    def keys(self) -> str:
        """What an ingest must be told to make such clips."""
        return f"sample_rate={self.sample_rate} clip_samples={self.samples} channels={self.channels}"

    def to_json(self) -> dict[str, Any]:
        """Fields of a manifest; without `channels` where there is one, as it was before there could be more."""
        stereo = {"channels": self.channels} if self.channels > 1 else {}
        return {"sample_rate": self.sample_rate, "clip_samples": self.samples} | stereo


USUAL = ClipFormat()
"""WaveGAN's, and what everything meant that an older version wrote without saying it."""


@dataclass(frozen=True)
class PictureFormat:
    """height, width: pixels. Pictures have three channels, red, green and blue, of 8 bits."""

    height: int = 64
    width: int = 64

    def __post_init__(self) -> None:
        assert self.height > 0 and self.width > 0

    def __str__(self) -> str:
        return f"pictures of {self.height} × {self.width} pixels"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a picture's pixels, as files have them."""
        return (self.height, self.width, 3)

    @property
    def view(self) -> tuple[int, ...]:
        """Of a picture, as networks see it."""
        return (3, self.height, self.width)

    @property
    def bytes(self) -> int:
        """Of a picture's pixels."""
        return 3 * self.height * self.width

    @property
    def keys(self) -> str:
        """What an ingest must be told to make such pictures."""
        return f"height={self.height} width={self.width}"

    def to_json(self) -> dict[str, Any]:
        """Fields of a manifest."""
        return {"signal": "picture", "height": self.height, "width": self.width}


SignalFormat = ClipFormat | PictureFormat
"""A signal is a clip or a picture. Whatever works with both asks its format; what is of one alone takes that one's class."""

SIGNALS = {"clip": ClipFormat, "picture": PictureFormat}
"""Kinds of signals by name."""


def kind_of(format: SignalFormat) -> str:
    """`clip` or `picture`."""
    return "clip" if isinstance(format, ClipFormat) else "picture"


def take_format(values: Mapping[str, Any]) -> tuple[SignalFormat, dict[str, Any]]:
    """The format that a manifest's JSON says, and its other fields; the inverse of `to_json`. Raises KeyError or TypeError for
    what is none."""
    others = dict(values)
    if "signal" not in others:
        return ClipFormat(others.pop("sample_rate"), others.pop("clip_samples"), others.pop("channels", 1)), others
    if (signal := others.pop("signal")) != "picture":
        raise TypeError(f"signal is {signal!r}")
    return PictureFormat(others.pop("height"), others.pop("width")), others


_Format = TypeVar("_Format", ClipFormat, PictureFormat)


def clips_of(format: SignalFormat, whose: str, where: str = "") -> ClipFormat:
    """The format of clips, for what is of clips alone. whose: what has it, for the message. Raises UserError where it is of
    pictures."""
    return _only(ClipFormat, format, whose, where)


def pictures_of(format: SignalFormat, whose: str, where: str = "") -> PictureFormat:
    """The format of pictures, for what is of pictures alone. Raises UserError where it is of clips."""
    return _only(PictureFormat, format, whose, where)


def _only(kind: type[_Format], format: SignalFormat, whose: str, where: str) -> _Format:
    if not isinstance(format, kind):
        wanted = "clips of sound" if kind is ClipFormat else "pictures"
        raise UserError(f"{whose}: {format}, and this is for {wanted}", where=where, fix=f"give {wanted}")
    return format


def refuse_others(
    found: SignalFormat, role: str, wanted: SignalFormat, whose: str, where: str, how: str = "is for"
) -> None:
    """Raises UserError unless both are the same: a model for other signals would run, and give nonsense. role: what has the
    format `found`, lying at `where`; whose: what has the one that is `wanted`. how: models are for clips, shards are of
    them."""
    if found != wanted:
        raise UserError(
            f"{role} {how} {found}, not {wanted} as the {whose}",
            where=where,
            fix=f"give another, or {'clips' if isinstance(found, ClipFormat) else 'pictures'} of an ingest with {found.keys}",
        )
