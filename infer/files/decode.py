"""`invertone decode`: latents, edited perhaps → sound or pictures, without Ray."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import soundfile
import torch
from jaxtyping import Int
from torch import Tensor

from invertone.cluster.errors import UserError, did_you_mean
from invertone.cluster.formats.shards import AUDIO_FORMATS, PICTURE_FORMATS
from invertone.cluster.formats.signals import ClipFormat, SignalFormat, kind_of
from invertone.cluster.progress import Progress
from invertone.cluster.storage.folder import Folder
from invertone.images import picture
from invertone.infer.files.config import DecodeConfig
from invertone.infer.files.latents import read_latents
from invertone.infer.generate.maker import Made, Maker
from invertone.infer.job import refuse_audio_format
from invertone.infer.methods.labelling import names_of
from invertone.models.generator import Generator, generator_format
from invertone.models.signals import Values, signal_of

Totals = npt.NDArray[np.int64]
"""Clips or pictures, values clipped, latents outside the prior's box."""
MOST_ON_A_SHEET = 1_024


def run(config: DecodeConfig) -> list[str]:
    """Makes a clip or picture of every latent and returns what is to be said. Raises UserError for what are no latents of this
    generator; files are whole or not there."""
    refuse_audio_format(config, "format", generator_format(config.generator))
    make = Maker.open(config.generator, None, config.device, torch.get_num_threads())
    made, format = _made(config, make), make.format
    suffix = Path(config.out).suffix.lstrip(".").lower()
    if suffix in (*AUDIO_FORMATS, *PICTURE_FORMATS):
        if suffix not in signal_of(format).formats:
            endings = " or ".join(f"NAME.{each}" for each in signal_of(format).formats)
            raise UserError(
                f"out names a {suffix.upper()} file, and the generator makes {kind_of(format)}s",
                where=config.out,
                fix=f"name it {endings}, or give a folder",
            )
        with _written(Path(config.out)) as part:
            totals = (
                _sound(part, suffix, made, format) if isinstance(format, ClipFormat) else _sheet(part, made, config)
            )
        where = config.out
    else:
        totals = _folder(config, made, format)
        where = f"{config.out}/"
    count, clipped, outside = totals.tolist()
    if isinstance(format, ClipFormat):
        lines, values = [f"{count:,} clips, {count * format.seconds:,.1f} s: {where}"], "samples"
    else:
        lines, values = [f"{count:,} {format}: {where}"], "values of pixels"
    if outside:
        lines.append(
            f"  {outside:,} of the latents lie outside the prior's box, where the generator was never trained: made as they are"
        )
    if clipped:
        lines.append(f"  {clipped:,} {values} lay past full scale and were clipped")
    return lines


@dataclass(frozen=True)
class _Made:
    """What was made of one latent; outside: the latent lies outside the prior's box."""

    name: str
    made: Made
    outside: bool

    @property
    def counts(self) -> tuple[int, int, int]:
        """What it adds to the totals: clips, values clipped, latents outside."""
        return 1, self.made.clipped, self.outside


def _made(config: DecodeConfig, make: Maker) -> Iterator[_Made]:
    total, batches = read_latents(config, make.generator.latent_size)
    done = 0
    with Progress("decode", total, f"{kind_of(make.format)}s", least=config.batch + 1) as progress:
        for names, latents, said in batches:
            given = torch.from_numpy(latents)
            outside = (make.generator.prior.project(given) != given).any(1).tolist()
            told = label_numbers(make.generator, [config.label] * len(names) if config.label else said, config.latents)
            for name, each, beyond in zip(names, make(given, told), outside, strict=True):
                if not each.finite:
                    raise UserError(f"what the generator makes of {name} is not finite", where=config.latents)
                yield _Made(name, each, beyond)
            done += len(names)
            progress.update(done)


def label_numbers(generator: Generator, names: Sequence[str] | None, where: str) -> Int[Tensor, " b"] | None:
    """The generator's numbers of labels by name; None where there are none, or it takes none. Raises UserError for one that it
    does not know."""
    known = names_of(generator)
    if names is None or not known:
        if names is not None:
            raise UserError(
                "the generator takes no labels", where=where, fix="leave label out, or give another generator"
            )
        return None
    for name in names:
        if name not in known:
            fix = f"name one of {', '.join(known)}{did_you_mean(name, known)}"
            raise UserError(f"the generator takes no label {name!r}", where=where, fix=fix)
    return torch.tensor([known.index(name) for name in names])


@contextmanager
def _written(target: Path) -> Iterator[Path]:
    """A file to write into, which appears as `target` when it is whole."""
    if not target.parent.is_dir():
        raise UserError("the folder of out is not there", where=str(target.parent), fix="make it, or give another out")
    part = target.with_name(f".{target.name}.part")
    try:
        yield part
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _sound(part: Path, kind: str, made: Iterator[_Made], clips: ClipFormat) -> Totals:
    """All clips one after the other. Memory holds none but the present batch."""
    totals = np.zeros(3, np.int64)
    with soundfile.SoundFile(part, "w", clips.sample_rate, clips.channels, "PCM_16", format=kind.upper()) as file:
        for each in made:
            file.write(each.made.values)
            totals += each.counts
    return totals


def _sheet(part: Path, made: Iterator[_Made], config: DecodeConfig) -> Totals:
    """All pictures on one, in rows of as many as there are rows. What is left of the last row is white."""
    found, totals = list[Values](), np.zeros(3, np.int64)
    for each in made:
        if len(found) == MOST_ON_A_SHEET:
            raise UserError(
                f"more than {MOST_ON_A_SHEET:,} pictures for one file", where=config.latents, fix="give a folder as out"
            )
        found.append(each.made.values)
        totals += each.counts
    across = math.ceil(len(found) ** 0.5)
    blank = [np.full_like(found[0], 255)] * (-len(found) % across)
    rows = [np.concatenate(([*found, *blank])[first : first + across], 1) for first in range(0, len(found), across)]
    part.write_bytes(picture.encode(np.concatenate(rows)))
    return totals


def _folder(config: DecodeConfig, made: Iterator[_Made], format: SignalFormat) -> Totals:
    """A file per clip or picture. Raises UserError for a key that comes twice: one of the two would be lost."""
    folder, signal = Folder.at(config.out), signal_of(format)
    extension = config.format if config.format in signal.formats else signal.formats[0]
    totals = np.zeros(3, np.int64)
    written = set[str]()
    for each in made:
        if each.name in written:
            raise UserError(
                f"the key {each.name!r} comes twice",
                where=config.latents,
                fix=f"give out=NAME.{extension}, or latents of one run",
            )
        written.add(each.name)
        file = f"{quote(each.name, safe=' @,;+=()')}.{extension}"
        folder.publish_bytes(file, signal.encode(each.made.values, extension, format))
        totals += each.counts
    return totals
