"""Chosen clips or pictures of inference runs, to look at and listen to: each beside its reconstructions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from invertone.cluster.errors import UserError
from invertone.cluster.formats.latents import OK
from invertone.cluster.formats.shards import Clip, ShardManifest, read_shard
from invertone.cluster.storage.folder import Folder
from invertone.eval.report.blocks import Block, Clips, Message, Score, Tile
from invertone.eval.report.chapters.methods import SHOWN, Method, Read, choosing, median_of
from invertone.eval.report.charts.picture import is_picture, picture
from invertone.eval.report.charts.scales import number
from invertone.eval.report.charts.spectrogram import DEPTH, player
from invertone.eval.report.choice import Pools, Scored, chosen
from invertone.eval.report.tally import (
    FIRST,
    ROWS_WITH_AUDIO,
    Measure,
    batches,
    heard_right,
    over_parts,
    scores,
    texts,
)


@dataclass(frozen=True)
class Reference:
    """What pictures of several sounds are drawn against: the level of the loudest bin in dB, and the top of waveforms. None:
    each sound's own."""

    loudest: float | None = None
    top: float | None = None


NO_REFERENCE = Reference()
CLIP = "clip"


def clips(
    read: Sequence[Read],
    manifest: ShardManifest | None,
    count: int,
    seed: int,
    ranges: Mapping[str, tuple[float, float]],
    signal: str,
) -> list[Block]:
    """Target and reconstructions of chosen clips or pictures (`signal`), each with its scores."""
    first = read[0]
    measure, median = choosing(ranges), median_of(first, ranges)
    if measure is None or median is None:
        return [Message(f"There is no scored row to choose {signal}s from.", problem=True)]
    pools = Pools(count, seed, median)

    def visit(at: int, part: str) -> None:
        for batch in batches(first.method.folder, part, ("key", "status", "label_name", measure.name)):
            errors = scores(batch, measure.name)
            good = np.isfinite(errors) & np.array([status == OK for status in texts(batch, "status")], dtype=bool)
            keys = [str(key) for key, is_good in zip(texts(batch, "key"), good, strict=True) if is_good]
            labels = [
                str(label or "") for label, is_good in zip(texts(batch, "label_name"), good, strict=True) if is_good
            ]
            pools.offer(Scored(keys, errors[good], at, labels))

    over_parts(first.method.folder, first.parts, visit)
    picked = chosen(pools, count)
    wanted: dict[str, set[str]] = {}
    for _, each in picked:
        wanted.setdefault(first.parts[each.part], set()).add(each.key)
    targets, problems = _targets(first.method, manifest, wanted)
    rows = {each.method.label: _rows(each, wanted) for each in read}
    shown = []
    for role, each in picked:
        own = {label: found.get(each.key) for label, found in rows.items()}
        shown.append(_shown(role, each.key, targets.get(each.key), own, manifest, signal))
    note = (
        f"Chosen by {measure.title} of {first.method.label}: its best, median and worst {signal}s, and some by chance (seed "
        f"{seed}), labels in turn."
    )
    if signal == CLIP:
        note += (
            f" Waveforms are drawn on the clip's scale. Brightness is level, {DEPTH:.0f} dB down from the clip's loudest, of "
            "stereo the mean power of both channels; frequency goes up to half the sample rate."
        )
    title = f"{signal.capitalize()}s"
    return [*(Message(each, problem=True) for each in problems), Clips(title, shown, 1 + len(read), note=note)]


def _targets(
    method: Method, manifest: ShardManifest | None, wanted: Mapping[str, set[str]]
) -> tuple[dict[str, Clip], list[str]]:
    """The clips of these keys by key, one shard in memory at a time; a shard that is damaged is a line."""
    if manifest is None:
        return {}, []
    entries = {entry.name: entry for entry in manifest.shards}
    clips: dict[str, Clip] = {}
    problems: list[str] = []
    for part, keys in wanted.items():
        entry = entries.get(f"{part.removesuffix('.parquet')}.tar")
        if entry is None:
            continue
        try:
            clips |= {
                clip.info.key: clip for clip in read_shard(Folder.at(method.shards), entry) if clip.info.key in keys
            }
        except (UserError, OSError) as error:
            problems.append(str(error))
    return clips, problems


