"""Phase recovery: our PGHI against Griffin-Lim and against another implementation of PGHI, from the same magnitudes.

Speed is clips per second of processor time on one thread (other programs' load does not count), compilation apart. Quality
is spectral convergence in dB, 20 log10(‖S‖ / ‖S − |STFT(x)|‖), over the full-range magnitudes of the front end, whatever
the method was given.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.inversion import labelled_clips
from invertone.audio.front_end import FrontEnd, log_magnitude, magnitude
from invertone.audio.pghi import kernels
from invertone.audio.pghi.phases import inverse_stft, invert, reconstruct
from invertone.audio.pghi.workspace import HANN_GAMMA
from invertone.cluster.formats.signals import USUAL

CLIPS, REPEATS, EXACT = 64, 3, 5e-4
FRONT_END = FrontEnd()
SIDE = Path(__file__).with_name("pghi_side.py")

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Row:
    """per_core, wall: clips per second of processor time and of time (0: not measured). decibels: one per clip."""

    name: str
    per_core: float
    wall: float
    decibels: Array

    def __str__(self) -> str:
        speed = f"{self.per_core:,.4g} | {self.wall:,.4g}" if self.wall else f"{self.per_core:,.4g} | "
        middle, low = np.median(self.decibels), np.quantile(self.decibels, 0.1)
        return f"| {self.name} | {speed} | {self.decibels.mean():.2f} | {middle:.2f} | {low:.2f} |"


def run(clips: int = CLIPS, **given: str) -> None:
    """`shards=… split=…` take real clips, else voices are made. `others=no` leaves out what needs an environment of its own;
    `place=FOLDER` keeps those environments for the next time."""
    torch.set_num_threads(1)
    waves = (
        labelled_clips(given["shards"], clips, given.get("split", "test"))[0] if "shards" in given else voices(clips)
    )
    wanted = magnitude(waves.double(), FRONT_END.n_fft, FRONT_END.hop_length).numpy()
    print(
        f"\n{len(waves)} clips of {waves.shape[1]:,} samples, {given.get('shards', 'made voices')}; one thread per row\n"
    )
    print(
        "| method | clips/s per core | clips/s, 2 threads | mean dB | median dB | 10 % below |\n|---|---|---|---|---|---|"
    )
    for row in ours(waves, wanted):
        print(row, flush=True)
    print(griffin_lim(waves, wanted), flush=True)
    notes: list[str] = []
    if given.get("others") != "no":
        with tempfile.TemporaryDirectory(prefix="invertone-bench-") as name:
            place = Path(given.get("place", name))
            rows, notes = others(place, waves, wanted)
            for row in rows:
                print(row)
    print()
    print("\n".join([compiling(), *notes]))


def ours(waves: torch.Tensor, wanted: Array) -> list[Row]:
    full, seeds = wanted.astype(np.float32), list(range(len(wanted)))
    spectrograms = log_magnitude(waves, FRONT_END).numpy()
    loudest = full[:, :-1].max((1, 2))
    rows = [
        _timed("PGHI, full-range magnitudes", lambda threads: reconstruct(full, seeds, threads=threads), wanted),
        _timed(
            "PGHI, 10-nat log-magnitudes, no Nyquist row",
            lambda threads: invert(spectrograms, seeds, loudest=loudest, threads=threads),
            wanted,
        ),
    ]
    usual = kernels.STEP
    kernels.STEP = EXACT
    exact = _timed(
        "PGHI, buckets so narrow that the order is exact",
        lambda threads: reconstruct(full, seeds, threads=threads),
        wanted,
    )
    kernels.STEP = usual
    return [*rows, exact]


def griffin_lim(waves: torch.Tensor, wanted: Array) -> Row:
    """torchaudio's, 100 iterations, momentum 0.99. It is given the frame after the last as well, so that it has every frame
    of its own framing."""
    from torchaudio.functional import griffinlim

    n_fft, hop = FRONT_END.n_fft, FRONT_END.hop_length
    given = magnitude(F.pad(waves, (0, hop)), n_fft, hop) * (n_fft / 4)
    torch.manual_seed(0)
    since = time.process_time()
    found = griffinlim(given, torch.hann_window(n_fft), n_fft, hop, n_fft, 1.0, 100, 0.99, waves.shape[1], True)
    seconds = time.process_time() - since
    return Row(
        "Griffin-Lim (torchaudio), 100 iterations",
        len(waves) / seconds,
        0.0,
        convergence(wanted, _measured(found.numpy())),
    )


def others(place: Path, waves: torch.Tensor, wanted: Array) -> tuple[list[Row], list[str]]:
    """pghipy in an environment made for it, and whether tifresi can be had."""
    python, problem = environment(place / "pghipy", "pghipy")
    _, refusal = environment(place / "tifresi", "tifresi")
    notes = [f"tifresi: {f'does not install here: {refusal}' if refusal else 'installs here, not measured'}"]
    if problem:
        return [], [f"pghipy does not install here: {problem}", *notes]
    source, target = place / "given.npz", place / "found.npz"
    np.savez(source, magnitude=wanted, waves=waves.numpy(), gamma=HANN_GAMMA * FRONT_END.n_fft**2)
    one = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    subprocess.run([str(python), str(SIDE), str(source), str(target)], check=True, env=one)
    found = np.load(target)
    hann = inverse_stft(
        wanted * (FRONT_END.n_fft / 4) * np.exp(1j * found["phase"]), FRONT_END.n_fft, FRONT_END.hop_length
    )
    speed = 1 / found["seconds"]
    rows = [
        Row("pghipy, our magnitudes", speed[0], 0.0, convergence(wanted, _measured(hann))),
        Row(
            "pghipy, magnitudes of its own Gaussian window",
            speed[1],
            0.0,
            convergence(found["own_wanted"], found["own"]),
        ),
    ]
    return rows, [f"pghipy's first call, with compilation: {float(found['first']):.1f} s", *notes]


def environment(folder: Path, package: str) -> tuple[Path, str]:
    """A fresh environment with one package: its python, and why the package did not install (empty if it did)."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    try:
        done = subprocess.run(
            [str(python), "-m", "pip", "install", "-q", package], capture_output=True, text=True, timeout=300
        )
    except subprocess.TimeoutExpired:
        return python, "not within five minutes"
    said = [line.strip() for line in done.stderr.splitlines() if "ERROR" in line]
    return python, "" if done.returncode == 0 else (said or ["pip failed"])[-1]


