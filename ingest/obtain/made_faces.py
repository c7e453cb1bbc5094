"""`invertone corpus faces`: drawn faces of invented people as `NAME/NAME_0001.png` (the layout of LFW), and a table of the
numbers that each was drawn of."""

from __future__ import annotations

import io
import itertools
import os
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from invertone.cluster.formats.shards import SPLITS
from invertone.cluster.progress import Progress
from invertone.cluster.stopping import uninterrupted
from invertone.cluster.storage.folder import Folder
from invertone.images.picture import encode
from invertone.ingest.corpora.entry import hash_split
from invertone.ingest.obtain.config import FacesConfig
from invertone.ingest.obtain.download import make_folder, need_space
from invertone.ingest.obtain.faces import make_face
from invertone.ingest.obtain.made import SETTINGS, check_settings, local_folder, publish_file
from invertone.ingest.obtain.people import Person, Sitting, draw_person, draw_sitting, latent_names

WHAT = "corpus of faces"
TABLE = "faces.parquet"
RECIPE = 1
"""Counted up whenever the same settings would give other pictures."""
AT_ONCE = 16
"""Pictures that a process is handed at a time: it writes them in a second, and Ctrl-C waits no longer."""
ROWS = 1 << 12
"""Of the table, that are held at a time."""
TRIES = 100
"""Draws per person until every split has its share; one in ten suffices."""


@dataclass(frozen=True)
class Portrait:
    """A picture to be drawn: the `number`-th (from 1) of the seed's person of the number `person`."""

    person: int
    name: str
    number: int

    @property
    def file(self) -> str:
        return f"{self.name}/{self.name}_{self.number:04d}.png"


def plan(config: FacesConfig) -> list[str]:
    """What `--dry-run` prints: how many files, how many bytes about, where."""
    folder = local_folder(config.out, WHAT)
    check_settings(folder, _settings(config), WHAT)
    total, missing = config.people * config.pictures, sum(1 for _ in _missing(folder, config))
    return [
        f"would draw {missing:,} of {total:,} pictures of {config.people:,} people, about "
        f"{missing * _bytes(config) / 1e6:,.0f} MB, in {config.out}"
    ]


def run(config: FacesConfig) -> None:
    """Makes the corpus; what is already there is kept. Raises UserError for what the user can mend."""
    folder, settings = local_folder(config.out, WHAT), _settings(config)
    check_settings(folder, settings, WHAT)
    missing, total = list(_missing(folder, config)), config.people * config.pictures
    make_folder(folder)
    need_space(folder, len(missing) * _bytes(config))
    Folder(str(folder)).publish_json(SETTINGS, settings)
    for name in dict.fromkeys(each.name for each in missing):
        (folder / name).mkdir(exist_ok=True)
    with Progress("corpus faces", total, "pictures", start=total - len(missing)) as progress:
        done = total - len(missing)
        for count in _drawn(folder, missing, config):
            done += count
            progress.update(done)
    # The table comes last: where it is, the corpus is whole.
    Folder(str(folder)).publish_bytes(TABLE, _table(config))
    _say_what_there_is(config)


def people_of(config: FacesConfig) -> list[tuple[int, str]]:
    """The numbers and names of its people, no name twice. A name decides its split by hash, so people are drawn until each
    split has its share: about a tenth each for validation and testing, and from three people on one at least."""
    share = max(1, round(config.people / 10)) if config.people >= 3 else 0
    room = {"validation": share, "test": share, "train": config.people - 2 * share}
    found: dict[str, int] = {}
    for number in range(TRIES * (config.people + TRIES)):
        name = draw_person(config.seed, number).name
        if name not in found and room[hash_split(name)]:
            room[hash_split(name)] -= 1
            found[name] = number
        if len(found) == config.people:
            return [(number, name) for name, number in found.items()]
    raise AssertionError("names are drawn evenly")


def _portraits(config: FacesConfig) -> Iterator[Portrait]:
    for person, name in people_of(config):
        for number in range(1, config.pictures + 1):
            yield Portrait(person, name, number)


