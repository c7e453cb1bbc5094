"""Clips that were ingested or generated: what there is, and a grid of some, by style and label."""

from __future__ import annotations

import dataclasses
import heapq
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from invertone.audio.windows import uniform_hash
from invertone.cluster.errors import UserError
from invertone.cluster.formats.latents import OK
from invertone.cluster.formats.shards import MANIFEST, REJECTS, Clip, load_manifest, read_rejects, read_shard
from invertone.cluster.formats.signals import kind_of
from invertone.cluster.storage.folder import Folder
from invertone.eval.report.blocks import Block, Cell, Clips, Facts, Head, Message, Row, Table, Tile
from invertone.eval.report.chapter import Chapter, Run
from invertone.eval.report.chapters.clips import CLIP, tile
from invertone.eval.report.chapters.grids import GRID, INTERPOLATED, WAV, grid_of
from invertone.eval.report.tally import ROWS_WITH_AUDIO, batches, over_parts

FACTS = ("count", "label", "labels", "style", "path", "steps", "latents", "output", "seed")
INTERPOLATION = ("path", "steps")
STYLES = {"fixed": "One style for all.", "random": "Every clip has a style of its own."}
MOST_REASONS = 8
MOST_GRID_COLUMNS = 12


@dataclass(frozen=True)
class Sound:
    """A clip that may be shown: style and label name its row and column, where they are known."""

    key: str
    audio: bytes
    label: str = ""
    style: str = ""


def shards_blocks(folder: Folder, count: int, seed: int) -> list[Block]:
    """A folder of shards: how many clips by split, what was rejected, and some clips by chance."""
    try:
        manifest = load_manifest(folder)
    except UserError as error:
        return [Message(str(error), problem=True)]
    signal = kind_of(manifest.format)
    format = manifest.format if signal == CLIP else str(manifest.format).removeprefix("pictures of ")
    splits: Counter[str] = Counter()
    for entry in manifest.shards:
        splits[entry.split] += entry.count
    facts = [
        (f"{signal.capitalize()}s", f"{manifest.count():,} of {format}"),
        ("Splits", ", ".join(f"{name} {clips:,}" for name, clips in splits.items())),
        ("Shards", f"{len(manifest.shards):,}, {sum(entry.bytes for entry in manifest.shards) / 1e6:,.1f} MB"),
        ("Labels", f"{len(manifest.label_names):,}: {', '.join(manifest.label_names[:20])}"),
        *([("Levels", manifest.levels)] if signal == CLIP else []),
        ("Digest", manifest.digest[:12]),
    ]
    blocks: list[Block] = [Facts(facts), *_rejects(folder)]
    if not count or not manifest.shards:
        return blocks
    # A few shards are opened, not all: those that come first by a hash of the seed and their name.
    opened = heapq.nsmallest(4, manifest.shards, key=lambda entry: uniform_hash(f"{seed}\0{entry.name}"))
    clips: list[Clip] = []
    problems: list[Block] = []
    for entry in opened:
        try:
            clips += heapq.nsmallest(
                count, read_shard(folder, entry), key=lambda c: uniform_hash(f"{seed}\0{c.info.key}")
            )
        except (UserError, OSError) as error:
            problems.append(Message(str(error), problem=True))
    sounds = [Sound(clip.info.key, clip.data, clip.info.label_name or "") for clip in _balanced(clips, count)]
    return [*blocks, *problems, _loose(sounds, f"Some {signal}s by chance (seed {seed}), labels in turn.", signal)]


def generated_blocks(folder: Folder, record: Mapping[str, Any], parts: Sequence[str], count: int) -> list[Block]:
    """The first `count` clips of a GAAE and its family: WAV files, or Parquet with latents."""
    given = record.get("config")
    config: dict[str, Any] = given if isinstance(given, dict) else {}
    style = str(config.get("style"))
    known = [
        name for name in FACTS if config.get(name) is not None and (name not in INTERPOLATION or style == INTERPOLATED)
    ]
    facts = [(name.capitalize(), str(config[name])) for name in known]
    blocks: list[Block] = [Facts(facts)] if facts else []
    if style in (GRID, INTERPOLATED):
        grid, problems = grid_of(folder, config, parts, count)
        blocks += [Message(problem, problem=True) for problem in problems]
        return [*blocks, *([grid] if grid else [] if problems else [_nothing(count)])]
    sounds, problems = _from_parquet(folder, parts, count) if parts else (_from_files(folder, config, count), [])
    blocks += [Message(problem, problem=True) for problem in problems]
    if not sounds and not problems:
        return [*blocks, _nothing(count)]
    note = f"{STYLES.get(style, '')} The first {len(sounds):,} clips, columns by label."
    return [*blocks, *_grid(sounds, note.strip())]


def _nothing(count: int) -> Message:
    return Message("No clip is there yet." if count else "No clips are shown (clips=0).")