COMPILE = """
import time, numpy as np
since = time.monotonic()
from invertone.audio.pghi.phases import invert
loaded = time.monotonic()
invert(np.zeros((1, 256, 128), np.float32), [0])
print(loaded - since, time.monotonic() - loaded)
"""


def compiling() -> str:
    """The first call in a new process, without and with the compiler's cache."""
    with tempfile.TemporaryDirectory(prefix="invertone-bench-") as cache:

        def first() -> tuple[float, float]:
            environment = os.environ | {"NUMBA_CACHE_DIR": cache}
            done = subprocess.run(
                [sys.executable, "-c", COMPILE],
                env=environment,
                cwd=SIDE.parents[1],
                check=True,
                capture_output=True,
                text=True,
            )
            loading, calling = map(float, done.stdout.split())
            return loading, calling

        cold, cached = first(), first()
    return (
        f"The first call of a process: {cold[1]:.1f} s with compilation, {cached[1]:.2f} s from the cache; the import before "
        f"it {cached[0]:.2f} s."
    )


def convergence(wanted: Array, found: Array) -> Array:
    """Magnitudes [b, …] twice → dB [b]."""
    error = np.sqrt(np.square(found - wanted).reshape(len(wanted), -1).sum(1))
    return 20 * np.log10(np.sqrt(np.square(wanted).reshape(len(wanted), -1).sum(1)) / error)


def voices(count: int) -> torch.Tensor:
    """Made ones: harmonics of a gliding pitch under syllables, with a little breath, [b, n]."""
    draw = np.random.default_rng(0)
    at = np.arange(USUAL.samples) / USUAL.sample_rate
    clips = []
    for _ in range(count):
        pitch = draw.uniform(90, 240) * (1 + 0.1 * np.sin(2 * np.pi * draw.uniform(1, 3) * at))
        turns = np.cumsum(pitch) / USUAL.sample_rate
        voiced = sum(draw.uniform(0.2, 1) / n * np.sin(2 * np.pi * n * turns) for n in range(1, 16))
        clips.append(
            0.2 * voiced * np.sin(np.pi * draw.uniform(2, 5) * at) ** 2 + 0.003 * draw.standard_normal(at.size)
        )
    return torch.from_numpy(np.stack(clips)).float().clamp(-1, 1)


def _timed(name: str, method: Callable[[int], Array], wanted: Array) -> Row:
    """The best of a few runs, after one that does not count."""
    found, processor, wall = method(1), [], []
    for _ in range(REPEATS):
        since = time.process_time()
        method(1)
        processor.append(time.process_time() - since)
        began = time.monotonic()
        method(2)
        wall.append(time.monotonic() - began)
    clips = len(wanted)
    return Row(name, clips / min(processor), clips / min(wall), convergence(wanted, _measured(found)))


def _measured(waves: Array) -> Array:
    return magnitude(torch.from_numpy(waves).double(), FRONT_END.n_fft, FRONT_END.hop_length).numpy()
