"""A writer of TensorFlow's checkpoints, for tests: it shares no line with the reader, not even the checksum."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]
TYPES = {"float32": 1, "float64": 2, "int32": 3, "uint8": 4, "int64": 9, "bool": 10, "float16": 19}


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)  # Castagnoli's polynomial, its bits reversed
        table.append(byte)
    return table


_TABLE = _crc_table()


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15) + ((crc & 0x7FFF) << 17) + 0xA282EAD8) % 2**32)


def number(value: int) -> bytes:
    """A base-128 number."""
    digits = []
    while value > 127:
        digits.append(value % 128 + 128)
        value //= 128
    return bytes([*digits, value])


def field(at: int, value: int | bytes) -> bytes:
    """A field of a protocol buffer: a number, or bytes with their length."""
    if isinstance(value, int):
        return number(at * 8) + number(value)
    return number(at * 8 + 2) + number(len(value)) + value


def header(shards: int = 1, endianness: int = 0) -> bytes:
    big = field(2, endianness) if endianness else b""
    return field(1, shards) + big + field(3, field(1, 1))


def entry(dtype: int, shape: Sequence[int], shard: int, offset: int, size: int, crc: bytes, more: bytes = b"") -> bytes:
    """The message of a variable; as proto3 does, zeros are left out."""
    dimensions = b"".join(field(2, field(1, each)) if each else field(2, b"") for each in shape)
    message = field(1, dtype) + field(2, dimensions)
    for at, value in ((3, shard), (4, offset), (5, size)):
        message += field(at, value) if value else b""
    return message + number(6 * 8 + 5) + crc + more


def block(pairs: Sequence[tuple[bytes, bytes]], restart_every: int = 3) -> bytes:
    """A block's contents: keys without what they share with the one before, restart points at the end."""
    out, restarts, before = b"", [], b""
    for index, (key, value) in enumerate(pairs):
        shared = 0
        if index % restart_every == 0:
            restarts.append(len(out))
        else:
            while shared < min(len(key), len(before)) and key[shared] == before[shared]:
                shared += 1
        out += number(shared) + number(len(key) - shared) + number(len(value)) + key[shared:] + value
        before = key
    restarts = restarts or [0]
    return out + struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))


def stored(contents: bytes, compression: int = 0) -> bytes:
    """A block with its trailer."""
    kind = bytes([compression])
    return contents + kind + masked(contents + kind)


def table(blocks: Sequence[bytes], last_keys: Sequence[bytes], compression: int = 0) -> bytes:
    """A table of blocks' contents, whose last keys lead to them."""
    out, places = b"", []
    for contents, key in zip(blocks, last_keys, strict=True):
        places.append((key, number(len(out)) + number(len(contents))))
        out += stored(contents, compression)
    meta = number(len(out)) + number(len(block([])))
    out += stored(block([]))
    top = block(places, 1)
    index = number(len(out)) + number(len(top))
    out += stored(top)
    return out + (meta + index).ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")


def index_of(pairs: Sequence[tuple[bytes, bytes]], per_block: int = 4) -> bytes:
    """A table of sorted pairs, a few to a block."""
    parts = [pairs[at : at + per_block] for at in range(0, len(pairs), per_block)]
    return table([block(part) for part in parts], [part[-1][0] for part in parts])


def write_checkpoint(prefix: Path, variables: Mapping[str, Array], shards: int = 1) -> Path:
    """A checkpoint of `variables`, which go to the data files in turn. Returns `prefix`."""
    files = [b""] * shards
    pairs = [(b"", header(shards))]
    for turn, name in enumerate(sorted(variables)):
        values = np.asarray(variables[name])
        data, shard = values.tobytes(), turn % shards
        message = entry(TYPES[values.dtype.name], values.shape, shard, len(files[shard]), len(data), masked(data))
        files[shard] += data
        pairs.append((name.encode(), message))
    prefix.parent.mkdir(parents=True, exist_ok=True)
    Path(f"{prefix}.index").write_bytes(index_of(pairs))
    for shard, data in enumerate(files):
        Path(f"{prefix}.data-{shard:05d}-of-{shards:05d}").write_bytes(data)
    return prefix


