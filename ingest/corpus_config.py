"""Keys of `invertone corpus`: where audio comes from when one has none."""

from __future__ import annotations

from dataclasses import dataclass

from cluster.config import REQUIRED, Catalogue, key


@dataclass(frozen=True)
class DigitsConfig:
    """Spoken digits from espeak-ng, in the layout of Speech Commands."""

    task: str = key("digits", "which corpus task this is")
    out: str = key(REQUIRED, "folder to write", path=True)
    clips: int = key(2_000, "how many clips", minimum=1)
    voices: int = key(40, "how many speakers (voice, pitch, speed and accent variants)", minimum=1)
    seed: int = key(0, "same seed, same clips")


@dataclass(frozen=True)
class FetchConfig:
    """A public archive, downloaded resumably and verified."""

    task: str = key("fetch", "which corpus task this is")
    corpus: str = key(REQUIRED, "which archive", choices=("sc09", "speech_commands", "librispeech", "nsynth"))
    out: str = key(REQUIRED, "folder for the archive files", path=True)
    parts: list[str] = key(
        [],
        "only these parts, for example [test-clean] of librispeech or [valid] of nsynth; empty means the corpus's default",
    )
    mirror: str = key("", "address of a folder that holds the same files, instead of the publisher's")


CATALOGUE = Catalogue(
    stage="corpus", selector="task", schemas={"digits": DigitsConfig, "fetch": FetchConfig}, positional="corpus"
)
