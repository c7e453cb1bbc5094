"""`invertone decode`: latents, edited perhaps → sound, without Ray."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import soundfile
import torch
from jaxtyping import Int
from torch import Tensor

from invertone.audio.clip import encode
from invertone.cluster.errors import UserError, did_you_mean
from invertone.cluster.formats.signals import ClipFormat
from invertone.cluster.progress import Progress
from invertone.cluster.storage.folder import Folder
from invertone.infer.files.config import DecodeConfig
from invertone.infer.files.latents import read_latents
from invertone.infer.generate.sounds import Sound, SoundMaker
from invertone.infer.methods.labelling import names_of
from invertone.models.generator import Generator

Totals = npt.NDArray[np.int64]
"""Clips, samples clipped, latents outside the prior's box."""
FORMATS = ("wav", "flac")


def run(config: DecodeConfig) -> list[str]:
    """Makes sound of every latent and returns what is to be said. Raises UserError for what are no latents of this
    generator; files are whole or not there."""
    make = SoundMaker.open(config.generator, None, config.device, torch.get_num_threads())
    made = _made(config, make)
    suffix = Path(config.out).suffix.lstrip(".").lower()
    if suffix in FORMATS:
        totals = _one_file(Path(config.out), suffix, made, make.clips)
        where = config.out
    else:
        totals = _folder(config, made, make.clips.sample_rate)
        where = f"{config.out}/"
    count, clipped, outside = totals.tolist()
    lines = [f"{count:,} clips, {count * make.clips.seconds:,.1f} s: {where}"]
    if outside:
        lines.append(
            f"  {outside:,} of the latents lie outside the prior's box, where the generator was never trained: made as they are"
        )
    if clipped:
        lines.append(f"  {clipped:,} samples lay past full scale and were clipped")
    return lines


@dataclass(frozen=True)
class _Made:
    """One latent's sound; outside: the latent lies outside the prior's box."""

    name: str
    sound: Sound
    outside: bool

    @property
    def counts(self) -> tuple[int, int, int]:
        """What it adds to the totals: clips, samples clipped, latents outside."""
        return 1, self.sound.clipped, self.outside


def _made(config: DecodeConfig, make: SoundMaker) -> Iterator[_Made]:
    total, batches = read_latents(config, make.generator.latent_size)
    done = 0
    with Progress("decode", total, "clips", least=config.batch + 1) as progress:
        for names, latents, said in batches:
            given = torch.from_numpy(latents)
            outside = (make.generator.prior.project(given) != given).any(1).tolist()
            told = label_numbers(make.generator, [config.label] * len(names) if config.label else said, config.latents)
            for name, sound, beyond in zip(names, make(given, told), outside, strict=True):
                if not sound.finite:
                    raise UserError(f"the generator's samples for {name} are not finite", where=config.latents)
                yield _Made(name, sound, beyond)
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


def _one_file(target: Path, kind: str, made: Iterator[_Made], clips: ClipFormat) -> Totals:
    """All clips one after the other. Memory holds none but the present batch; the file appears when it is whole."""
    if not target.parent.is_dir():
        raise UserError("the folder of out is not there", where=str(target.parent), fix="make it, or give another out")
    part = target.with_name(f".{target.name}.part")
    totals = np.zeros(3, np.int64)
    try:
        with soundfile.SoundFile(part, "w", clips.sample_rate, clips.channels, "PCM_16", format=kind.upper()) as file:
            for each in made:
                file.write(each.sound.samples)
                totals += each.counts
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return totals


def _folder(config: DecodeConfig, made: Iterator[_Made], sample_rate: int) -> Totals:
    """A file per clip. Raises UserError for a key that comes twice: one of the two would be lost."""
    folder = Folder.at(config.out)
    totals = np.zeros(3, np.int64)
    written = set[str]()
    for each in made:
        if each.name in written:
            raise UserError(
                f"the key {each.name!r} comes twice",
                where=config.latents,
                fix="give out=NAME.wav, or latents of one run",
            )
        written.add(each.name)
        file = f"{quote(each.name, safe=' @,;+=()')}.{config.format}"
        folder.publish_bytes(file, encode(each.sound.samples, config.format, sample_rate))
        totals += each.counts
    return totals
