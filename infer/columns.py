"""Tensors to columns: off the device, into Arrow, into the order of the clips. No Python object per number on the way."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor


class OnHost:
    """Tensors by name, on their way to the host while the device goes on with what comes after them."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = {name: _sent(each.detach()) for name, each in tensors.items()}
        self._sent: torch.cuda.Event | None = None
        if any(each.is_cuda for each in tensors.values()):
            self._sent = torch.cuda.Event()
            self._sent.record()

    def arrays(self) -> dict[str, NDArray[Any]]:
        """As they are once they have come. In what NumPy has no type for, in single precision."""
        if self._sent is not None:
            self._sent.synchronize()
        return {
            name: (each.float() if each.dtype in (torch.bfloat16, torch.float16) else each).numpy()
            for name, each in self._tensors.items()
        }


def _sent(tensor: Tensor) -> Tensor:
    if not tensor.is_cuda:
        return tensor
    return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True)


class Clock:
    """How long the device takes, from now until `stop`."""

    def __init__(self, device: torch.device) -> None:
        self._events: list[torch.cuda.Event] = []
        self._began, self._took = time.monotonic(), 0.0
        if device.type == "cuda":
            self._events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
            self._events[0].record()

    def stop(self) -> None:
        self._took = time.monotonic() - self._began
        if self._events:
            self._events[1].record()

    def seconds(self) -> float:
        """Waits for the device."""
        if not self._events:
            return self._took
        self._events[1].synchronize()
        return self._events[0].elapsed_time(self._events[1]) / 1_000


@dataclass(frozen=True)
class Part:
    """Rows of some of a shard's clips. numbers: of the clips that have one in `columns`, None where no clip has; errors: why
    others have none."""

    numbers: Sequence[int]
    columns: pa.Table | None
    errors: Mapping[int, str]


def joined(parts: Sequence[Part]) -> Part:
    """The rows of all parts."""
    numbers = [number for part in parts for number in part.numbers]
    errors = {number: reason for part in parts for number, reason in part.errors.items()}
    tables = [part.columns for part in parts if part.columns is not None]
    return Part(numbers, pa.concat_tables(tables) if tables else None, errors)


def record_batch(schema: pa.Schema, values: Mapping[str, Any], count: int) -> pa.Table:
    """Of `count` rows, the columns of `schema` that there are values for: arrays [b] and [b, d], lists, and the parts of a
    struct, `name.part`, as one."""
    found = {field.name: _array(field, values, count) for field in schema}
    return pa.table({name: array for name, array in found.items() if array is not None})


def in_order(schema: pa.Schema, described: Mapping[str, Sequence[Any]], rows: Part) -> pa.Table:
    """A row for each clip: what describes it, and of the columns of `rows` its own; null where it has none."""
    count = len(described["key"])
    places = np.full(count, -1, np.int64)
    places[rows.numbers] = np.arange(len(rows.numbers))
    whole = len(rows.numbers) == count and bool((places == np.arange(count)).all())
    computed = rows.columns
    if computed is not None and not whole:
        computed = computed.take(pa.array(places, mask=places < 0))
    columns = []
    for field in schema:
        if field.name in described:
            columns.append(pa.array(described[field.name], field.type))
        elif computed is not None and field.name in computed.column_names:
            columns.append(computed[field.name])
        else:
            columns.append(pa.nulls(count, field.type))
    return pa.table(columns, schema=schema)


def _array(field: pa.Field, values: Mapping[str, Any], count: int) -> pa.Array | None:
    """None where there are no values for it."""
    if pa.types.is_struct(field.type) and field.name not in values:
        parts = [values.get(f"{field.name}.{part.name}") for part in field.type]
        if any(part is None for part in parts):
            return None
        arrays = [pa.array(part, each.type, from_pandas=False) for part, each in zip(parts, field.type, strict=True)]
        return pa.StructArray.from_arrays(arrays, fields=list(field.type))
    found = values.get(field.name)
    if found is None:
        return None
    if isinstance(found, np.ndarray) and found.ndim == 2:
        assert found.shape == (count, field.type.list_size), f"{field.name}: {found.shape}"
        flat = pa.array(np.ascontiguousarray(found, np.float32).reshape(-1))
        return pa.FixedSizeListArray.from_arrays(flat, field.type.list_size)
    if isinstance(found, np.ndarray):
        return pa.array(found.astype(field.type.to_pandas_dtype(), copy=False))
    return pa.array(list(found), field.type)
