"""`invertone invert`: one recording → latent, reconstruction and scores, without Ray, by what the bulk jobs run."""

from __future__ import annotations

import io
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from invertone.audio.clip import CLIP_SAMPLES, SAMPLE_RATE, Samples, decode, encode, fit, peak, to_float
from invertone.audio.recording import BadAudioError, Recording, read_recording
from invertone.audio.windows import loudest, starts
from invertone.cluster.config.loading import load_with, schema_of
from invertone.cluster.errors import UserError
from invertone.cluster.formats.latents import OK
from invertone.cluster.formats.shards import Clip, ClipInfo
from invertone.cluster.progress import Progress
from invertone.cluster.storage.folder import Folder
from invertone.infer.config import CATALOGUE, InferConfig
from invertone.infer.files.config import InvertConfig
from invertone.infer.job import check_models
from invertone.infer.stage import Row, open_inverter
from invertone.models.generator import Generator, generator_levels
from invertone.models.networks.resnet import ResNet18
from invertone.models.prior import seeded
from invertone.models.scores import score

SCORES = ("feature_distance", "ssim", "spectrogram_mae", "waveform_mse")
FORMATS = ("wav", "flac")
DRAWN = 16
"""Random latents at least whose mean score is what guessing gives."""
AT_A_TIME = 64


@dataclass(frozen=True)
class Inverted:
    """rows: one per stretch of the recording, as bulk inference writes them. heard: what the classifier hears in the
    recording. floors: mean scores of silence and of random latents on the same stretches."""

    recording: Recording
    rows: Sequence[Row]
    heard: Sequence[str | None]
    floors: Mapping[str, Mapping[str, float]]
    seconds: float


def run(config: InvertConfig) -> list[str]:
    """Inverts, writes the three files and returns what is to be said. Raises UserError, before anything is written, for
    what is no recording and for models that do not belong together."""
    target = _target(config)
    inferring = _inferring(config)
    check_models(inferring)
    recording = _read(config.file)
    inverted = invert(config, inferring, recording)
    for row in inverted.rows:
        if row["status"] != OK:
            raise UserError(f"cannot be inverted: {row['error']}", where=config.file, fix="try another method")
    _write(target, config, inverted)
    return _said(target, config, inverted)


def invert(config: InvertConfig, inferring: InferConfig, recording: Recording) -> Inverted:
    """The rows of the recording's stretches, by the networks that `inferring` names."""
    since = time.monotonic()
    worker, generator = open_inverter(inferring, config.threads or torch.get_num_threads())
    places = _places(recording.samples, config.stretch)
    stretches = [recording.samples[at : at + CLIP_SAMPLES] for at in places]
    if generator_levels(config.generator) == "peak":
        stretches = [peak(each) for each in stretches]
    clips = [
        Clip(_info(config, recording, at, len(each)), encode(fit(each), "wav"), "wav")
        for at, each in zip(places, stretches, strict=True)
    ]
    rows = list[Row]()
    with Progress(f"invert {config.method}", len(clips), "stretches", least=inferring.batch + 1) as progress:
        for first in range(0, len(clips), inferring.batch):
            rows += worker.rows(clips[first : first + inferring.batch])
            progress.update(len(rows))
    wanted = torch.from_numpy(to_float(np.stack([fit(each) for each in stretches]))).to(worker.device)
    heard = _heard(wanted, worker.classifier, worker.label_names)
    floors = _floors(wanted, generator, worker.classifier, config.seed)
    return Inverted(recording, rows, heard, floors, time.monotonic() - since)


def _inferring(config: InvertConfig) -> InferConfig:
    """The named config of infer, with the models given here."""
    values: dict[str, Any] = {"shards": "-", "out": "-", "generator": config.generator, "seed": config.seed}
    values |= {"classifier": config.classifier, "reconstruction_format": "wav", "device": config.device}
    known = schema_of(CATALOGUE, config.method).__dataclass_fields__  # type: ignore[attr-defined]
    if "mapper" in known:
        values["mapper"] = config.mapper
    if config.evaluations is not None:
        if "evaluations" not in known:
            raise UserError(f"method={config.method} has no evaluations", fix="leave evaluations out, or use hybrid")
        values["evaluations"] = config.evaluations
    loaded = load_with(CATALOGUE, config.method, values)
    assert isinstance(loaded, InferConfig)
    return loaded


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


def _read(file: str) -> Recording:
    folder, _, name = file.rpartition("/")
    try:
        return read_recording(io.BytesIO(Folder(folder).read_bytes(name)))
    except BadAudioError as error:
        raise UserError(str(error), where=file, fix="give a recording, such as a WAV file") from None
    except FileNotFoundError:
        raise UserError("no such file", where=file, fix="check the path") from None
    except IsADirectoryError:
        raise UserError("is a folder", where=file, fix="`invertone ingest folder` and `infer` are for many") from None


def _places(samples: Samples, stretch: str) -> list[int]:
    if stretch == "loudest":
        return [loudest(samples)]
    return starts(len(samples), stretch, CLIP_SAMPLES, 0, "")


