"""`invertone corpus digits`: a spoken-digit corpus in the layout of Speech Commands."""

from __future__ import annotations

import importlib.metadata
import os
from pathlib import Path
from typing import Any

from invertone.audio.clip import encode
from invertone.cluster.errors import UserError
from invertone.cluster.formats.signals import USUAL
from invertone.cluster.progress import Progress, duration
from invertone.cluster.stopping import uninterrupted
from invertone.cluster.storage.folder import Folder
from invertone.ingest.obtain.config import DigitsConfig
from invertone.ingest.obtain.download import make_folder, need_space
from invertone.ingest.obtain.espeak import Espeak
from invertone.ingest.obtain.made import SETTINGS, check_settings, local_folder, publish_file
from invertone.ingest.obtain.speech import CLIP_SAMPLES, WORDS, Speaker, Take, draw_speakers, make_clip, split_of, take

WHAT = "digit corpus"
LISTS = {"validation": "validation_list.txt", "testing": "testing_list.txt"}
CLIP_BYTES = 44 + 2 * CLIP_SAMPLES
RECIPE = 1
"""Counted up whenever the same settings would give other clips."""


def plan(config: DigitsConfig) -> list[str]:
    """What `--dry-run` prints: how many files, how many bytes, where."""
    folder = _folder(config)
    check_settings(folder, _settings(config), WHAT)
    takes = _takes(config)
    missing = len(_missing(folder, takes))
    return [
        f"would write {missing:,} of {len(takes):,} clips by {config.voices:,} speakers, "
        f"{missing * CLIP_BYTES / 1e6:,.0f} MB, in {config.out}"
    ]


def run(config: DigitsConfig) -> None:
    """Makes the corpus; what is already there is kept. Raises UserError for what the user can mend."""
    folder = _folder(config)
    with Espeak() as espeak:
        settings = _settings(config)
        check_settings(folder, settings, WHAT)
        takes = _takes(config)
        missing = _missing(folder, takes)
        make_folder(folder)
        need_space(folder, len(missing) * CLIP_BYTES)
        Folder(str(folder)).publish_json(SETTINGS, settings)
        for word in WORDS:
            (folder / word).mkdir(exist_ok=True)
        with Progress("corpus digits", len(takes), "clips", start=len(takes) - len(missing)) as progress:
            for count, each in enumerate(missing, len(takes) - len(missing) + 1):
                with uninterrupted():
                    wav = encode(make_clip(espeak, each, config.seed), "wav", USUAL.sample_rate)
                publish_file(folder / each.file, wav)
                progress.update(count)
    # The lists come last: where they are, the corpus is whole.
    for split, list_name in LISTS.items():
        listed = sorted(each.file for each in takes if split_of(each.speaker.name) == split)
        Folder(str(folder)).publish_bytes(list_name, "".join(f"{file}\n" for file in listed).encode())
    _say_what_there_is(config, takes)


def _missing(folder: Path, takes: list[Take]) -> list[Take]:
    sizes: dict[str, int] = {}
    for word in WORDS:
        if (folder / word).is_dir():
            with os.scandir(folder / word) as entries:
                sizes |= {f"{word}/{entry.name}": entry.stat().st_size for entry in entries}
    return [each for each in takes if sizes.get(each.file) != CLIP_BYTES]


def _takes(config: DigitsConfig) -> list[Take]:
    speakers: list[Speaker] = draw_speakers(config.voices, config.seed, config.timbres)
    return [take(index, speakers) for index in range(config.clips)]


def _folder(config: DigitsConfig) -> Path:
    return local_folder(config.out, WHAT)


def _settings(config: DigitsConfig) -> dict[str, Any]:
    """Everything that decides the clips' bytes and that a user can change."""
    try:
        espeak = importlib.metadata.version("espeakng-loader")
    except importlib.metadata.PackageNotFoundError:
        raise UserError("espeak-ng is not installed", fix="pip install 'invertone[speech]'") from None
    return {
        "corpus": "digits",
        "clips": config.clips,
        "voices": config.voices,
        "seed": config.seed,
        "recipe": RECIPE,
        "espeakng-loader": espeak,
    } | ({} if config.timbres == "all" else {"timbres": config.timbres})


def _say_what_there_is(config: DigitsConfig, takes: list[Take]) -> None:
    splits = [split_of(each.speaker.name) for each in takes]
    counts = ", ".join(f"{splits.count(split):,} {split}" for split in ("training", "validation", "testing"))
    speakers = len({each.speaker.name for each in takes})
    print(f"{len(takes):,} clips ({duration(len(takes))}) by {speakers:,} speakers: {counts}")
    if not all(map(splits.count, LISTS)):
        print("validation or testing is empty: give at least 3 voices, and no fewer clips than voices")
    here = os.path.relpath(config.out)
    print(f"{here}/ is laid out like Speech Commands. Next:\n  invertone ingest sc09 source={here} out={here}-shards")
