"""Invented speakers who say the ten digits: any number of clips, each a function of the seed and its number alone."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soxr

from invertone.audio.clip import FULL_SCALE, Samples, to_int16
from invertone.cluster.formats.signals import USUAL
from invertone.ingest.obtain.espeak import Espeak

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
CLIP_SAMPLES = USUAL.sample_rate
"""A clip of Speech Commands lasts one second."""

ACCENTS = ("en", "en-us", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-029")
# Of espeak-ng's 104 variants of a voice, those that sound like a person and say every digit so that it is told apart.
# Left out are robots and echoes, whispers, and the variants with `klatt 6`, whose noise comes from an unseeded rand().
FEMALE = (
    "Andrea", "Annie", "anika", "aunty", "belinda", "f1", "f2", "f3", "f4", "f5", "grandma", "linda", "steph", "steph2",
)  # fmt: skip
MALE = (
    "Alex", "Andy", "Denis", "Gene", "Lee", "Michael", "Mike", "Nguyen", "boris", "ed", "grandpa", "gustave", "iven3",
    "john", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "marcelo", "max", "norbert", "paul", "quincy", "robert",
    "sandro", "travis", "victor",
)  # fmt: skip
TIMBRES = {
    "all": (FEMALE, MALE),
    "training": tuple(tuple(v for i, v in enumerate(group) if i % 4) for group in (FEMALE, MALE)),
    "held_out": (FEMALE[::4], MALE[::4]),
}
"""Variants by the name of their group, women's and men's: what is trained on three quarters can be judged on the rest."""


@dataclass(frozen=True)
class Speaker:
    """One invented speaker. Pitch and range are espeak's 0–99, rate words per minute, levels dB below full scale.

    `rate_hz` is the sample rate that espeak's 22,050 Hz sound is taken for: above it the vocal tract is shorter, the
    formants lie higher. `noise_db` is the room's noise (RMS), minus infinity for none; `noise_colour` 0 is white.
    """

    name: str
    voice: str
    pitch: int
    pitch_range: int
    rate: int
    rate_hz: int
    level_db: float
    noise_db: float
    noise_colour: float


def split_of(speaker: str, validation: float = 10.0, testing: float = 10.0) -> str:
    """`validation`, `testing` or `training`, by the hash of the speaker's name; shares in percent.

    The published rule of Speech Commands (Warden 2018; `which_set` in its README): SHA-1 of the name, modulo 2^27, as a
    percentage of 2^27 − 1, the largest number of clips a word may have. A speaker never changes the split.
    """
    largest = 2**27 - 1
    hashed = int(hashlib.sha1(speaker.encode(), usedforsecurity=False).hexdigest(), 16)
    percent = hashed % (largest + 1) * 100.0 / largest
    if percent < validation:
        return "validation"
    return "testing" if percent < validation + testing else "training"


def draw_speakers(count: int, seed: int, timbres: str = "all") -> list[Speaker]:
    """`count` speakers; about a tenth of them each in validation and testing, and at least one each from three on.

    timbres: the group of `TIMBRES` that they are drawn from.

    A name decides its split by hash, so names are drawn until each split has its share.
    """
    share = max(1, round(count / 10)) if count >= 3 else 0
    room = {"validation": share, "testing": share, "training": count - 2 * share}
    rng = np.random.default_rng([seed, 0])
    speakers: dict[str, Speaker] = {}
    while len(speakers) < count:
        name = f"{int(rng.integers(2**32)):08x}"
        split = split_of(name)
        if name in speakers or not room[split]:
            continue
        room[split] -= 1
        speakers[name] = _draw_speaker(name, rng, *TIMBRES[timbres])
    return list(speakers.values())


def _draw_speaker(name: str, rng: np.random.Generator, female: Sequence[str], male: Sequence[str]) -> Speaker:
    variants = female if rng.random() < 0.5 else male
    level_db = float(rng.uniform(-16, -3))
    return Speaker(
        name=name,
        voice=f"{ACCENTS[rng.integers(len(ACCENTS))]}+{variants[int(rng.integers(len(variants)))]}",
        pitch=int(rng.integers(30, 71)),
        pitch_range=int(rng.integers(20, 81)),
        rate=int(rng.integers(140, 201)),
        # Multiples of 250 Hz: soxr is five times slower where the ratio to 16 kHz has no small terms.
        rate_hz=int(rng.integers(82, 95)) * 250,
        level_db=level_db,
        noise_db=level_db - float(rng.uniform(36, 64)) if rng.random() < 0.7 else -math.inf,
        noise_colour=float(rng.uniform(0, 0.95)),
    )


@dataclass(frozen=True)
class Take:
    """One clip to be made: the speaker says a digit for the `number`-th time."""

    index: int
    speaker: Speaker
    word: str
    number: int

    @property
    def file(self) -> str:
        return f"{self.word}/{self.speaker.name}_nohash_{self.number}.wav"


def take(index: int, speakers: list[Speaker]) -> Take:
    """The `index`-th clip. Digits stay balanced to ±1 at any count, speakers too, and no pair comes twice in a round.

    Index modulo 10 and modulo the speakers' number walk through the pairs; the shift after each common multiple
    reaches those that the two cycles alone would never meet.
    """
    voices = len(speakers)
    who = (index + index // math.lcm(10, voices)) % voices
    return Take(index, speakers[who], WORDS[index % 10], index // (10 * voices))


@dataclass(frozen=True)
class Manner:
    """How one utterance differs from the speaker's others: espeak's pitch and rate, gain in dB, place 0–1."""

    pitch: int
    rate: int
    gain_db: float
    place: float

    @staticmethod
    def draw(speaker: Speaker, rng: np.random.Generator) -> Manner:
        return Manner(
            pitch=speaker.pitch + int(rng.integers(-5, 6)),
            rate=speaker.rate + int(rng.integers(-10, 11)),
            gain_db=float(rng.normal(0, 1)),
            place=float(rng.triangular(0, 0.5, 1)),
        )


def make_clip(espeak: Espeak, made: Take, seed: int) -> Samples:
    """int16 [16,000]: the utterance at its place in a second, its peak at the speaker's level, and the room's noise.

    Depends on `seed` and `made` only, whichever clips were made before it.
    """
    speaker, rng = made.speaker, np.random.default_rng([seed, 1, made.index])
    manner = Manner.draw(speaker, rng)
    spoken = espeak.say(made.word, speaker.voice, manner.pitch, speaker.pitch_range, manner.rate, seed=made.index)
    heard = _trim(soxr.resample(spoken.astype(np.float32) / np.float32(FULL_SCALE), speaker.rate_hz, USUAL.sample_rate))
    peak_db = min(speaker.level_db + manner.gain_db, -1.0)
    heard *= 10 ** (peak_db / 20) / float(np.abs(heard).max())
    start = round(manner.place * (CLIP_SAMPLES - len(heard)))
    clip = _noise(speaker, rng)
    clip[start : start + len(heard)] += heard
    return to_int16(clip)[0]


def _trim(heard: npt.NDArray[np.float32], floor: float = 0.005, fade: int = 80) -> npt.NDArray[np.float32]:
    """From the first to the last sample above `floor` of the peak, at most a second, faded in and out over 5 ms."""
    loud = np.flatnonzero(np.abs(heard) > floor * np.abs(heard).max())
    kept = heard[loud[0] : loud[-1] + 1][:CLIP_SAMPLES].copy()
    ramp = np.linspace(0, 1, fade, dtype=np.float32)
    kept[:fade] *= ramp
    kept[-fade:] *= ramp[::-1]
    return kept


def _noise(speaker: Speaker, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    if speaker.noise_db == -math.inf:
        return np.zeros(CLIP_SAMPLES, np.float32)
    white = rng.standard_normal(CLIP_SAMPLES + 1, dtype=np.float32)
    noise = white[1:] + np.float32(speaker.noise_colour) * white[:-1]
    return noise * np.float32(10 ** (speaker.noise_db / 20) / math.hypot(1, speaker.noise_colour))
