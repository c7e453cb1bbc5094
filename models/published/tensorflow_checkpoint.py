"""TensorFlow's checkpoints (the "tensor bundle" of TensorFlow 1 and 2), read without TensorFlow.

`model.ckpt-7.index` is a LevelDB table from variable names to messages that say type, shape, place and checksum; under the
empty name it says how many data files there are. `model.ckpt-7.data-00000-of-00001` holds the numbers of one variable after
the other.
Formats: TensorFlow's tensor_bundle.proto, tensor_shape.proto, types.proto. Nothing is executed, everything is verified.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from invertone.cluster.errors import UserError
from invertone.cluster.storage.addresses import absolute, is_remote
from invertone.cluster.storage.folder import Folder, content_digest
from invertone.models.published import leveldb_table
from invertone.models.published.leveldb_table import DamagedError, masked_crc32c, varint

STATE = "checkpoint"
LARGEST_INDEX = 2**24
"""Bytes; a hundred thousand variables need less."""

MOST_DIMENSIONS = 8
_TYPES = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8"}
_NAMES = {0: "no type", 7: "string", 10: "bool", 14: "bfloat16", 19: "float16"}
_CHUNK = 2**22
_FIX = "give a whole checkpoint of TensorFlow, format V2"


@dataclass(frozen=True)
class Variable:
    """Where a variable's numbers lie. size and offset: bytes in data file `shard`. dtype: TensorFlow's number for it."""

    name: str
    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc32c: int


@dataclass(frozen=True)
class _File:
    name: str
    sha256: str


@dataclass(frozen=True)
class TensorflowCheckpoint:
    """An opened checkpoint: what its index says, and its numbers on demand."""

    folder: Folder
    prefix: str
    shards: int
    variables: Mapping[str, Variable]

    @property
    def uri(self) -> str:
        return self.folder.path_of(self.prefix)

    def read(self, name: str) -> npt.NDArray[np.generic]:
        """The variable `name` of `variables`, row-major. Raises UserError where its bytes are missing, wrong or strange."""
        variable = self.variables[name]
        kind = _TYPES.get(variable.dtype)
        if kind is None:
            found = _NAMES.get(variable.dtype, f"type {variable.dtype}")
            raise UserError(f"{name} holds {found}, not plain numbers", where=self.uri, fix=_FIX)
        expected = math.prod(variable.shape) * np.dtype(kind).itemsize
        if variable.size != expected:
            raise _broken(self.uri, f"{name} has {variable.size:,} bytes, its shape needs {expected:,}")
        data = self._bytes(variable)
        if masked_crc32c(data) != variable.crc32c:
            raise _broken(self._data(variable.shard)[1], f"{name} differs from its checksum")
        return np.frombuffer(data, kind).reshape(variable.shape)

    def digest(self) -> str:
        """Identifies the content of all its files, whatever their prefix and place; reads every byte once."""
        used = sorted({each.shard for each in self.variables.values()})
        names = {"index": f"{self.prefix}.index"} | {f"data-{each}": self._data(each)[0] for each in used}
        return content_digest(_File(role, self._sha256(name)) for role, name in names.items())

    def check_files(self) -> None:
        """Raises UserError where a data file is missing or too short for what the index says of it."""
        ends: dict[int, int] = {}
        for each in self.variables.values():
            ends[each.shard] = max(ends.get(each.shard, 0), each.offset + each.size)
        present = set(self.folder.names())
        for shard, end in sorted(ends.items()):
            name, where = self._data(shard)
            if name not in present:
                raise UserError("data file is missing", where=where, fix="copy it beside the .index file")
            size = self.folder.size(name)
            if size < end:
                raise _broken(where, f"is cut short: {size:,} bytes of at least {end:,}")

    def _bytes(self, variable: Variable) -> bytes:
        name, where = self._data(variable.shard)
        with self.folder.open(name) as file:
            file.seek(variable.offset)
            data = file.read(variable.size)  # no more than the file has: see `check_files`
        if len(data) != variable.size:
            raise _broken(where, f"is cut short: {variable.name} ends beyond it")
        return data

    def _data(self, shard: int) -> tuple[str, str]:
        """Name and address of a data file."""
        name = f"{self.prefix}.data-{shard:05d}-of-{self.shards:05d}"
        return name, self.folder.path_of(name)

    def _sha256(self, name: str) -> str:
        whole = hashlib.sha256()
        with self.folder.open(name) as file:
            while chunk := file.read(_CHUNK):
                whole.update(chunk)
        return whole.hexdigest()


def open_checkpoint(uri: str) -> TensorflowCheckpoint:
    """The checkpoint that `uri` means: its prefix (`…/model.ckpt-7`), its `.index` file, or a folder with one checkpoint
    or a `checkpoint` file that names the latest. Raises UserError for anything else, and for a damaged one."""
    folder, prefix = _find(uri)
    name = f"{prefix}.index"
    where = folder.path_of(name)
    if folder.size(name) > LARGEST_INDEX:
        raise _broken(where, f"is larger than {LARGEST_INDEX // 2**20} MB")
    try:
        shards, variables = _parse_index(folder.read_bytes(name))
    except DamagedError as error:
        raise _broken(where, str(error)) from None
    checkpoint = TensorflowCheckpoint(folder, prefix, shards, variables)
    checkpoint.check_files()
    return checkpoint


def _broken(where: str, what: str) -> UserError:
    return UserError(f"not readable as a checkpoint of TensorFlow: {what}", where=where, fix=_FIX)


def _find(uri: str) -> tuple[Folder, str]:
    """Folder and prefix of the checkpoint that `uri` means."""
    uri = absolute(uri)
    folder, name = _parent(uri)
    names = folder.names() if name else []
    if name.endswith(".index") and name in names:
        return folder, name.removesuffix(".index")
    if f"{name}.index" in names:
        return folder, name
    if name in names:
        raise _no_checkpoint(folder, name)
    here = Folder(uri)
    inside = here.names()
    if inside or here.folders():
        return here, _only(here, inside)
    if any(each.startswith(f"{name}.data-") for each in names):
        raise UserError("its .index file is missing", where=uri, fix="copy it beside the data file")
    raise UserError("no checkpoint of TensorFlow here", where=uri, fix="give the part of the name before .index")


def _parent(uri: str) -> tuple[Folder, str]:
    """The folder that holds `uri`, and the last part of its name; no name for a bucket itself."""
    if not is_remote(uri):
        return Folder(str(Path(uri).parent)), Path(uri).name
    head, _, name = uri.rpartition("/")
    return (Folder(uri), "") if head.endswith("/") else (Folder(head), name)


def _no_checkpoint(folder: Folder, name: str) -> UserError:
    """What to say of a file that was given in place of a checkpoint."""
    where = folder.path_of(name)
    if name.endswith(".meta"):
        return UserError(
            "holds a graph, not weights", where=where, fix=f"give the checkpoint: {name.removesuffix('.meta')}"
        )
    if re.search(r"\.data-\d{5}-of-\d{5}$", name):
        return UserError("its .index file is missing", where=where, fix="copy it beside the data file")
    with folder.open(name) as file:
        file.seek(max(0, folder.size(name) - leveldb_table.FOOTER_BYTES))
        table = leveldb_table.has_magic(file.read(leveldb_table.FOOTER_BYTES))
    if table:
        return UserError(
            "a checkpoint of TensorFlow's format V1, which is not read here",
            where=where,
            fix="restore it and save it again with `tf.train.Saver(write_version=tf.train.SaverDef.V2)`",
        )
    return UserError("no checkpoint of TensorFlow", where=where, fix="give the part of the name before .index")


def _only(folder: Folder, names: list[str]) -> str:
    """The prefix of a folder's one checkpoint, or of the latest by the file `checkpoint`."""
    prefixes = [each.removesuffix(".index") for each in names if each.endswith(".index")]
    if STATE in names:
        if folder.size(STATE) > LARGEST_INDEX:
            raise _broken(folder.path_of(STATE), "is too large")
        text = folder.read_bytes(STATE).decode(errors="replace")
        named = re.search(r'^\s*model_checkpoint_path:\s*"(.*)"\s*$', text, re.MULTILINE)
        # Its folder is that of the machine which trained: only the last part means something here.
        latest = re.split(r"[/\\]", named[1])[-1] if named else ""
        if latest in prefixes:
            return latest
        if latest in names:
            raise _no_checkpoint(folder, latest)
        what = f"names {latest!r}, which is not here" if latest else "names no checkpoint"
        raise UserError(what, where=folder.path_of(STATE), fix="give the checkpoint itself, without .index")
    if len(prefixes) == 1:
        return prefixes[0]
    if prefixes:
        listed = ", ".join(prefixes[:3]) + ", …" * (len(prefixes) > 3)
        raise UserError(f"holds {len(prefixes)} checkpoints: {listed}", where=folder.uri, fix="give one of them")
    raise UserError("no checkpoint of TensorFlow in this folder", where=folder.uri, fix="give one with an .index file")


