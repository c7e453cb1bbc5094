"""Made sounds, seeded: tones, noise and something shaped like speech; and WAV files of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

Wave = npt.NDArray[np.float64]


def tone(seconds: float = 0.5, frequency: float = 440.0, level: float = 0.5, rate: int = 16_000) -> Wave:
    return level * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def noise(seconds: float = 0.5, level: float = 0.1, seed: int = 0, rate: int = 16_000) -> Wave:
    return level * np.random.default_rng(seed).standard_normal(round(seconds * rate)).clip(-4, 4)


def speechlike(seconds: float = 0.5, seed: int = 0, rate: int = 16_000) -> Wave:
    """Harmonics of a gliding voice under syllables, with a little breath: no two seeds are alike."""
    draw = np.random.default_rng(seed)
    at = np.arange(round(seconds * rate)) / rate
    pitch = draw.uniform(90, 240) * (1 + 0.1 * np.sin(2 * np.pi * draw.uniform(1, 3) * at + draw.uniform(0, 6)))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    voiced = sum(draw.uniform(0.2, 1) / n * np.sin(n * phase) for n in range(1, 13))
    syllables = np.sin(np.pi * draw.uniform(2, 5) * at + draw.uniform(0, 3)) ** 2
    sound = syllables * voiced + 0.01 * draw.standard_normal(len(at))
    return 0.6 * sound / np.abs(sound).max()


def write_sound(path: Path, wave: Wave, rate: int = 16_000, **options: str) -> Path:
    """Writes a file in the format that its name says (16-bit WAV unless `options` say else) and gives its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".wav":
        options.setdefault("subtype", "PCM_16")
    soundfile.write(path, wave, rate, **options)
    return path