def wavegan_shapes(
    width: int, latent_size: int, taps: int, critic: bool, layers: int = 5, channels: int = 1
) -> dict[str, tuple[int, ...]]:
    """The published names. layers: 5 for 16,384 samples, 6 for the longer ones."""
    first = 16 * width * 2 ** (layers - 1)
    shapes: dict[str, tuple[int, ...]] = {"G/z_project/dense/kernel": (latent_size, first)}
    shapes["G/z_project/dense/bias"] = (first,)
    for layer in range(layers):
        inside, last = width * 2 ** (layers - 1 - layer), layer == layers - 1
        shapes[f"G/upconv_{layer}/conv2d_transpose/kernel"] = (1, 25, channels if last else inside // 2, inside)
        shapes[f"G/upconv_{layer}/conv2d_transpose/bias"] = (channels if last else inside // 2,)
    if taps:
        shapes["G/pp_filt/conv1d/kernel"] = (taps, 1, 1)
    if critic:
        for layer in range(layers):
            inside = width * 2 ** (layer - 1) if layer else channels
            shapes[f"D/downconv_{layer}/conv1d/kernel"] = (25, inside, width * 2**layer)
            shapes[f"D/downconv_{layer}/conv1d/bias"] = (width * 2**layer,)
        shapes["D/output/dense/kernel"] = (first, 1)
        shapes["D/output/dense/bias"] = (1,)
    return shapes


def wavegan_variables(
    width: int = 1,
    latent_size: int = 3,
    taps: int = 0,
    critic: bool = True,
    seed: int = 0,
    layers: int = 5,
    channels: int = 1,
) -> dict[str, Array]:
    """Random weights under the published names, with an optimiser's leftovers and the step 103,005."""
    rng = np.random.default_rng(seed)
    shapes = wavegan_shapes(width, latent_size, taps, critic, layers, channels)
    spread = {name: 0.3 if name.endswith("bias") else 2.0 / np.sqrt(_inputs(shape)) for name, shape in shapes.items()}
    made: dict[str, Array] = {
        name: (rng.standard_normal(shape) * spread[name]).astype(np.float32) for name, shape in shapes.items()
    }
    slots = {f"{name}/{slot}": np.zeros(1, np.float32) for name in shapes for slot in ("Adam", "Adam_1")}
    powers = {name: np.float32(0.5) for name in ("beta1_power", "beta2_power", "beta1_power_1", "beta2_power_1")}
    return {**made, **slots, **powers, "global_step": np.asarray(103_005, np.int64)}


def inception_shapes(width: int, labels: int = 10) -> dict[str, tuple[int, ...]]:
    """The published names of the classifier of inception scores."""
    shapes: dict[str, tuple[int, ...]] = {}
    for number, size in enumerate([128, width, width, width, 64 * width]):
        scope = "classifier/batch_normalization" + (f"_{number}" if number else "")
        shapes |= {f"{scope}/{part}": (size,) for part in ("gamma", "beta", "moving_mean", "moving_variance")}
    for number in range(4):
        scope = "classifier/conv2d" + (f"_{number}" if number else "")
        shapes[f"{scope}/kernel"] = (5, 5, width if number else 1, width)
        shapes[f"{scope}/bias"] = (width,)
    return {**shapes, "classifier/dense/kernel": (64 * width, labels), "classifier/dense/bias": (labels,)}


def inception_variables(width: int = 2, seed: int = 0) -> dict[str, Array]:
    """Random weights under the published names, and the step 103,005. Variances and gammas are near 1, and bands have means
    as log mel bands of noise have."""
    rng = np.random.default_rng(seed)
    made: dict[str, Array] = {}
    for name, shape in inception_shapes(width).items():
        part = name.rpartition("/")[2]
        values = rng.standard_normal(shape)
        if part in ("gamma", "moving_variance"):
            values = np.exp(0.3 * values)
        elif part == "kernel":
            values *= np.sqrt(2.0 / np.prod(shape[:-1]))
        else:
            values *= 0.3
        made[name] = values.astype(np.float32)
    return {**made, "global_step": np.asarray(103_005, np.int64)}


def _inputs(shape: tuple[int, ...]) -> float:
    """How many products make one output; of a transposed convolution at stride 4 a quarter of the taps."""
    if len(shape) == 4:
        return shape[1] * shape[3] / 4
    return float(np.prod(shape[:-1]))