def _from_files(folder: Folder, config: Mapping[str, Any], count: int) -> list[Sound]:
    """The clips with the first numbers, labels in turn; `00000003-seven.wav` is a seven."""
    style = "one style" if config.get("style") == "fixed" else ""
    stems = [name.removesuffix(".wav") for name in folder.names(WAV) if name.endswith(".wav")][:count]
    return [Sound(stem, folder.read_bytes(f"{WAV}/{stem}.wav"), stem.partition("-")[2], style) for stem in stems]


def _rejects(folder: Folder) -> list[Block]:
    try:
        rejects = read_rejects(folder, REJECTS)
    except FileNotFoundError:
        return []
    except (pa.ArrowException, TypeError, OSError) as error:
        return [Message(f"{REJECTS} cannot be read: {error}", problem=True)]
    if not rejects:
        return []
    reasons = Counter(re.sub(r"\d+", "N", each.reason) for each in rejects).most_common(MOST_REASONS)
    rows = [Row([Cell(reason), Cell(f"{count:,}")]) for reason, count in reasons]
    return [Table(f"Rejected: {len(rejects):,}", [Head("Reason", numeric=False), Head("Inputs")], rows)]


def _balanced(clips: Sequence[Clip], count: int) -> list[Clip]:
    """At most `count` clips, labels in turn, so that few clips show many labels."""
    turns: Counter[int] = Counter()
    dealt = []
    for clip in clips:
        label = -1 if clip.info.label is None else clip.info.label
        dealt.append((turns[label], label, clip))
        turns[label] += 1
    return [clip for _, _, clip in sorted(dealt, key=lambda each: each[:2])[:count]]


def _from_parquet(folder: Folder, parts: Sequence[str], count: int) -> tuple[list[Sound], list[str]]:
    """The first `count` clips, and a line for each file that cannot be read. Clips with the same latent share a style."""
    sounds: list[Sound] = []
    styles: dict[str, str] = {}

    def visit(at: int, part: str) -> None:
        if len(sounds) >= count:
            return
        for batch in batches(folder, part, ("key", "label_name", "latent", "audio", "status"), rows=ROWS_WITH_AUDIO):
            for row in batch.to_pylist():
                audio = (row.get("audio") or {}).get("bytes")
                if row.get("status") == OK and audio:
                    style = styles.setdefault(repr(row.get("latent")), f"style {len(styles) + 1}")
                    sounds.append(Sound(str(row["key"]), audio, str(row.get("label_name") or ""), style))
            if len(sounds) >= count:
                return

    _, problems = over_parts(folder, parts, visit)
    shown = sounds[:count]
    shared = len({sound.style for sound in shown}) < len(shown)
    return shown if shared else [dataclasses.replace(sound, style="") for sound in shown], problems


def _grid(sounds: Sequence[Sound], note: str) -> list[Block]:
    """Rows by style, columns by label; where a style is not known, the next clip of every label makes a row."""
    labels = list(dict.fromkeys(sound.label for sound in sounds))
    if not 2 <= len(labels) <= MOST_GRID_COLUMNS:
        return [_loose(sounds, note)]
    if not sounds[0].style and len(sounds) > len(labels):  # whole rows only
        sounds = sounds[: len(sounds) // len(labels) * len(labels)]
    rows: dict[str, dict[str, Tile]] = {}
    turns: Counter[tuple[str, str]] = Counter()
    for sound in sounds:
        turns[sound.label, sound.style] += 1
        turn = turns[sound.label, sound.style]
        name = sound.style if sound.style and turn == 1 else f"{sound.style or 'clip'} {turn}"
        rows.setdefault(name, {})[sound.label] = tile(sound.label, sound.audio)
    shown = [(name, "", [row.get(label) or Tile(label, text="–") for label in labels]) for name, row in rows.items()]
    return [Clips("Clips", shown, len(labels), scrolls=True, note=note)]


def _loose(sounds: Sequence[Sound], note: str, signal: str = CLIP) -> Clips:
    """Clips or pictures one after the other."""
    return Clips(
        f"{signal.capitalize()}s",
        [("", "", [tile(sound.label or sound.key, sound.audio) for sound in sounds])],
        note=note,
    )


def _kind(run: Run) -> str:
    """`clip` or `picture`; what cannot be read is said by its blocks."""
    try:
        return kind_of(load_manifest(run.folder).format)
    except UserError:
        return CLIP


GENERATE = "generate"
SHARDS = Chapter(
    lambda run: f"Generated {_kind(run)}s" if run.stage == GENERATE else f"{_kind(run).capitalize()}s",
    lambda run: f"its counts and some {_kind(run)}s",
    lambda runs, labels, clips, seed: shards_blocks(runs[0].folder, clips, seed),
    told_by=lambda run: run.folder.exists(MANIFEST),
)
GENERATED = Chapter(
    lambda run: "Generated clips",
    lambda run: "its clips",
    lambda runs, labels, clips, seed: generated_blocks(runs[0].folder, runs[0].record, runs[0].parts, clips),
    told_by=lambda run: (
        run.stage == GENERATE or (not run.stage and (run.folder.exists(WAV) or bool(run.parts and run.about)))
    ),
)
