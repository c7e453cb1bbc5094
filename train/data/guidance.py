"""Guidance: the few clips whose labels a semi-supervised training may know. No label of any other clip is read in training.

Choosing a balanced subset takes a look at all labels once, as an annotator would; the choice is written to `guidance.json`, and
training knows labels from there only.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from invertone.cluster.errors import UserError
from invertone.cluster.formats.shards import ShardManifest, read_shard
from invertone.cluster.formats.trainings import GUIDANCE, Guidance, GuidedClip, read_guidance
from invertone.cluster.storage.folder import Folder
from invertone.train.data.clips import Part
from invertone.train.schemas.spectrogram_gan import GuidanceConfig


def parts_of(guidance: Guidance, manifest: ShardManifest) -> list[Part]:
    """The guided clips, as parts of the shards they lie in."""
    chosen: dict[str, list[int]] = {}
    for clip in guidance.clips:
        chosen.setdefault(clip.shard, []).append(clip.index)
    entries = {entry.name: entry for entry in manifest.shards}
    return [Part(entries[name], 0, entries[name].count, tuple(sorted(at))) for name, at in sorted(chosen.items())]


def rest_of(parts: Sequence[Part], guidance: Guidance) -> list[Part]:
    """`parts` without the guided clips; all of them where nothing else is left."""
    guided = {(clip.shard, clip.index) for clip in guidance.clips}
    rest = []
    for part in parts:
        indices = range(part.first, part.last) if part.only is None else part.only
        only = tuple(index for index in indices if (part.entry.name, index) not in guided)
        if only:
            rest.append(part if len(only) == part.count else dataclasses.replace(part, only=only))
    return rest or list(parts)


def guidance_of(
    config: GuidanceConfig, folder: Folder, manifest: ShardManifest, parts: Sequence[Part], out: Folder, write: bool
) -> Guidance:
    """The guidance that a run in `out` has, chosen now from `parts` of the shards in `folder` where it has none yet."""
    asked = {name: value for name, value in dataclasses.asdict(config).items() if name != "shards"}
    asked["digest"] = manifest.digest
    known = read_guidance(out)
    if known is None:
        guidance = choose(config, folder, manifest, parts, asked)
        if write:
            guidance.publish(out)
        return guidance
    if _whole(known.asked) != asked:
        raise UserError(
            "the run's guidance was chosen otherwise",
            where=out.path_of(GUIDANCE),
            fix="give a new out, or the same keys",
        )
    return known


def _whole(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What an older version asked for, with the keys that it did not have yet."""
    defaults = {name: value for name, value in dataclasses.asdict(GuidanceConfig()).items() if name != "shards"}
    return {**defaults, **asked}


def choose(
    config: GuidanceConfig, folder: Folder, manifest: ShardManifest, parts: Sequence[Part], asked: dict[str, Any]
) -> Guidance:
    """`fraction` of all labelled clips: equally many of every label (one with fewer gives all it has), or drawn at random from
    all, as in V-A1 of the paper; or all clips of `speakers` speakers per label. Which ones depends on seed and key alone,
    so that a smaller fraction is part of a larger one."""
    names = manifest.label_names
    labelled = [
        GuidedClip(part.entry.name, index, clip.info.key, clip.info.label, clip.info.speaker)
        for part in parts
        for index, clip in enumerate(read_shard(folder, part.entry))
        if part.first <= index < part.last and clip.info.label is not None
    ]
    if config.draw == "random" and config.speakers is None:
        kept = _drawn(labelled, config, max(1, round(config.fraction * len(labelled))))
    else:
        kept = [
            clip
            for label in range(len(names))
            for clip in _some([each for each in labelled if each.label == label], config, len(labelled), len(names))
        ]
    missing = sorted(set(range(len(names))) - {clip.label for clip in kept})
    if missing or len(names) < 2:
        what = f"no clip is labelled {names[missing[0]]}" if missing else "the clips have fewer than two labels"
        fix = "choose other splits or guidance.shards"
        if missing and config.draw == "random" and config.fraction < 1:
            fix = "give another guidance.seed, a larger guidance.fraction, or guidance.draw=stratified"
        raise UserError(f"guidance: {what}", where=folder.uri, fix=fix)
    return Guidance(names, tuple(kept), asked)


def _some(clips: list[GuidedClip], config: GuidanceConfig, total: int, labels: int) -> list[GuidedClip]:
    """Those of one label that are chosen."""
    if config.speakers is not None:
        speakers = sorted({clip.speaker or "" for clip in clips}, key=lambda each: _rank(config.seed, each))
        chosen = set(speakers[: config.speakers])
        return [clip for clip in clips if (clip.speaker or "") in chosen]
    count = len(clips) if config.fraction == 1.0 else max(1, round(config.fraction * total / labels))
    return _drawn(clips, config, count)


def _drawn(clips: list[GuidedClip], config: GuidanceConfig, count: int) -> list[GuidedClip]:
    """`count` of them, in their order."""
    chosen = set(sorted((clip.key for clip in clips), key=lambda each: _rank(config.seed, each))[:count])
    return [clip for clip in clips if clip.key in chosen]


def _rank(seed: int, key: str) -> str:
    return hashlib.sha256(f"{seed}:{key}".encode()).hexdigest()