def _parse_index(data: bytes) -> tuple[int, dict[str, Variable]]:
    """The number of data files, and every variable. Raises DamagedError."""
    shards, variables = None, {}
    for key, value in leveldb_table.entries(data):
        if not key:
            shards = _parse_header(value)
            continue
        if shards is None:
            raise DamagedError("says nothing of its data files")
        if key.startswith(b"\0"):  # a slice; the variable it belongs to has an entry of its own
            continue
        name = key.decode(errors="replace")
        if not name.isprintable() or "\N{REPLACEMENT CHARACTER}" in name:
            raise DamagedError("a variable's name is no text")
        variables[name] = _parse_variable(name, value, shards)
    if shards is None:
        raise DamagedError("says nothing of its data files")
    return shards, variables


def _parse_header(message: bytes) -> int:
    """BundleHeaderProto: the number of data files."""
    numbers = {number: value for number, value in _fields(message) if isinstance(value, int)}
    if numbers.get(2, 0):
        raise DamagedError("its numbers are big-endian")
    shards = numbers.get(1, 0)
    if not 1 <= shards < 100_000:
        raise DamagedError(f"{shards:,} data files")
    return shards


def _parse_variable(name: str, message: bytes, shards: int) -> Variable:
    """BundleEntryProto. What proto3 leaves out is zero."""
    numbers: dict[int, int] = {}
    shape: tuple[int, ...] = ()
    for number, value in _fields(message):
        if number == 7:
            raise DamagedError(f"{name} is cut into slices, which is not read here")
        if number == 2:
            shape = _parse_shape(name, value)
        elif isinstance(value, int):
            numbers[number] = value
    variable = Variable(name, numbers.get(1, 0), shape, *(numbers.get(each, 0) for each in (3, 4, 5, 6)))
    if variable.shard >= shards or max(variable.offset, variable.size) >= 2**63:
        raise DamagedError(f"{name} lies outside its data files")
    return variable


