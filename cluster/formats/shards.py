"""Contract 1: a shard is a WebDataset tar of clips or of pictures, a manifest lists every shard with count, bytes and sha256.

A clip is `{key}.flac` (or `.wav`) and `{key}.json`, a picture `{key}.png` and `{key}.json`. The same ones always give the same
bytes. Where both are meant, code says clips.
"""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
import re
import tarfile
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from invertone.cluster.errors import UserError, without_addresses
from invertone.cluster.formats.ledger import LIMIT
from invertone.cluster.formats.signals import ClipFormat, SignalFormat, clips_of, take_format
from invertone.cluster.formats.tar_members import files_of_tar
from invertone.cluster.storage.folder import Folder, content_digest
from invertone.cluster.storage.parquet import read_parquet

VERSION = 1
MANIFEST = "manifest.json"
REJECTS = "rejects.parquet"
WARNINGS = "warnings.parquet"
SPLITS = ("train", "validation", "test")
AUDIO_FORMATS, PICTURE_FORMATS = ("flac", "wav"), ("png",)
LEVELS = ("untouched", "peak")
REJECTS_SCHEMA = pa.schema([("source_uri", pa.string()), ("key", pa.string()), ("reason", pa.string())])
WARNINGS_SCHEMA = pa.schema(
    [("source_uri", pa.string()), ("key", pa.string()), ("warning", pa.string()), ("amount", pa.float64())]
)


@dataclass(frozen=True)
class ClipInfo:
    """What is known of a clip or picture besides itself. `start`, `length`: samples at the shard's rate, without padding, of
    clips alone. `latent`: what a generator made it from; float32 values, written exactly. `speaker`: of a picture, whose
    face it is.

    Of pictures alone: `source_height`, `source_width`, of the file in pixels, as it is looked at; `box`: left, top, width and
    height of what was cut out of it; `attributes`: what else is known, by name.
    """

    key: str
    split: str
    source_uri: str
    start: int = 0
    length: int = 0
    source_sample_rate: int = 0
    label: int | None = None
    label_name: str | None = None
    speaker: str | None = None
    gender: str | None = None
    pitch: int | None = None
    latent: tuple[float, ...] | None = None
    source_height: int | None = None
    source_width: int | None = None
    box: tuple[int, int, int, int] | None = None
    attributes: dict[str, float] | None = None

    def to_json(self) -> dict[str, Any]:
        """What stands in the shard: nothing of pictures with a clip, nor of clips with a picture; without `latent` where there
        is none."""
        left_out = OF_CLIPS if self.source_width is not None else ()
        return {
            name: value
            for name, value in vars(self).items()
            if name not in left_out and not (name in OF_SOME and value is None)
        }

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> ClipInfo:
        """Fields of newer versions are passed over. Raises TypeError, ValueError or AttributeError for what is none."""
        values = {name: value for name, value in values.items() if name in _INFO}
        if values.get("latent") is not None:
            values["latent"] = tuple(float(each) for each in values["latent"])
        if values.get("box") is not None:
            left, top, width, height = (int(each) for each in values["box"])
            values["box"] = (left, top, width, height)
        return ClipInfo(**values)


OF_CLIPS = ("start", "length", "source_sample_rate", "pitch")
OF_SOME = ("latent", "source_height", "source_width", "box", "attributes")
"""Fields that are left out of JSON: of clips, in a picture's; those that not all have, in that of those that don't."""
_INFO = {each.name for each in dataclasses.fields(ClipInfo)}


@dataclass(frozen=True)
class Clip:
    """A clip or picture as it lies in a shard: its description, and its file (`format` is flac, wav or png)."""

    info: ClipInfo
    data: bytes
    format: str


@dataclass(frozen=True)
class Reject:
    """An input that did not become a clip, and why."""

    source_uri: str
    key: str
    reason: str


@dataclass(frozen=True)
class Warned:
    """A recording that was taken, and what should be known of its clips: `warning`, and how much of it."""

    source_uri: str
    key: str
    warning: str
    amount: float


@dataclass(frozen=True)
class ShardEntry:
    name: str
    split: str
    count: int
    bytes: int
    sha256: str


def entry_of(work: Mapping[str, Any]) -> tuple[ShardEntry, int | None]:
    """A unit's work that is a shard: which, and how many of its clips, None for all."""
    values = dict(work)
    limit = values.pop(LIMIT, None)
    return ShardEntry(**values), limit


