"""`invertone decode`: latents, edited perhaps → sound, without Ray."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import soundfile
import torch

from invertone.audio.clip import SAMPLE_RATE, encode
from invertone.cluster.errors import UserError
from invertone.cluster.progress import Progress
from invertone.cluster.storage.folder import Folder
from invertone.cluster.storage.parquet import parquet_rows, parquet_schema, row_batches
from invertone.infer.files.config import DecodeConfig
from invertone.infer.generate.sounds import Sound, SoundMaker

Latents = npt.NDArray[np.float32]
Totals = npt.NDArray[np.int64]
"""Clips, samples clipped, latents outside the prior's box."""
FORMATS = ("wav", "flac")
_FORMS = "give .npy, the .json of invert, or Parquet with a column of latents"


def run(config: DecodeConfig) -> list[str]:
    """Makes sound of every latent and returns what is to be said. Raises UserError for what are no latents of this
    generator; files are whole or not there."""
    make = SoundMaker.open(config.generator, None, config.device, torch.get_num_threads())
    made = _made(config, make)
    suffix = Path(config.out).suffix.lstrip(".").lower()
    if suffix in FORMATS:
        totals = _one_file(Path(config.out), suffix, made)
        where = config.out
    else:
        totals = _folder(config, made)
        where = f"{config.out}/"
    count, clipped, outside = totals.tolist()
    lines = [f"{count:,} clips, {count * make.generator.clip_samples / SAMPLE_RATE:,.1f} s: {where}"]
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
    total, batches = _read(config, make.generator.latent_size)
    done = 0
    with Progress("decode", total, "clips", least=config.batch + 1) as progress:
        for names, latents in batches:
            given = torch.from_numpy(latents)
            outside = (make.generator.prior.project(given) != given).any(1).tolist()
            for name, sound, beyond in zip(names, make(given), outside, strict=True):
                if not sound.finite:
                    raise UserError(f"the generator's samples for {name} are not finite", where=config.latents)
                yield _Made(name, sound, beyond)
            done += len(names)
            progress.update(done)


def _one_file(target: Path, kind: str, made: Iterator[_Made]) -> Totals:
    """All clips one after the other. Memory holds none but the present batch; the file appears when it is whole."""
    if not target.parent.is_dir():
        raise UserError("the folder of out is not there", where=str(target.parent), fix="make it, or give another out")
    part = target.with_name(f".{target.name}.part")
    totals = np.zeros(3, np.int64)
    try:
        with soundfile.SoundFile(part, "w", SAMPLE_RATE, 1, "PCM_16", format=kind.upper()) as file:
            for each in made:
                file.write(each.sound.samples)
                totals += each.counts
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return totals


def _folder(config: DecodeConfig, made: Iterator[_Made]) -> Totals:
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
        folder.publish_bytes(file, encode(each.sound.samples, config.format))
        totals += each.counts
    return totals


def _read(config: DecodeConfig, size: int) -> tuple[int, Iterator[tuple[list[str], Latents]]]:
    """How many rows there are, and batches of latents [b, z] with a name each; rows without a latent give none."""
    folder, _, name = config.latents.rpartition("/")
    suffix = Path(name).suffix.lower()
    if suffix not in (".npy", ".json"):
        files = _parquet_files(config)
        return sum(map(_rows, files)), _of_parquet(config, size, files)
    try:
        data = Folder(folder).read_bytes(name)
    except FileNotFoundError:
        raise UserError("no such file", where=config.latents, fix=_FORMS) from None
    found = _of_array(data, config.latents) if suffix == ".npy" else _of_json(data, config.latents)
    latents = _checked(found, size, config.latents)
    return len(latents), _numbered(latents, config.batch)


def _numbered(latents: Latents, batch: int) -> Iterator[tuple[list[str], Latents]]:
    width = len(str(max(0, len(latents) - 1)))
    for first in range(0, len(latents), batch):
        part = latents[first : first + batch]
        yield [str(number).zfill(width) for number in range(first, first + len(part))], part


