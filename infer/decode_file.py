"""`invertone decode`: latents, edited perhaps → sound, without Ray."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import soundfile
import torch

from audio.clip import SAMPLE_RATE, Samples, encode, to_int16
from cluster.errors import UserError
from cluster.parquet import parquet_rows, parquet_schema, row_batches
from cluster.progress import Progress
from cluster.storage import Folder
from infer.file_config import DecodeConfig
from infer.tiles import tile_size, tiles
from models.device import worker_device
from models.generator import Generator, load_generator

Latents = npt.NDArray[np.float32]
FORMATS = ("wav", "flac")
_FORMS = "give .npy, the .json of invert, or Parquet with a column of latents"


def run(config: DecodeConfig) -> list[str]:
    """Makes sound of every latent and returns what is to be said. Raises UserError for what are no latents of this
    generator; files are whole or not there."""
    device = worker_device(config.device, torch.get_num_threads())
    generator, _ = load_generator(config.generator, device)
    made = _sounds(config, generator, device)
    suffix = Path(config.out).suffix.lstrip(".").lower()
    if suffix in FORMATS:
        count, clipped, outside = _one_file(Path(config.out), suffix, made)
        where = config.out
    else:
        count, clipped, outside = _folder(config, made)
        where = f"{config.out}/"
    lines = [f"{count:,} clips, {count * generator.clip_samples / SAMPLE_RATE:,.1f} s: {where}"]
    if outside:
        lines.append(
            f"  {outside:,} of the latents lie outside the prior's box, where the generator was never trained: made as they are"
        )
    if clipped:
        lines.append(f"  {clipped:,} samples lay past full scale and were clipped")
    return lines


def _sounds(
    config: DecodeConfig, generator: Generator, device: torch.device
) -> Iterator[tuple[str, Samples, int, bool]]:
    """Name, int16 [n], samples clipped and whether the latent lies outside the prior's box, of every latent."""
    total, batches = _read(config, generator.latent_size)
    done = 0
    with Progress("decode", total, "clips", least=config.batch + 1) as progress:
        for names, latents in batches:
            given = torch.from_numpy(latents)
            outside = (generator.prior.project(given) != given).any(1).tolist()
            with torch.no_grad():
                parts = [generator(part.to(device)) for part in tiles(given, tile_size(device))]
            waveform = torch.cat(parts)[: len(given)].float().cpu().numpy()
            for name, sound, beyond in zip(names, waveform, outside, strict=True):
                if not np.isfinite(sound).all():
                    raise UserError(f"the generator's samples for {name} are not finite", where=config.latents)
                samples, clipped = to_int16(sound)
                yield name, samples, clipped, beyond
            done += len(names)
            progress.update(done)


def _one_file(target: Path, kind: str, made: Iterator[tuple[str, Samples, int, bool]]) -> tuple[int, int, int]:
    """All clips one after the other. Memory holds none but the present one's; the file appears when it is whole."""
    if not target.parent.is_dir():
        raise UserError("the folder of out is not there", where=str(target.parent), fix="make it, or give another out")
    part = target.with_name(f".{target.name}.part")
    totals = np.zeros(3, np.int64)
    try:
        with soundfile.SoundFile(part, "w", SAMPLE_RATE, 1, "PCM_16", format=kind.upper()) as file:
            for _, samples, lost, beyond in made:
                file.write(samples)
                totals += (1, lost, beyond)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    count, clipped, outside = totals.tolist()
    return count, clipped, outside


def _folder(config: DecodeConfig, made: Iterator[tuple[str, Samples, int, bool]]) -> tuple[int, int, int]:
    folder = Folder.at(config.out)
    totals = np.zeros(3, np.int64)
    for name, samples, lost, beyond in made:
        folder.publish_bytes(f"{quote(name, safe=' @,;+=()')}.{config.format}", encode(samples, config.format))
        totals += (1, lost, beyond)
    count, clipped, outside = totals.tolist()
    return count, clipped, outside


