"""Keys of `invertone corpus`: where audio and pictures come from when one has none."""

from __future__ import annotations

from dataclasses import dataclass

from invertone.cluster.config.registry import Entry, Registry
from invertone.cluster.config.schema import REQUIRED, Catalogue, key

TIMBRES = ("all", "training", "held_out")


@dataclass(frozen=True)
class DigitsConfig:
    """Spoken digits from espeak-ng, in the layout of Speech Commands."""

    task: str = key("digits", "which corpus task this is", choices=("digits",))
    out: str = key(REQUIRED, "local folder to write", path=True, neutral=True)
    clips: int = key(2_000, "how many clips of one second; 32 kB each", minimum=1)
    voices: int = key(
        40, "how many speakers (voice, accent, pitch, pace); a tenth each for validation and testing", minimum=1
    )
    seed: int = key(0, "same seed and sizes, same bytes", minimum=0)
    timbres: str = key(
        "all",
        "which of espeak-ng's voice variants speak: all of them, training (three quarters; the shipped models know no "
        "others) or held_out (the rest)",
        choices=TIMBRES,
    )


@dataclass(frozen=True)
class FacesConfig:
    """Drawn faces of invented people, each picture with the numbers that it was drawn of."""

    task: str = key("faces", "which corpus task this is", choices=("faces",))
    out: str = key(REQUIRED, "local folder to write", path=True, neutral=True)
    people: int = key(
        200, "how many people; a tenth each for validation and testing, whom the others do not know", minimum=1
    )
    pictures: int = key(20, "how many pictures of each, whose pose, expression, light and clothes differ", minimum=1)
    size: int = key(64, "pixels of their height and width", minimum=16, maximum=512)
    seed: int = key(0, "same seed and sizes, same pictures", minimum=0)
    workers: int = key(0, "processes that draw; 0 means one per CPU", minimum=0, neutral=True)


@dataclass(frozen=True)
class FetchConfig:
    """A public archive, downloaded resumably and verified."""

    task: str = key("fetch", "which corpus task this is", choices=("fetch",))
    corpus: str = key(REQUIRED, "which corpus", choices=("sc09", "speech_commands", "librispeech", "nsynth"))
    out: str = key(REQUIRED, "local folder for the archive files", path=True, neutral=True)
    parts: list[str] = key(
        [],
        "only these archives, for example [test-clean] of librispeech or [valid] of nsynth; empty means v0.01 of sc09, "
        "v0.02 of speech_commands, train-clean-100 of librispeech, all three of nsynth",
    )
    mirror: str = key(
        "", "http(s) address of a folder that holds the same files, instead of the publisher's", neutral=True
    )
    retries: int = key(5, "how often in a row a connection may fail without a byte gained", minimum=0, neutral=True)
    timeout_s: float = key(
        60.0, "seconds of silence after which a connection counts as dropped", minimum=0.1, neutral=True
    )


_HERE = "invertone.ingest.obtain"
TASKS = Registry(
    Entry("digits", f"{_HERE}.config:DigitsConfig", f"{_HERE}.digits"),
    Entry("faces", f"{_HERE}.config:FacesConfig", f"{_HERE}.made_faces"),
    Entry("fetch", f"{_HERE}.config:FetchConfig", f"{_HERE}.fetch"),
)
"""Each implementation has `plan(config)` and `run(config)`."""
CATALOGUE = Catalogue(stage="corpus", selector="task", schemas=TASKS, positional="corpus")
