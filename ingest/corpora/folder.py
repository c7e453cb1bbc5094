"""Any tree of audio: the label from the folder's name or from a pattern in the path."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from invertone.audio.recording.recording import EXTENSIONS, extension
from invertone.cluster.config.schema import key
from invertone.cluster.errors import UserError
from invertone.cluster.formats.shards import SPLITS
from invertone.ingest.corpora.entry import SPLIT_NAMES, Entry, Finding, Noted, Reader, ReadFile, Unusable, hash_split
from invertone.ingest.corpora.keys import IngestConfig
from invertone.ingest.sources.kinds import ARCHIVES, stem

_ARCHIVE = re.compile(f"({'|'.join(map(re.escape, ARCHIVES))})!$", re.IGNORECASE)


@dataclass(frozen=True)
class FolderConfig(IngestConfig):
    """Any tree of audio."""

    label_from: str = key("folder", "where a clip's label comes from", choices=("folder", "pattern", "none"))
    pattern: str = key(
        "", "regular expression searched in the relative path; its groups `label`, `speaker` and `split` are taken"
    )


def folder(names: Sequence[str], read: ReadFile, config: FolderConfig) -> Iterator[Finding]:
    """Labels are numbered in alphabetical order, numbers by their value. Splits are the tree's own: of the pattern's group
    `split`, else of the folders named as splits above the labels; else, or with split=hash, speakers (else files) are split
    by hash.

    Raises UserError where the group `split` matches what is no split's name.
    """
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
    if (
        config.label_from == "folder"
        and config.split == "official"
        and _only_splits(label for _, label, _, _ in described)
    ):
        # folders named as splits and none below: they say nothing of what is heard
        described = [(name, None, speaker, split) for name, _, speaker, split in described]
    labels = {label: number for number, label in enumerate(in_order({label for _, label, _, _ in described if label}))}
    own = {}
    if config.split == "official":
        if pattern is not None and "split" in pattern.groupindex:
            own = {name: _named(split, name) for name, _, _, split in described if split}
        else:
            own = _splits_of_folders([(name, bool(label)) for name, label, _, _ in described])
            if own:
                yield Noted(_told(own, len(described)))
    for name, label, speaker, _ in described:
        chosen = own.get(name) or hash_split(speaker or name)
        yield Entry(name, _readable(name), chosen, labels.get(label) if label else None, label, speaker)


def in_order(labels: Iterable[str]) -> list[str]:
    """Numbers by their value where all are numbers, else alphabetical."""
    labels = sorted(labels)
    return sorted(labels, key=int) if all(re.fullmatch("[0-9]{1,18}", label) for label in labels) else labels


def _named(split: str, name: str) -> str:
    if split.lower() not in SPLIT_NAMES:
        raise UserError(
            f"the pattern's group split says {split!r}, which names no split",
            where=name,
            fix=f"let it match one of {', '.join(SPLIT_NAMES)}, or leave the corpus's own split away by split=hash",
        )
    return SPLIT_NAMES[split.lower()]


def _only_splits(labels: Iterable[str | None]) -> bool:
    found = {label.lower() if label else "" for label in labels}
    return found <= SPLIT_NAMES.keys() and len({SPLIT_NAMES[each] for each in found}) > 1


def _splits_of_folders(files: Sequence[tuple[str, bool]]) -> dict[str, str]:
    """The split of each file below a folder that is named as one. Of each its name, and whether its own folder is its label.

    They are a corpus's splits where they lie at one depth and there are two of them or nothing else: a class may be
    called `test` as well.
    """
    above = {name: _readable(name).split("/")[: -2 if labelled else -1] for name, labelled in files}
    for depth in range(max(map(len, above.values()), default=0)):
        at = {name: folders[depth] for name, folders in above.items() if len(folders) > depth}
        found = {name: SPLIT_NAMES[each.lower()] for name, each in at.items() if each.lower() in SPLIT_NAMES}
        if len(set(found.values())) > 1 or (found and len(found) == len(files)):
            return found
    return {}


def _told(own: dict[str, str], files: int) -> str:
    counts = Counter(own.values())
    splits = ", ".join(f"{counts[split]:,} {split}" for split in SPLITS if counts[split])
    rest = f"; {files - len(own):,} files outside them are split by hash" if files > len(own) else ""
    return f"splits are those of the folders ({splits}){rest}; split=hash makes others"


def _parent(name: str) -> str | None:
    *_, folder, _ = ["", *name.split("/")]
    return None if _ARCHIVE.search(folder) else folder or None


def _readable(path: str) -> str:
    """Without the ending of an archive that tells its recordings from another's: `000001.tar!/7.wav` is 000001/7.wav."""
    archive, slash, rest = path.partition("/")
    return f"{stem(archive[:-1])}{slash}{rest}" if _ARCHIVE.search(archive) else path


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


READER = Reader(folder)
