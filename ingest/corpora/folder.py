"""Any tree of audio (or, in pictures.py, of pictures): the label from the folder's name or from a pattern in the path."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from invertone.audio.recording.recording import extension
from invertone.cluster.config.schema import key
from invertone.cluster.errors import UserError
from invertone.cluster.formats.shards import SPLITS
from invertone.ingest.corpora.columns import NONE
from invertone.ingest.corpora.described import Descriptions, Said, described
from invertone.ingest.corpora.entry import (
    SPLIT_NAMES,
    Attributes,
    Entry,
    Finding,
    Noted,
    Passed,
    Reader,
    ReadFile,
    Unusable,
    assigned,
)
from invertone.ingest.corpora.inputs import RECORDINGS, Inputs
from invertone.ingest.corpora.keys import IngestConfig
from invertone.ingest.sources.kinds import ARCHIVES, stem

_ARCHIVE = re.compile(f"({'|'.join(map(re.escape, ARCHIVES))})!$", re.IGNORECASE)


@dataclass(frozen=True)
class TreeConfig:
    """Keys of any tree."""

    label_from: str = key("folder", "where a label comes from", choices=("folder", "pattern", "none"))
    pattern: str = key(
        "", "regular expression searched in the relative path; its groups `label`, `speaker` and `split` are taken"
    )
    labels: list[str] = key(
        [],
        "tables that describe the files (.csv, .tsv, .jsonl, .json, .parquet), inside the source or anywhere: "
        "what has no row is left out",
    )
    path_column: str = key("", "the tables' column that names files; empty means the first that is called so")
    label_column: str = key("", "the one of labels; empty as above, none leaves them to label_from")
    speaker_column: str = key("", "the one of speakers; empty as above, none means there is none")
    split_column: str = key(
        "", "the one of splits or folds; empty: one called so that holds names of splits; none: none"
    )
    validation_values: list[str] = key([], "values of split_column that are the validation split, for example [4]")
    test_values: list[str] = key([], "values of split_column that are the test split; all others are for training")


@dataclass(frozen=True)
class FolderConfig(TreeConfig, IngestConfig):
    """Any tree of audio."""


class AnyTree(Protocol):
    """The keys that `tree` reads."""

    @property
    def source(self) -> str: ...
    @property
    def split(self) -> str: ...
    @property
    def label_from(self) -> str: ...
    @property
    def pattern(self) -> str: ...
    @property
    def labels(self) -> list[str]: ...
    @property
    def path_column(self) -> str: ...
    @property
    def label_column(self) -> str: ...
    @property
    def speaker_column(self) -> str: ...
    @property
    def split_column(self) -> str: ...
    @property
    def validation_values(self) -> list[str]: ...
    @property
    def test_values(self) -> list[str]: ...


def folder(names: Sequence[str], read: ReadFile, config: FolderConfig) -> Iterator[Finding]:
    """Any tree of audio; see `tree`."""
    return tree(names, read, config, RECORDINGS)


def tree(
    names: Sequence[str], read: ReadFile, config: AnyTree, inputs: Inputs, attributes: Sequence[str] = ()
) -> Iterator[Finding]:
    """Labels are numbered in alphabetical order, numbers by their value. Splits are the corpus's own: of the tables that
    describe it, else of the pattern's group `split`, else of the folders named as splits above the labels; else, or with
    split=hash, speakers (else files) are split by hash.

    Of pictures the pattern's groups `identity` (which is the speaker) and `gender` are taken as well, and a label is whose face
    it is where nothing else says so. attributes: columns of the tables.

    Raises UserError where the group `split` matches what is no split's name, and as `described` does.
    """
    pattern = _compiled(config)
    tables = None
    if config.labels:
        tables = described(
            config, names, [name for name in names if extension(name) in inputs.endings], read, inputs, attributes
        )
    if tables is not None:
        yield from tables.findings
    files: list[_File] = []
    for name in names:
        if tables is not None and name in tables.members:
            yield Passed(name)
            continue
        if extension(name) not in inputs.endings:
            yield Unusable(
                name, f"wrong extension: .{extension(name) or '(none)'} is no {inputs.medium} format known here"
            )
            continue
        groups = {}
        if pattern is not None:
            match = pattern.search(name)
            if match is None:
                yield Unusable(name, "the pattern does not match its path")
                continue
            groups = match.groupdict()
        said = tables.rows.get(name) if tables is not None else _NOTHING
        if said is None:
            yield Unusable(name, "not described: no row of the tables names it")
            continue
        label = _label(config, name, groups, tables, said)
        speaker, gender = said.speaker or groups.get("speaker"), None
        if inputs is not RECORDINGS:
            speaker, gender = speaker or groups.get("identity"), (groups.get("gender") or "").upper() or None
        files.append(_File(name, label, speaker, said.split or groups.get("split"), gender, said.attributes))
    by_folder = tables is None and config.label_from == "folder"
    if by_folder and config.split == "official" and _only_splits(each.label for each in files):
        # folders named as splits and none below: they say nothing of what is heard
        files = [each._replace(label=None) for each in files]
    own = dict[str, str]()
    if config.split == "official":
        if tables is not None and tables.split:
            own = {each.name: each.split for each in files if each.split}
            yield from _without_split(own, len(files), inputs)
        elif pattern is not None and "split" in pattern.groupindex:
            own = {each.name: _named(each.split, each.name) for each in files if each.split}
        else:
            labelled = tables is None or not tables.labelled
            own = _splits_of_folders([(each.name, labelled and bool(each.label)) for each in files])
            if own:
                yield Noted(_told(own, len(files)))
    labels = {label: number for number, label in enumerate(in_order({each.label for each in files if each.label}))}
    for each in files:
        identity = None if inputs is RECORDINGS else each.label
        split = own.get(each.name) or assigned(config.split, each.name, each.speaker, identity)
        number = labels[each.label] if each.label else None
        yield Entry(
            each.name,
            readable(each.name),
            split,
            number,
            each.label,
            each.speaker or identity,
            each.gender,
            attributes=each.attributes,
        )


class _File(NamedTuple):
    """What is known of a recording so far."""

    name: str
    label: str | None
    speaker: str | None
    split: str | None
    gender: str | None
    attributes: Attributes | None


_NOTHING = Said(None, None, None)


def _label(
    config: AnyTree, name: str, groups: Mapping[str, str | None], tables: Descriptions | None, said: Said
) -> str | None:
    """Of the tables' column, if they have one. A folder is none where tables describe what lies in it, unless they are told
    to leave labels alone."""
    if tables is not None and tables.labelled:
        return said.label
    if config.label_from == "pattern":
        return groups.get("label")
    by_folder = config.label_from == "folder" and (tables is None or config.label_column == NONE)
    return _parent(name) if by_folder else None


def _without_split(own: Mapping[str, str], files: int, inputs: Inputs) -> Iterator[Finding]:
    if len(own) < files:
        yield Noted(f"{files - len(own):,} {inputs.many} have a row without a split: they are split by hash")


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
    folders = [(name.rpartition("/")[0], labelled) for name, labelled in files]  # far fewer than files
    counts = Counter(folders)
    above = {each: readable(f"{each[0]}/x" if each[0] else "x").split("/")[: -2 if each[1] else -1] for each in counts}
    for depth in range(max(map(len, above.values()), default=0)):
        at = {each: parts[depth].lower() for each, parts in above.items() if len(parts) > depth}
        found = {each: SPLIT_NAMES[part] for each, part in at.items() if part in SPLIT_NAMES}
        if len(set(found.values())) > 1 or (found and sum(counts[each] for each in found) == len(files)):
            return {name: found[each] for (name, _), each in zip(files, folders, strict=True) if each in found}
    return {}


def _told(own: dict[str, str], files: int) -> str:
    counts = Counter(own.values())
    splits = ", ".join(f"{counts[split]:,} {split}" for split in SPLITS if counts[split])
    rest = f"; {files - len(own):,} files outside them are split by hash" if files > len(own) else ""
    return f"splits are those of the folders ({splits}){rest}; split=hash makes others"


def _parent(name: str) -> str | None:
    return _last(name.rpartition("/")[0])


@functools.lru_cache(maxsize=1_024)
def _last(folders: str) -> str | None:
    """The last of folders, unless it is an archive. Files of one folder follow each other."""
    last = folders.rpartition("/")[2]
    return None if _is_archive(last) else last or None


def readable(path: str) -> str:
    """Without the ending of an archive that tells its recordings from another's: `000001.tar!/7.wav` is 000001/7.wav."""
    if "!/" not in path:
        return path
    archive, slash, rest = path.partition("/")
    return f"{stem(archive[:-1])}{slash}{rest}" if _is_archive(archive) else path


def _is_archive(part: str) -> bool:
    """Whether a path's part is the name of an archive, put before what it holds."""
    return part.endswith("!") and _ARCHIVE.search(part) is not None


def _compiled(config: AnyTree) -> re.Pattern[str] | None:
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