@dataclass(frozen=True)
class ShardManifest:
    """What a folder of shards holds. `digest` identifies its content whatever place it lies at."""

    corpus: str
    format: SignalFormat
    levels: str
    label_names: tuple[str, ...]
    shards: tuple[ShardEntry, ...]
    rejects: int = 0
    version: int = VERSION
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def clips(self) -> ClipFormat:
        """For what is of clips alone. Raises UserError where these are pictures."""
        return clips_of(self.format, f"shards of {self.corpus}")

    @property
    def digest(self) -> str:
        return content_digest(self.shards)

    def count(self, split: str | None = None) -> int:
        return sum(each.count for each in self.shards if split in (None, each.split))

    def of_splits(self, splits: Sequence[str]) -> list[ShardEntry]:
        return [each for each in self.shards if not splits or each.split in splits]

    def to_json(self) -> dict[str, Any]:
        values = dataclasses.asdict(self)
        del values["format"]
        return values | self.format.to_json()


_KEPT = re.compile(r"(?:[A-Za-z0-9_ !#$&'()+,;=\[\]{}^`~-]+/)*[A-Za-z0-9_ !#$&'()+,;=\[\]{}^`~-]+").fullmatch
"""Paths in which nothing is encoded, which most are."""


def clip_key(relative_path: str) -> str:
    """A WebDataset key for the audio file at `relative_path` (its extension is dropped), injective and without dots.

    WebDataset ends a key at the first dot, so dots are percent-encoded, as are `%` and `@`, which mark escapes and
    windows.
    """
    stem, dot, ending = relative_path.rpartition(".")
    if dot and "/" not in ending and _KEPT(stem) and not stem.startswith("__"):
        return stem
    folder, _, name = relative_path.rpartition("/")
    stem, dot, _ = name.rpartition(".")
    path = f"{folder}/{stem if dot and stem else name}" if folder else (stem if dot and stem else name)
    key = quote(path, safe="/ !#$&'()+,;=[]{}^`~-_").replace(".", "%2E")
    return f"%5F{key[1:]}" if key.startswith("__") else key  # WebDataset passes over files below a folder `__…__`


def window_key(key: str, start: int) -> str:
    """The key of the window that begins at sample `start` of the recording `key`; keys sort as the windows follow."""
    return f"{key}@{start:010d}"


def recording_of(key: str) -> tuple[str, bool]:
    """The recording that a clip's key names, and whether the clip is one of its windows; `@` stands in no other key of ours.

    >>> recording_of(window_key("a/b", 16_384)), recording_of("a/b")
    (('a/b', True), ('a/b', False))
    """
    recording, at, start = key.rpartition("@")
    return (recording, True) if at and len(start) >= 10 and start.isdecimal() else (key, False)


_described = json.JSONEncoder(sort_keys=True, ensure_ascii=False).encode


def write_shard(clips: Iterable[Clip]) -> bytes:
    """A WebDataset tar of `clips`, in their order. Times, owners and modes are constant: equal clips, equal bytes.

    Written and read without the webdataset package, which imports torch; no ingest worker needs that.
    """
    parts = list[bytes]()
    for clip in clips:
        signal, description = (clip.format, clip.data), ("json", _described(clip.info.to_json()).encode())
        for extension, data in sorted((signal, description)):
            parts += (_header(f"{clip.info.key}.{extension}", len(data)), data, bytes(-len(data) % tarfile.BLOCKSIZE))
    length = sum(map(len, parts)) + 2 * tarfile.BLOCKSIZE  # two empty blocks end a tar
    parts.append(bytes(2 * tarfile.BLOCKSIZE + -length % tarfile.RECORDSIZE))
    return b"".join(parts)


def _tar_header(name: str, size: int) -> bytes:
    """tarfile's own header of a file."""
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.uname, info.gname = size, 0o644, "invertone", "invertone"
    return info.tobuf()


_HEADER, _NAME_BYTES, _SIZE, _SUM = _tar_header("", 0), 100, slice(124, 136), slice(148, 156)
"""A header without name and size, and where it holds them and its checksum (POSIX.1-1988, ustar)."""
_HEADER_SUM = sum(_HEADER) - sum(_HEADER[_SUM]) - sum(_HEADER[_SIZE]) + 8 * ord(" ")


def _header(name: str, size: int) -> bytes:
    """What `_tar_header` gives, in a tenth of its time: of a usual name only the name, the size and the checksum differ."""
    if len(name) > _NAME_BYTES or not name.isascii() or size >= 8**11:
        return _tar_header(name, size)  # it takes more than one block
    encoded = name.encode()
    length = b"%011o\0" % size
    checksum = _HEADER_SUM + sum(encoded) + sum(length)
    start, until = _HEADER[_NAME_BYTES : _SIZE.start], _HEADER[_SIZE.stop : _SUM.start]
    return b"%b%b%b%b%06o\0 %b" % (
        encoded.ljust(_NAME_BYTES, b"\0"), start, length, until, checksum, _HEADER[_SUM.stop :]
    )  # fmt: skip


