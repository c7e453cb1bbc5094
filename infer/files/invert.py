"""`invertone invert`: one recording or picture → latent, reconstruction and scores, without Ray, by what the bulk jobs run."""

from __future__ import annotations

import dataclasses
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
from invertone.cluster.formats.signals import ClipFormat, PictureFormat, SignalFormat
from invertone.cluster.storage.folder import Folder
from invertone.images.picture import Box, centre
from invertone.images.reading import Picture
from invertone.infer.files.config import InvertConfig
from invertone.infer.files.inverter import SCORES, Inversion, Inverter, recording_of
from invertone.infer.files.pictures import SCORES as OF_PICTURES
from invertone.infer.files.pictures import fitted, picture_of, refuse_of_clips
from invertone.models.generator import generator_format
from invertone.models.signals import signal_of


@dataclass(frozen=True)
class _Inverted:
    """A recording or picture, what came of it or of its stretches, mean scores of a blank and of random latents on them, and
    how long it took."""

    source: Recording | Picture
    format: SignalFormat
    inversions: Sequence[Inversion]
    floors: Mapping[str, Mapping[str, float]]
    seconds: float


def run(config: InvertConfig) -> list[str]:
    """Inverts, writes the three files and returns what is to be said. Raises UserError, before anything is written, for
    what is neither recording nor picture and for models that do not belong together."""
    target = _target(config, sorted(signal_of(generator_format(config.generator)).formats, reverse=True))
    since = time.monotonic()
    inverter = _inverter(config)
    format, name = inverter.format, Path(config.file).name
    source: Recording | Picture
    if isinstance(format, PictureFormat):
        refuse_of_clips({"stretch": None if config.stretch == InvertConfig.stretch else config.stretch})
        source = picture_of(config.file)
        clips = [fitted(name, source, format)]
    else:
        source = recording_of(config.file, format)
        clips = inverter.clips(name, source, config.stretch)
    inversions = inverter.inversions(clips, f"invert {config.method}")
    floors = inverter.floors(inversions)
    inverted = _Inverted(source, format, inversions, floors, time.monotonic() - since)
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


def _target(config: InvertConfig, formats: Sequence[str]) -> Path:
    """The file of the reconstruction, which has one of these formats."""
    usual = "wav" if "wav" in formats else formats[0]
    if not config.out:
        return Path.cwd() / f"{Path(config.file).stem}-inverted.{usual}"
    target = Path(config.out)
    if target.suffix.lstrip(".").lower() not in formats:
        raise UserError(f"out has no ending of {', '.join(formats)}", where=config.out, fix=f"name it NAME.{usual}")
    if not target.parent.is_dir():
        raise UserError("the folder of out is not there", where=str(target.parent), fix="make it, or give another out")
    if target == Path(config.file):
        raise UserError(
            f"out is the {'picture' if 'png' in formats else 'recording'} itself",
            where=config.out,
            fix="give another out",
        )
    return target


def _write(target: Path, config: InvertConfig, inverted: _Inverted) -> None:
    """Reconstruction, latents and scores; each file whole or not there."""
    folder = Folder.at(str(target.parent))
    array = io.BytesIO()
    np.save(array, np.stack([each.latent for each in inverted.inversions]))
    folder.publish_bytes(f"{target.stem}.npy", array.getvalue())
    folder.publish_bytes(f"{target.stem}.json", json.dumps(_json(config, inverted), indent=1).encode())
    folder.publish_bytes(target.name, _reconstruction(target.suffix.lstrip(".").lower(), inverted))


def _reconstruction(kind: str, inverted: _Inverted) -> bytes:
    """A file of this format; of a recording's stretches one after the other."""
    files = [each.row["reconstruction"]["bytes"] for each in inverted.inversions]
    if isinstance(inverted.format, PictureFormat):
        (file,) = files
        return bytes(file)
    parts = [decode(file)[: each.length] for file, each in zip(files, inverted.inversions, strict=True)]
    return encode(np.concatenate(parts), kind, inverted.format.sample_rate)


