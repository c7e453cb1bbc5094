"""What a recording is, and what may be said of one."""

from __future__ import annotations

from dataclasses import dataclass

from invertone.audio.clip import Samples

LOWEST_RATE, HIGHEST_RATE = 1_000, 768_000

EXTENSIONS = {
    "wav": "WAV",
    "flac": "FLAC",
    "ogg": "OGG",
    "oga": "OGG",
    "opus": "OGG",
    "mp3": "MP3",
    "aiff": "AIFF",
    "aif": "AIFF",
    "aifc": "AIFF",
    "au": "AU",
    "snd": "AU",
    "sph": "NIST",
    "nist": "NIST",
    "wave": "WAV",
    "bwf": "WAV",
    "rf64": "WAV",
    "caf": "CAF",
    "w64": "W64",
    "m4a": "M4A",
    "m4b": "M4A",
    "aac": "AAC",
}
"""File-name extensions that promise audio, and the container each usually is."""


class BadAudioError(Exception):
    """The input is not a usable recording. The message is the reason, for the rejects table."""


@dataclass(frozen=True)
class Concern:
    """What should be known of a recording that is taken nevertheless: `what`, and how much of it."""

    what: str
    amount: float


@dataclass(frozen=True)
class Recording:
    """samples: int16 [n], of two channels [n, 2], at the rate that was asked for; clipped: samples past full scale; concerns:
    what was done to it."""

    samples: Samples
    source_sample_rate: int
    clipped: int
    concerns: tuple[Concern, ...] = ()


def extension(name: str) -> str:
    _, dot, ending = name.rpartition(".")
    return ending.lower() if dot and "/" not in ending else ""