def _parse_shape(name: str, message: int | bytes) -> tuple[int, ...]:
    """TensorShapeProto: a message per dimension, in which field 1 is its size."""
    shape = []
    for number, value in _fields(message):
        if number == 2:
            sizes = [size for field, size in _fields(value) if field == 1 and isinstance(size, int)]
            shape.append(sizes[-1] if sizes else 0)
        if number == 3 and value:
            raise DamagedError(f"{name} has no known shape")
    if len(shape) > MOST_DIMENSIONS or math.prod(max(size, 1) for size in shape) >= 2**60:
        raise DamagedError(f"{name} has an impossible shape")
    return tuple(shape)


def _fields(message: int | bytes) -> Iterator[tuple[int, int | bytes]]:
    """Numbers and values of a protocol buffer's fields, in the order written; fixed-size ones little-endian."""
    if isinstance(message, int):
        raise DamagedError("a number stands where a message belongs")
    at = 0
    while at < len(message):
        tag, at = varint(message, at)
        kind = tag & 7
        if kind == 0:
            value, at = varint(message, at)
            yield tag >> 3, value
            continue
        if kind == 2:
            size, at = varint(message, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise DamagedError("a field of unknown kind")
        if at + size > len(message):
            raise DamagedError("a field is cut short")
        data = message[at : at + size]
        at += size
        yield tag >> 3, data if kind == 2 else int.from_bytes(data, "little")