def _json(config: InvertConfig, inverted: _Inverted) -> dict[str, Any]:
    wanted = (
        *("start", "length", "predicted_label_name", GENERATOR_LABEL_NAME, *_scores(inverted.format)),
        *("loss", "steps", "evaluations", "stopped"),
    )
    return {
        "file": config.file,
        "method": config.method,
        "models": {role: getattr(config, role) for role in ("generator", "mapper", "classifier")},
        **_measures(inverted),
        "floors": inverted.floors,
        "clips": [
            {name: each.row[name] for name in wanted if name in each.row}
            | {"heard": each.heard, "latent": each.latent.tolist()}
            for each in inverted.inversions
        ],
    }


def _scores(format: SignalFormat) -> Sequence[str]:
    return OF_PICTURES if isinstance(format, PictureFormat) else SCORES


def _measures(inverted: _Inverted) -> dict[str, Any]:
    """What the figures are of: the rate of clips, or how large pictures are and what was cut out of the file."""
    if isinstance(inverted.format, ClipFormat):
        return {"sample_rate": inverted.format.sample_rate}
    box = _box(inverted)
    return {"height": inverted.format.height, "width": inverted.format.width, "box": dataclasses.astuple(box)}


def _box(inverted: _Inverted) -> Box:
    assert isinstance(inverted.source, Picture) and isinstance(inverted.format, PictureFormat), "of pictures"
    return centre(inverted.source.pixels, inverted.format.height, inverted.format.width)


def _taken(inverted: _Inverted) -> str:
    """What of the file was inverted."""
    source, format, inversions = inverted.source, inverted.format, inverted.inversions
    if isinstance(source, Picture):
        box, (height, width, _) = _box(inverted), source.pixels.shape
        part = "whole" if (box.height, box.width) == (height, width) else f"its middle of {box.height} × {box.width}"
        return f"{source.form} of {height} × {width} pixels, {part}, as {format}"
    assert isinstance(format, ClipFormat), "of recordings"
    seconds = len(source.samples) / format.sample_rate
    taken = f"the {format.seconds:.4g} s at {inversions[0].start / format.sample_rate:.2f} s"
    if len(inversions) > 1:
        taken = f"{len(inversions)} stretches"
    elif seconds <= format.seconds:
        taken = "whole"
    return f"{seconds:.2f} s at {source.source_sample_rate:,} Hz, {taken}"


def _said(target: Path, config: InvertConfig, inverted: _Inverted) -> list[str]:
    inversions, first, floors = inverted.inversions, inverted.inversions[0], inverted.floors
    blank, drawn = floors
    pictures = isinstance(inverted.format, PictureFormat)
    lines = [f"{config.file}: {_taken(inverted)}"]
    lines += [f"  note: {each.what} ({each.amount:g})" for each in inverted.source.concerns]
    if first.heard is not None:
        if len(inversions) == 1:
            how, what = ("seen", "picture") if pictures else ("heard", "recording")
            lines.append(f"  {how} as {first.heard_again}; the {what} itself as {first.heard}")
        else:
            same = sum(each.heard == each.heard_again for each in inversions)
            lines.append(f"  {same} of {len(inversions)} stretches are heard as the recording itself is")
    lines.append(f"  {'':18}{config.method:>14}{blank:>14}{drawn:>16}")
    for name in _scores(inverted.format):
        if name not in first.scores:
            continue
        mean = float(np.mean([each.scores[name] for each in inversions]))
        lines.append(f"  {name.replace('_', ' '):18}{mean:14.4g}{floors[blank][name]:14.4g}{floors[drawn][name]:16.4g}")
    stem = target.with_suffix("")
    lines.append(
        f"{target}: the reconstruction; {stem.name}.npy: {len(inversions)} x {len(first.latent)} latents; "
        f"{stem.name}.json: both in figures ({inverted.seconds:.1f} s)"
    )
    # of a generator that takes labels the .json holds these too
    source = f"{stem.name}.json" if GENERATOR_LABEL_NAME in first.row else f"{stem.name}.npy"
    lines.append(
        f"  back again, edited or not: invertone decode {source} out=again.{'png' if pictures else 'wav'}{_given(config)}"
    )
    return lines


def _given(config: InvertConfig) -> str:
    return "" if config.generator == InvertConfig.generator else f" generator={config.generator}"