def _missing(folder: Path, config: FacesConfig) -> Iterator[Portrait]:
    """Portraits that are not there, or are empty, as a power cut may leave them."""
    for name, of_person in itertools.groupby(_portraits(config), key=lambda each: each.name):
        there = set[str]()
        if (folder / name).is_dir():
            with os.scandir(folder / name) as entries:
                there = {f"{name}/{entry.name}" for entry in entries if entry.stat().st_size}
        yield from (each for each in of_person if each.file not in there)


def _drawn(folder: Path, missing: Sequence[Portrait], config: FacesConfig) -> Iterator[int]:
    """Draws and writes; gives how many there are more of, again and again."""
    parts = [missing[at : at + AT_ONCE] for at in range(0, len(missing), AT_ONCE)]
    workers = min(config.workers or len(os.sched_getaffinity(0)), len(parts))
    if workers <= 1:
        for part in parts:
            with uninterrupted():
                yield draw(str(folder), part, config.seed, config.size)
        return
    with ExitStack() as stack:
        # spawned: a fork would copy whatever threads this process has, in whatever state
        pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_leave_signals_to_the_parent)
        stack.callback(pool.shutdown, cancel_futures=True)
        waiting, left = list[Future[int]](), iter(parts)
        for part in left:
            waiting.append(pool.submit(draw, str(folder), part, config.seed, config.size))
            if len(waiting) > 2 * workers:
                yield waiting.pop(0).result()
        for each in waiting:
            yield each.result()


def _leave_signals_to_the_parent() -> None:
    """Ctrl-C reaches every process of a terminal; the one that hands out work ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def draw(folder: str, portraits: Sequence[Portrait], seed: int, size: int) -> int:
    """Writes these pictures, each a function of the seed, its numbers and the size. How many they are."""
    for each in portraits:
        person, sitting = _numbers_of(each, seed)
        publish_file(Path(folder) / each.file, encode(make_face(person, sitting, size)))
    return len(portraits)


def _numbers_of(each: Portrait, seed: int) -> tuple[Person, Sitting]:
    return draw_person(seed, each.person), draw_sitting(seed, each.person, each.number)


def _table(config: FacesConfig) -> bytes:
    """Parquet: file_name, label (the person), split, and the numbers that the picture was drawn of by their names."""
    names = [*latent_names(Person), *latent_names(Sitting)]
    assert len(set(names)) == len(names), "two numbers of one name"
    schema = pa.schema(
        [(name, pa.string()) for name in ("file_name", "label", "split")] + [(name, pa.float64()) for name in names]
    )
    buffer, portraits = io.BytesIO(), _portraits(config)
    with pq.ParquetWriter(buffer, schema, compression="zstd") as writer:
        while part := list(itertools.islice(portraits, ROWS)):
            writer.write_table(pa.Table.from_pylist([_row(each, config.seed, names) for each in part], schema))
    return buffer.getvalue()


def _row(each: Portrait, seed: int, names: Sequence[str]) -> dict[str, Any]:
    person, sitting = _numbers_of(each, seed)
    said = {"file_name": each.file, "label": each.name, "split": hash_split(each.name)}
    return said | dict(zip(names, [*person.latent(), *sitting.latent()], strict=True))


def _bytes(config: FacesConfig) -> int:
    """Of a picture's file, about: 8.3 kB of one of 64 × 64, measured."""
    return 2 * config.size * config.size


def _settings(config: FacesConfig) -> dict[str, Any]:
    """Everything that decides the pictures and that a user can change."""
    return {
        "corpus": "faces",
        "people": config.people,
        "pictures": config.pictures,
        "size": config.size,
        "seed": config.seed,
        "recipe": RECIPE,
    }


def _say_what_there_is(config: FacesConfig) -> None:
    counts = Counter(hash_split(name) for _, name in people_of(config))
    splits = ", ".join(f"{counts[split]:,} {split}" for split in SPLITS if counts[split])
    print(f"{config.people * config.pictures:,} pictures of {config.people:,} people ({splits})")
    if config.people < 3:
        print("validation and test are empty: give at least 3 people, or split=within when it is ingested")
    here, side = os.path.relpath(config.out), config.size
    print(f"{here}/ is laid out like LFW, {TABLE} says what each was drawn of. Next:")
    print(f"  invertone ingest made-faces source={here} out={here}-shards height={side} width={side}")