def _rows(each: Read, wanted: Mapping[str, set[str]]) -> dict[str, dict[str, Any]]:
    """The rows of these keys, whole: every run names its parts as the shards."""
    found: dict[str, dict[str, Any]] = {}

    def visit(at: int, part: str) -> None:
        for batch in batches(each.method.folder, part, SHOWN, ROWS_WITH_AUDIO):
            keys = texts(batch, "key")
            found.update(
                {keys[i]: batch.slice(i, 1).to_pylist()[0] for i in range(len(keys)) if keys[i] in wanted[part]}
            )

    over_parts(each.method.folder, [part for part in each.parts if part in wanted], visit)
    return found


def _shown(
    role: str,
    key: str,
    target: Clip | None,
    rows: Mapping[str, dict[str, Any] | None],
    manifest: ShardManifest | None,
    signal: str,
) -> tuple[str, str, list[Tile]]:
    """One line of the comparison. The target's loudest bin and its peak are the reference of all its pictures."""
    label = target.info.label_name if target and target.info.label_name else ""
    title = "clip" if signal == CLIP else "target"
    first, reference = Tile(title, text="not at hand"), NO_REFERENCE
    if target is not None:
        first = tile(title, target.data, [Score("label", label)] if label else [], NO_REFERENCE)
        if first.player and first.player.wave:
            reference = Reference(first.player.loudest, first.player.wave.top)
    tiles = [first, *(_reconstruction(name, row, reference, manifest) for name, row in rows.items())]
    return role, key, tiles


def _reconstruction(
    name: str, row: Mapping[str, Any] | None, reference: Reference, manifest: ShardManifest | None
) -> Tile:
    if row is None:
        return Tile(name, text="no row")
    if row.get("status") != OK:
        return Tile(name, text=f"failed: {row.get('error')}")
    told = [_score(measure, row[measure.name]) for measure in FIRST if row.get(measure.name) is not None]
    predicted, taken = row.get("predicted_label"), "heard" if "spectrogram_mae" in row else "taken for"
    if predicted is not None:
        names = manifest.label_names if manifest else ()
        by_name = row.get("predicted_label_name")
        heard = by_name or (names[predicted] if 0 <= predicted < len(names) else str(predicted))
        label = row.get("label")
        right = None if label is None else heard_right(label, row.get("label_name"), predicted, by_name)
        told.append(Score(taken, heard, right))
    sound = (row.get("reconstruction") or {}).get("bytes")
    if sound is None:
        return Tile(name, scores=told, text="no reconstruction was kept")
    return tile(name, sound, told, reference)


def _score(measure: Measure, value: float) -> Score:
    short = {"spectrogram_mae": "MAE", "pixel_mae": "MAE", "feature_distance": "features"}
    if measure.name == "psnr":
        return Score("PSNR", f"{value:.2f} dB")
    return Score(short.get(measure.name, measure.title), format(value, ".4f") if abs(value) < 1e4 else number(value))


def tile(title: str, audio: bytes, told: Sequence[Score] = (), reference: Reference | None = None) -> Tile:
    """A sound with its spectrogram, or a picture; a text in its place if it cannot be read. reference: with its waveform too,
    on this scale."""
    if is_picture(audio):
        try:
            return Tile(title, scores=told, shown=picture(audio))
        except ValueError as error:
            return Tile(title, None, told, f"{error}")
    loudest, top = (reference.loudest, reference.top) if reference else (None, None)
    try:
        return Tile(title, player(audio, loudest, reference is not None, top), told)
    except ValueError as error:
        return Tile(title, None, told, f"{error}")
