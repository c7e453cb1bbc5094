"""Any tree of audio: the label from the folder's name or from a pattern in the path."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from audio.recording import EXTENSIONS, extension
from cluster.errors import UserError
from cluster.shards import SPLITS
from ingest.config import FolderConfig
from ingest.corpora.entry import Entry, Finding, ReadFile, Unusable, hash_split

_SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "valid": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}


def folder(names: Sequence[str], read: ReadFile, config: FolderConfig) -> Iterator[Finding]:
    """Labels are numbered in alphabetical order. Without a `split` group, speakers (else files) are split by hash."""
    pattern = _compiled(config)
    described: list[tuple[str, str | None, str | None, str | None]] = []
    for name in names:
        if extension(name) not in EXTENSIONS:
            yield Unusable(name, f"wrong extension: .{extension(name) or '(none)'} is no audio format known here")
            continue
        groups = {}
        if pattern is not None:
            match = pattern.search(name)
            if match is None:
                yield Unusable(name, "the pattern does not match its path")
                continue
            groups = match.groupdict()
        label = (
            groups.get("label")
            if config.label_from == "pattern"
            else _parent(name)
            if config.label_from == "folder"
            else None
        )
        described.append((name, label, groups.get("speaker"), groups.get("split")))
    labels = {label: number for number, label in enumerate(sorted({label for _, label, _, _ in described if label}))}
    for name, label, speaker, split in described:
        known = _SPLIT_NAMES.get(split.lower(), split.lower()) if split else None
        chosen = known if known in SPLITS and config.split == "official" else hash_split(speaker or name)
        yield Entry(name, name, chosen, labels.get(label) if label else None, label, speaker)


def _parent(name: str) -> str | None:
    return name.split("/")[-2] if "/" in name else None


def _compiled(config: FolderConfig) -> re.Pattern[str] | None:
    if not config.pattern:
        if config.label_from == "pattern":
            raise UserError("label_from=pattern without a pattern", fix="add pattern='(?P<label>[^/_]+)_'")
        return None
    try:
        pattern = re.compile(config.pattern)
    except re.error as error:
        raise UserError(f"pattern is no regular expression: {error}", fix="mend it") from None
    if config.label_from == "pattern" and "label" not in pattern.groupindex:
        raise UserError("pattern has no group named label", fix="write (?P<label>…) into it")
    return pattern
