"""`invertone invert`: one recording → latent, reconstruction and scores, without Ray, by what the bulk jobs run."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from invertone.audio.clip import decode, encode
from invertone.audio.recording.recording import Recording
from invertone.cluster.errors import UserError
from invertone.cluster.formats.latents import GENERATOR_LABEL_NAME
from invertone.cluster.formats.signals import ClipFormat
from invertone.cluster.storage.folder import Folder
from invertone.infer.files.config import InvertConfig
from invertone.infer.files.inverter import SCORES, Inversion, Inverter, recording_of

FORMATS = ("wav", "flac")


@dataclass(frozen=True)
class _Inverted:
    """A recording, what came of its stretches, mean scores of silence and of random latents on them, and how long it took."""

    recording: Recording
    clips: ClipFormat
    inversions: Sequence[Inversion]
    floors: Mapping[str, Mapping[str, float]]
    seconds: float


def run(config: InvertConfig) -> list[str]:
    """Inverts, writes the three files and returns what is to be said. Raises UserError, before anything is written, for
    what is no recording and for models that do not belong together."""
    target = _target(config)
    since = time.monotonic()
    inverter = _inverter(config)
    recording = recording_of(config.file, inverter.format)
    clips = inverter.clips(Path(config.file).name, recording, config.stretch)
    inversions = inverter.inversions(clips, f"invert {config.method}")
    floors = inverter.floors(inversions)
    inverted = _Inverted(recording, inverter.format, inversions, floors, time.monotonic() - since)
    _write(target, config, inverted)
    return _said(target, config, inverted)


def _inverter(config: InvertConfig) -> Inverter:
    settings = {} if config.evaluations is None else {"evaluations": config.evaluations}
    return Inverter(
        config.method,
        generator=config.generator,
        mapper=config.mapper,
        classifier=config.classifier,
        device=config.device,
        threads=config.threads,
        seed=config.seed,
        **settings,
    )


def _target(config: InvertConfig) -> Path:
    """The file of the reconstruction."""
    if not config.out:
        return Path.cwd() / f"{Path(config.file).stem}-inverted.wav"
    target = Path(config.out)
    if target.suffix.lstrip(".").lower() not in FORMATS:
        raise UserError(f"out has no ending of {', '.join(FORMATS)}", where=config.out, fix="name it NAME.wav")
    if not target.parent.is_dir():
        raise UserError("the folder of out is not there", where=str(target.parent), fix="make it, or give another out")
    if target == Path(config.file):
        raise UserError("out is the recording itself", where=config.out, fix="give another out")
    return target


def _write(target: Path, config: InvertConfig, inverted: _Inverted) -> None:
    """Reconstruction, latents and scores; each file whole or not there."""
    folder = Folder.at(str(target.parent))
    array = io.BytesIO()
    np.save(array, np.stack([each.latent for each in inverted.inversions]))
    parts = [decode(each.row["reconstruction"]["bytes"])[: each.length] for each in inverted.inversions]
    kind = target.suffix.lstrip(".").lower()
    folder.publish_bytes(f"{target.stem}.npy", array.getvalue())
    folder.publish_bytes(f"{target.stem}.json", json.dumps(_json(config, inverted), indent=1).encode())
    folder.publish_bytes(target.name, encode(np.concatenate(parts), kind, inverted.clips.sample_rate))


def _json(config: InvertConfig, inverted: _Inverted) -> dict[str, Any]:
    wanted = (
        *("start", "length", "predicted_label_name", GENERATOR_LABEL_NAME, *SCORES),
        *("loss", "steps", "evaluations", "stopped"),
    )
    return {
        "file": config.file,
        "method": config.method,
        "models": {role: getattr(config, role) for role in ("generator", "mapper", "classifier")},
        "sample_rate": inverted.clips.sample_rate,
        "floors": inverted.floors,
        "clips": [
            {name: each.row[name] for name in wanted if name in each.row}
            | {"heard": each.heard, "latent": each.latent.tolist()}
            for each in inverted.inversions
        ],
    }


def _said(target: Path, config: InvertConfig, inverted: _Inverted) -> list[str]:
    recording, inversions, clips = inverted.recording, inverted.inversions, inverted.clips
    seconds, first = len(recording.samples) / clips.sample_rate, inversions[0]
    taken = f"the {clips.seconds:.4g} s at {first.start / clips.sample_rate:.2f} s"
    if len(inversions) > 1:
        taken = f"{len(inversions)} stretches"
    elif seconds <= clips.seconds:
        taken = "whole"
    lines = [f"{config.file}: {seconds:.2f} s at {recording.source_sample_rate:,} Hz, {taken}"]
    lines += [f"  note: {each.what} ({each.amount:g})" for each in recording.concerns]
    if config.classifier:
        if len(inversions) == 1:
            lines.append(f"  heard as {first.heard_again}; the recording itself as {first.heard}")
        else:
            same = sum(each.heard == each.heard_again for each in inversions)
            lines.append(f"  {same} of {len(inversions)} stretches are heard as the recording itself is")
    lines.append(f"  {'':18}{config.method:>14}{'silence':>14}{'random latents':>16}")
    for name in SCORES:
        if name not in first.scores:
            continue
        mean = float(np.mean([each.scores[name] for each in inversions]))
        floors = inverted.floors
        lines.append(
            f"  {name.replace('_', ' '):18}{mean:14.4g}{floors['silence'][name]:14.4g}{floors['random latents'][name]:16.4g}"
        )
    stem = target.with_suffix("")
    lines.append(
        f"{target}: the reconstruction; {stem.name}.npy: {len(inversions)} x {len(first.latent)} latents; "
        f"{stem.name}.json: both in figures ({inverted.seconds:.1f} s)"
    )
    # of a generator that takes labels the .json holds these too
    source = f"{stem.name}.json" if GENERATOR_LABEL_NAME in first.row else f"{stem.name}.npy"
    lines.append(f"  back again, edited or not: invertone decode {source} out=again.wav{_given(config)}")
    return lines


def _given(config: InvertConfig) -> str:
    return "" if config.generator == InvertConfig.generator else f" generator={config.generator}"
