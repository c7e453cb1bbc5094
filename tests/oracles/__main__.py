"""`make oracle`, or `python -m tests.oracles [VENV]`: what `invertone import` makes of TensorFlow's own checkpoints.

TensorFlow, in a venv of its own (a temporary one, or VENV, which is made where it is missing and kept), saves WaveGANs and
classifiers of inception scores with random weights and what they compute; the command imports them; the largest differences
are printed. Exit code 1 above LIMIT, for the classifiers of the largest logit.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from invertone import command_line
from invertone.models.checkpoint import load_classifier, load_network
from invertone.models.generator import load_generator

TENSORFLOW = "tensorflow-cpu==2.15.1"
"""The last series whose tf.compat.v1.layers work without another package; it needs Python 3.11 at most."""

LIMIT = 1e-5
CASES = (
    (4, 0, 16_384, 1),
    (4, 512, 16_384, 1),
    (4, 31, 16_384, 1),
    (64, 0, 16_384, 1),
    (64, 512, 16_384, 1),
    (4, 0, 16_384, 2),
    (4, 0, 32_768, 1),
    (4, 0, 32_768, 2),
    (4, 0, 65_536, 1),
    (4, 0, 65_536, 2),
    (64, 0, 32_768, 1),
)
"""Width, taps of the post filter, samples and channels of clips: the last makes two seconds at the authors' width."""
CLASSIFIERS = (2, 16, 128)
"""Widths of classifiers of inception scores."""


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="invertone-oracle-") as temporary:
        place = Path(temporary)
        python = _python(Path(sys.argv[1]) if len(sys.argv) > 1 else place / "venv")
        print(
            "width  taps  samples  channels  max |generator − TensorFlow|  max |critic − TensorFlow|   peak of waveforms, "
            "spread of scores"
        )
        good = [_compare(python, place / "-".join(map(str, case)), *case) for case in CASES]
        print("width  max |log mel − TensorFlow|  max |logits − TensorFlow|   largest logit, least spread over clips")
        good += [_compare_classifier(python, place / f"classifier-{width}", width) for width in CLASSIFIERS]
    print(f"{sum(good)} of {len(good)} within {LIMIT:g}")
    return 0 if all(good) else 1


def _python(venv: Path) -> Path:
    """The interpreter of the venv with TensorFlow, which is made if need be."""
    python = venv / "bin/python"
    if not python.exists():
        print(f"installing {TENSORFLOW} into {venv}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", TENSORFLOW], check=True)
    return python


def _compare(python: Path, folder: Path, width: int, taps: int, samples: int, channels: int) -> bool:
    sizes, said = (width, taps, samples, channels), [f"clip_samples={samples}"]
    imported = _imported(python, folder, "wavegan", "tensorflow_side.py", sizes, said)
    if imported is None:
        return False
    expected = np.load(folder / "expected.npz")
    generator, _ = load_generator(imported)
    critic, manifest = load_network(imported, "generator", "wavegan", "critic")
    made, heard = (
        torch.from_numpy(expected[name].swapaxes(1, 2).squeeze(1) if channels == 1 else expected[name].swapaxes(1, 2))
        for name in ("waveforms", "heard")
    )
    with torch.no_grad():
        waveforms = generator(torch.from_numpy(expected["latents"])).numpy()
        scores = critic(heard).numpy()
    apart = float(np.abs(waveforms - made.numpy()).max()), float(np.abs(scores - expected["scores"]).max())
    peak, spread = float(np.abs(waveforms).max()), float(scores.std())
    print(
        f"{width:5}  {taps:4}  {samples:7,}  {channels:8}  {apart[0]:27.2e}  {apart[1]:24.2e}   {peak:.3f}, {spread:.3f}",
        flush=True,
    )
    return max(apart) <= LIMIT and manifest.step == 103_005


def _compare_classifier(python: Path, folder: Path, width: int) -> bool:
    imported = _imported(python, folder, "classifier", "tensorflow_inception.py", (width,))
    if imported is None:
        return False
    expected = np.load(folder / "expected.npz")
    classifier, manifest = load_classifier(imported)
    waveforms = torch.from_numpy(expected["waveforms"])
    with torch.no_grad():
        mels = classifier.spectrogram(waveforms).numpy().swapaxes(1, 2)
        logits = classifier(waveforms).numpy()
    apart = float(np.abs(mels - expected["mels"]).max()), float(np.abs(logits - expected["logits"]).max())
    largest, spread = float(np.abs(logits).max()), float(logits.std(0).min())
    print(f"{width:5}  {apart[0]:26.2e}  {apart[1]:25.2e}   {largest:.3f}, {spread:.3f}", flush=True)
    return apart[1] <= LIMIT * largest and manifest.step == 103_005


def _imported(
    python: Path, folder: Path, model: str, side: str, sizes: Sequence[int], keys: Sequence[str] = ()
) -> str | None:
    """What the command makes of TensorFlow's checkpoint, as that side writes it into `folder`; None where either fails."""
    folder.mkdir()
    command = [str(python), str(Path(__file__).with_name(side)), str(folder), *map(str, sizes)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"})
    if done.returncode:
        print(done.stderr[-3_000:], file=sys.stderr)
        return None
    out, said = str(folder / "imported"), io.StringIO()
    with contextlib.redirect_stdout(said):
        code = command_line.main(["import", model, str(folder), f"out={out}", *keys])
    return None if code else out


if __name__ == "__main__":
    sys.exit(main())
