"""Generated clips whose numbers make a grid: a style by row and a label by column, or ways from one style to another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from invertone.cluster.formats.latents import OK
from invertone.cluster.storage.folder import Folder
from invertone.eval.report.blocks import Clips, Tile
from invertone.eval.report.chapters.clips import tile
from invertone.eval.report.tally import ROWS_WITH_AUDIO, batches, over_parts, texts

WAV = "wav"
STYLES_OF = "styles.json"
GRID, INTERPOLATED = "grid", "interpolated"
MOST_COLUMNS = 12
NOTES = {
    GRID: "Each row is one style, each column one label.",
    INTERPOLATED: "Each row leads from one style to another; above each clip stands the share of the way.",
}
AXES = "Pictures are from 0 to half the sample rate, and as long as the clip; a click on one plays it from there."
Placed = tuple[int, str]
"""A clip's number, and what stands above it."""


def grid_of(
    folder: Folder, config: Mapping[str, Any], parts: Sequence[str], count: int
) -> tuple[Clips | None, list[str]]:
    """The first `count` rows, of a way at most MOST_COLUMNS clips, evenly spaced; and a line for each file that cannot be read.
    None while there is no clip."""
    keys, problems = _keys(folder, parts)
    if not keys or not count:
        return None, problems
    rows = _by_label(keys, count) if config.get("style") == GRID else _ways(keys, config, count)
    wanted = {keys[number] for row in rows for number, _ in row if number in keys}
    sounds, more = _sounds(folder, parts, wanted)
    styles = _styles(folder, ways=config.get("style") == INTERPOLATED)
    shown = []
    for at, row in enumerate(rows):
        labels = {_label(keys[number]) for number, _ in row if number in keys}
        one = next(iter(labels)) if len(labels) == 1 else ""
        tiles = [
            _tile(sounds.get(keys.get(number, "")), title, _label(keys.get(number, "")), one) for number, title in row
        ]
        name = f"way {at + 1}" if config.get("style") == INTERPOLATED else f"style {at + 1}"
        about = ", ".join(each for each in (one, styles[at] if at < len(styles) else "") if each)
        shown.append((name, about, tiles))
    note = f"{NOTES[str(config['style'])]} The first {len(rows):,} rows. {AXES}"
    return Clips("Clips", shown, max(map(len, rows)), scrolls=True, compact=True, note=note), [*problems, *more]


def _tile(sound: bytes | None, title: str, label: str, one: str) -> Tile:
    """A clip under its column's title, and its label where its row has several."""
    shown = title if one or title == label or not label else f"{title} {label}"
    return tile(shown, sound) if sound is not None else Tile(shown, text="–")


def _keys(folder: Folder, parts: Sequence[str]) -> tuple[dict[int, str], list[str]]:
    """Keys of the clips that there are by number: `00000003-seven` is number 3."""
    found: list[str] = []

    def visit(at: int, part: str) -> None:
        for batch in batches(folder, part, ("key", "status")):
            pairs = zip(texts(batch, "key"), texts(batch, "status"), strict=True)
            found.extend(str(key) for key, status in pairs if status == OK)

    if parts:
        _, problems = over_parts(folder, parts, visit)
    else:
        found, problems = [name.removesuffix(".wav") for name in folder.names(WAV) if name.endswith(".wav")], []
    return {int(key.partition("-")[0]): key for key in sorted(found) if key.partition("-")[0].isdecimal()}, problems


def _label(key: str) -> str:
    return key.partition("-")[2]


def _by_label(keys: Mapping[int, str], count: int) -> list[list[Placed]]:
    """A row for every so many clips as there are labels."""
    labels = list(dict.fromkeys(map(_label, keys.values())))
    rows = max(keys) // len(labels) + 1
    return [[(row * len(labels) + at, label) for at, label in enumerate(labels)] for row in range(min(rows, count))]


def _ways(keys: Mapping[int, str], config: Mapping[str, Any], count: int) -> list[list[Placed]]:
    """A row for every way."""
    steps = int(config.get("steps") or config.get("count") or max(keys) + 1)
    columns = min(steps, MOST_COLUMNS)
    at = [round(column * (steps - 1) / max(1, columns - 1)) for column in range(columns)]
    rows = max(keys) // steps + 1
    return [[(row * steps + step, f"{step / max(1, steps - 1):.0%}") for step in at] for row in range(min(rows, count))]


def _sounds(folder: Folder, parts: Sequence[str], wanted: set[str]) -> tuple[dict[str, bytes], list[str]]:
    """The sounds of these keys."""
    if not parts:
        return {key: folder.read_bytes(f"{WAV}/{key}.wav") for key in sorted(wanted)}, []
    found: dict[str, bytes] = {}

    def visit(at: int, part: str) -> None:
        if len(found) < len(wanted):
            for batch in batches(folder, part, ("key", "audio"), rows=ROWS_WITH_AUDIO):
                here = [row for row, key in enumerate(texts(batch, "key")) if key in wanted]
                for row in batch.take(here).to_pylist() if here else []:
                    found[row["key"]] = (row.get("audio") or {}).get("bytes") or b""

    _, problems = over_parts(folder, parts, visit)
    return found, problems


def _styles(folder: Folder, ways: bool) -> list[str]:
    """The clips that rows have their styles of, where they are not of the prior."""
    try:
        keys = [str(each["key"]) for each in folder.read_json(STYLES_OF)]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [" → ".join(keys[at : at + 2]) for at in range(0, len(keys), 2)] if ways else keys