def rejects_parquet(rejects: Iterable[Reject]) -> bytes:
    """The rejects table, its rows in order."""
    ordered = sorted(rejects, key=lambda each: (each.source_uri, each.key, each.reason))
    columns = {name: [getattr(each, name) for each in ordered] for name in REJECTS_SCHEMA.names}
    columns["reason"] = [without_addresses(reason) for reason in columns["reason"]]
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns, schema=REJECTS_SCHEMA), buffer, compression="zstd")
    return buffer.getvalue()


def read_rejects(folder: Folder, name: str = REJECTS) -> list[Reject]:
    return [Reject(**row) for row in read_parquet(folder.read_bytes(name)).to_pylist()]


def warnings_parquet(warnings: Iterable[Warned]) -> bytes:
    """The warnings table, its rows in order."""
    ordered = sorted(warnings, key=lambda each: (each.source_uri, each.key, each.warning))
    columns = {name: [getattr(each, name) for each in ordered] for name in WARNINGS_SCHEMA.names}
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns, schema=WARNINGS_SCHEMA), buffer, compression="zstd")
    return buffer.getvalue()


def read_warnings(folder: Folder, name: str = WARNINGS) -> list[Warned]:
    return [Warned(**row) for row in read_parquet(folder.read_bytes(name)).to_pylist()]


def read_shard(
    folder: Folder, entry: ShardEntry, limit: int | None = None, keys: Container[str] | None = None
) -> Iterator[Clip]:
    """The clips of one shard, or its first `limit`, or those of `keys`, verified against the manifest before the first is given
    out.

    Raises UserError where the file is missing, cut short, swapped or altered.
    """
    data = folder.read_verified(entry.name, entry.bytes, entry.sha256, "ingest it again")
    yield from itertools.islice(parse_shard(data, folder.path_of(entry.name), keys), limit)


def parse_shard(data: bytes, where: str = "shard", keys: Container[str] | None = None) -> Iterator[Clip]:
    try:
        for sample in _samples(data, keys):
            present = next(each for each in (*AUDIO_FORMATS, *PICTURE_FORMATS) if each in sample)
            yield Clip(ClipInfo.from_json(json.loads(sample["json"])), sample[present], present)
    except (tarfile.TarError, KeyError, StopIteration, TypeError, AttributeError, ValueError) as error:
        raise UserError(f"not a shard of ours: {error}", where=where, fix="ingest it again") from error


def _samples(data: bytes, keys: Container[str] | None) -> Iterator[dict[str, bytes]]:
    """Neighbouring files with one key, of all or of these, by extension: a key ends at the first dot of the file's name."""
    files = ((*_key_and_extension(name), content) for name, content in files_of_tar(data))
    for key, group in itertools.groupby(files, key=lambda each: each[0]):
        if keys is not None and key not in keys:
            continue
        sample: dict[str, bytes] = {}
        for _, extension, content in group:
            if extension in sample:
                raise ValueError(f"{key}.{extension} occurs twice")
            sample[extension] = content
        yield sample


def _key_and_extension(name: str) -> tuple[str, str]:
    folder, slash, file = name.rpartition("/")
    stem, _, extension = file.partition(".")
    return f"{folder}{slash}{stem}", extension


def load_manifest(folder: Folder) -> ShardManifest:
    """The manifest of a folder of shards. Raises UserError where there is none or it is of another version."""
    try:
        values = folder.read_json(MANIFEST)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            "no shards here (no manifest.json)", where=folder.uri, fix="make some with `invertone ingest`"
        ) from None
    except ValueError as error:
        raise UserError(
            f"manifest.json is damaged: {error}", where=folder.uri, fix="run the same ingest again"
        ) from None
    if not isinstance(values, dict) or values.get("version") != VERSION:
        raise UserError(
            f"manifest.json is not of version {VERSION}", where=folder.uri, fix="ingest again with this version"
        )
    try:
        values["shards"] = tuple(ShardEntry(**each) for each in values["shards"])
        values["label_names"] = tuple(values["label_names"])
        found, others = take_format(values)
        return ShardManifest(format=found, **others)
    except (TypeError, KeyError) as error:
        raise UserError(
            f"manifest.json is damaged: {error}", where=folder.uri, fix="run the same ingest again"
        ) from None