def _info(config: InvertConfig, recording: Recording, start: int, length: int) -> ClipInfo:
    return ClipInfo(
        key=f"{Path(config.file).name}@{start}",
        split="test",
        source_uri=config.file,
        start=start,
        length=length,
        source_sample_rate=recording.source_sample_rate,
    )


@torch.no_grad()
def _heard(wanted: torch.Tensor, classifier: ResNet18 | None, labels: Sequence[str]) -> list[str | None]:
    if classifier is None:
        return [None] * len(wanted)
    return [labels[each] for part in wanted.split(AT_A_TIME) for each in classifier(part).argmax(1).tolist()]


@torch.no_grad()
def _floors(
    wanted: torch.Tensor, generator: Generator, classifier: ResNet18 | None, seed: int
) -> dict[str, dict[str, float]]:
    """What silence and random latents score: a reconstruction that is not far better says nothing. Every stretch is compared
    once, and few of them with several random latents each."""
    targets = wanted.repeat(math.ceil(DRAWN / len(wanted)), 1)
    drawn = generator.prior.sample(len(targets), generator.latent_size, seeded(seed, "floor")).to(wanted)
    pairs = list(zip(targets.split(AT_A_TIME), drawn.split(AT_A_TIME), strict=True))
    scored = {
        "silence": [score(part, torch.zeros_like(part), classifier) for part in wanted.split(AT_A_TIME)],
        "random latents": [score(part, generator(latents), classifier) for part, latents in pairs],
    }
    return {
        name: {
            each: float(torch.cat([getattr(one, each) for one in parts]).mean())
            for each in SCORES
            if getattr(parts[0], each) is not None
        }
        for name, parts in scored.items()
    }


def _write(target: Path, config: InvertConfig, inverted: Inverted) -> None:
    """Reconstruction, latents and scores; each file whole or not there."""
    folder = Folder.at(str(target.parent))
    latents = np.stack([np.asarray(row["latent"], np.float32) for row in inverted.rows])
    array = io.BytesIO()
    np.save(array, latents)
    whole = np.concatenate([decode(row["reconstruction"]["bytes"])[: row["length"]] for row in inverted.rows])
    kind = target.suffix.lstrip(".").lower()
    folder.publish_bytes(f"{target.stem}.npy", array.getvalue())
    folder.publish_bytes(f"{target.stem}.json", json.dumps(_json(config, inverted), indent=1).encode())
    folder.publish_bytes(target.name, encode(whole, kind))


def _json(config: InvertConfig, inverted: Inverted) -> dict[str, Any]:
    wanted = ("start", "length", "predicted_label_name", *SCORES, "loss", "steps", "evaluations", "stopped")
    return {
        "file": config.file,
        "method": config.method,
        "models": {role: getattr(config, role) for role in ("generator", "mapper", "classifier")},
        "sample_rate": SAMPLE_RATE,
        "floors": inverted.floors,
        "clips": [
            {name: row[name] for name in wanted} | {"heard": heard, "latent": [float(each) for each in row["latent"]]}
            for row, heard in zip(inverted.rows, inverted.heard, strict=True)
        ],
    }


def _said(target: Path, config: InvertConfig, inverted: Inverted) -> list[str]:
    recording, rows = inverted.recording, inverted.rows
    seconds = len(recording.samples) / SAMPLE_RATE
    taken = (
        f"{len(rows)} stretches"
        if len(rows) > 1
        else f"the {CLIP_SAMPLES / SAMPLE_RATE} s at {rows[0]['start'] / SAMPLE_RATE:.2f} s"
    )
    if len(rows) == 1 and seconds <= CLIP_SAMPLES / SAMPLE_RATE:
        taken = "whole"
    lines = [f"{config.file}: {seconds:.2f} s at {recording.source_sample_rate:,} Hz, {taken}"]
    lines += [f"  note: {each.what} ({each.amount:g})" for each in recording.concerns]
    if config.classifier:
        pairs = list(zip(inverted.heard, (row["predicted_label_name"] for row in rows), strict=True))
        if len(rows) == 1:
            lines.append(f"  heard as {pairs[0][1]}; the recording itself as {pairs[0][0]}")
        else:
            same = sum(one == other for one, other in pairs)
            lines.append(f"  {same} of {len(rows)} stretches are heard as the recording itself is")
    lines.append(f"  {'':18}{config.method:>14}{'silence':>14}{'random latents':>16}")
    for name in SCORES:
        if rows[0][name] is None:
            continue
        mean = float(np.mean([row[name] for row in rows]))
        floors = inverted.floors
        lines.append(
            f"  {name.replace('_', ' '):18}{mean:14.4g}{floors['silence'][name]:14.4g}{floors['random latents'][name]:16.4g}"
        )
    stem = target.with_suffix("")
    lines.append(
        f"{target}: the reconstruction; {stem.name}.npy: {len(rows)} x {len(rows[0]['latent'])} latents; "
        f"{stem.name}.json: both in figures ({inverted.seconds:.1f} s)"
    )
    lines.append(f"  back again, edited or not: invertone decode {stem.name}.npy out=again.wav{_given(config)}")
    return lines


def _given(config: InvertConfig) -> str:
    return "" if config.generator == InvertConfig.generator else f" generator={config.generator}"