def _of_array(data: bytes, where: str) -> npt.NDArray[Any]:
    try:
        found = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise UserError(f"is no .npy file: {str(error).splitlines()[0]}", where=where, fix=_FORMS) from None
    if not isinstance(found, np.ndarray):
        raise UserError("holds several arrays", where=where, fix="save the latents alone by numpy.save")
    return found


def _of_json(data: bytes, where: str) -> npt.NDArray[Any]:
    """What `invert` wrote; or a list of numbers, or of such lists."""
    try:
        values = json.loads(data)
        if isinstance(values, dict):
            values = [clip["latent"] for clip in values["clips"]]
        return np.asarray(values, np.float64)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"holds no latents: {error}", where=where, fix=_FORMS) from None


def _checked(found: npt.NDArray[Any], size: int, where: str) -> Latents:
    """float32 [n, size]."""
    if not np.issubdtype(found.dtype, np.number) or np.iscomplexobj(found):
        raise UserError(f"holds {found.dtype}, no numbers", where=where, fix=_FORMS)
    if found.ndim == 1:
        found = found[None]
    if found.ndim != 2 or found.shape[1] != size or not len(found):
        raise UserError(
            f"has the shape {found.shape}; latents of this generator are [n, {size}]",
            where=where,
            fix="give the latents' own generator",
        )
    latents = found.astype(np.float32)
    if not np.isfinite(latents).all():
        raise UserError("holds numbers that are not finite", where=where, fix="mend the latents")
    return latents


@dataclass(frozen=True)
class _File:
    """A Parquet file by its place."""

    folder: Folder
    name: str


def _parquet_files(config: DecodeConfig) -> list[_File]:
    """The one that is named, or all of a folder (Spark's folders are named as files are)."""
    folder, _, name = config.latents.rpartition("/")
    if name in Folder(folder).names():
        if name.endswith(".parquet"):
            return [_File(Folder(folder), name)]
        raise UserError("holds no latents by its name", where=config.latents, fix=_FORMS)
    inside = Folder(config.latents)
    files = [_File(inside, each) for each in inside.names() if each.endswith(".parquet")]
    if not files:
        what = "no Parquet file here" if inside.exists() else "no such file"
        raise UserError(what, where=config.latents, fix=_FORMS)
    return files


def _rows(each: _File) -> int:
    with each.folder.open(each.name) as file, _parquet(each):
        return parquet_rows(file)


@contextmanager
def _parquet(each: _File) -> Iterator[None]:
    try:
        yield
    except pa.ArrowException as error:
        first = str(error).splitlines()[0]
        raise UserError(f"is no Parquet: {first}", where=each.folder.path_of(each.name), fix=_FORMS) from None


def _of_parquet(config: DecodeConfig, size: int, files: Sequence[_File]) -> Iterator[tuple[list[str], Latents]]:
    found = 0
    for each in files:
        where = each.folder.path_of(each.name)
        with each.folder.open(each.name) as file, _parquet(each):
            schema = parquet_schema(file)
            if config.column not in schema.names:
                raise UserError(
                    f"has no column {config.column!r}",
                    where=where,
                    fix=f"choose one of {', '.join(schema.names)} by column=…",
                )
            keyed = "key" in schema.names
            for batch in row_batches(file, [config.column, *(["key"] if keyed else [])], config.batch):
                rows = [row for row in batch.to_pylist() if row[config.column] is not None]
                if rows:
                    own = [str(row["key"]) if keyed else str(found + at) for at, row in enumerate(rows)]
                    found += len(rows)
                    yield own, _checked(_array(rows, config), size, where)
    if not found:
        raise UserError("holds no latents", where=config.latents, fix="give the out of an infer that has results")


def _array(rows: list[dict[str, Any]], config: DecodeConfig) -> npt.NDArray[Any]:
    try:
        return np.asarray([row[config.column] for row in rows], np.float64)
    except (ValueError, TypeError):
        raise UserError(f"column {config.column!r} holds no vectors of one length", where=config.latents) from None