def _read(config: DecodeConfig, size: int) -> tuple[int, Iterator[tuple[list[str], Latents]]]:
    """How many rows there are, and batches of latents [b, z] with a name each; rows without a latent give none."""
    place = Path(config.latents)
    suffix = place.suffix.lower()
    if place.is_dir() or suffix == ".parquet":
        folder, names = _parquet_files(config)
        return _rows(folder, names), _of_parquet(config, size, folder, names)
    if not place.is_file():
        raise UserError("no such file", where=config.latents, fix=_FORMS)
    if suffix == ".npy":
        found = _of_array(place)
    elif suffix == ".json":
        found = _of_json(place)
    else:
        raise UserError("is no file of latents by its name", where=config.latents, fix=_FORMS)
    latents = _checked(found, size, config.latents)
    return len(latents), _numbered(latents, config.batch)


def _numbered(latents: Latents, batch: int) -> Iterator[tuple[list[str], Latents]]:
    width = len(str(max(0, len(latents) - 1)))
    for first in range(0, len(latents), batch):
        part = latents[first : first + batch]
        yield [str(number).zfill(width) for number in range(first, first + len(part))], part


def _of_array(place: Path) -> npt.NDArray[Any]:
    try:
        found = np.load(place, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise UserError(f"is no .npy file: {str(error).splitlines()[0]}", where=str(place), fix=_FORMS) from None
    if not isinstance(found, np.ndarray):
        raise UserError("holds several arrays", where=str(place), fix="save the latents alone by numpy.save")
    return found


def _of_json(place: Path) -> npt.NDArray[Any]:
    """What `invert` wrote; or a list of numbers, or of such lists."""
    try:
        values = json.loads(place.read_text(encoding="utf-8"))
        if isinstance(values, dict):
            values = [clip["latent"] for clip in values["clips"]]
        return np.asarray(values, np.float64)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"holds no latents: {error}", where=str(place), fix=_FORMS) from None


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


def _parquet_files(config: DecodeConfig) -> tuple[Folder, list[str]]:
    place = Path(config.latents)
    folder = Folder.at(str(place if place.is_dir() else place.parent))
    names = [name for name in folder.names() if name.endswith(".parquet")] if place.is_dir() else [place.name]
    if not names or not folder.exists(names[0]):
        raise UserError("no Parquet file here", where=config.latents, fix=_FORMS)
    return folder, names


def _rows(folder: Folder, names: Sequence[str]) -> int:
    total = 0
    for name in names:
        with folder.open(name) as file:
            total += parquet_rows(file)
    return total


def _of_parquet(
    config: DecodeConfig, size: int, folder: Folder, names: Sequence[str]
) -> Iterator[tuple[list[str], Latents]]:
    found = 0
    for name in names:
        with folder.open(name) as file:
            schema = parquet_schema(file)
            if config.column not in schema.names:
                raise UserError(
                    f"has no column {config.column!r}",
                    where=folder.path_of(name),
                    fix=f"choose one of {', '.join(schema.names)} by column=…",
                )
            keyed = "key" in schema.names
            for batch in row_batches(file, [config.column, *(["key"] if keyed else [])], config.batch):
                rows = [row for row in batch.to_pylist() if row[config.column] is not None]
                if rows:
                    own = [row["key"] if keyed else str(found + at) for at, row in enumerate(rows)]
                    found += len(rows)
                    yield own, _checked(_array(rows, config), size, folder.path_of(name))
    if not found:
        raise UserError("holds no latents", where=config.latents, fix="give the out of an infer that has results")


def _array(rows: list[dict[str, Any]], config: DecodeConfig) -> npt.NDArray[Any]:
    try:
        return np.asarray([row[config.column] for row in rows], np.float64)
    except (ValueError, TypeError):
        raise UserError(f"column {config.column!r} holds no vectors of one length", where=config.latents) from None
