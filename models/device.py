"""Where a worker computes, and in which precision."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch

from invertone.cluster.errors import UserError

MALLOPT = {-3: 1 << 25, -1: 1 << 30, -2: 1 << 26}
"""M_MMAP_THRESHOLD (32 MB is glibc's most), M_TRIM_THRESHOLD and M_TOP_PAD of malloc.h."""


def keep_freed_memory() -> bool:
    """Lets this process keep the memory that tensors give back, for the next ones, instead of returning it to the system and
    having it zeroed again: a training step on a CPU takes a sixth less time, at the same peak. False where the C library is
    not glibc, which then stays as it is."""
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return all(mallopt(option, value) for option, value in MALLOPT.items())


def worker_device(wanted: str, threads: int) -> torch.device:
    """The device for `wanted` (auto, cpu, cuda) in a bulk worker; on a CPU torch takes `threads` threads."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


def precision(name: str, device: torch.device) -> Callable[[], AbstractContextManager[object]]:
    """What networks compute in: float32, tf32, bf16 (autocast) or auto, which is tf32 on GPUs. Sets torch's flags for this
    process, because convolutions on GPUs use tf32 unless told otherwise."""
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = name in ("tf32", "auto")
        torch.backends.cudnn.allow_tf32 = name in ("tf32", "auto")
    elif name == "tf32":
        raise UserError("precision=tf32 exists on GPUs only", fix="use float32, or device=cuda")
    return partial(torch.autocast, device.type, torch.bfloat16) if name == "bf16" else nullcontext


@contextmanager
def full_precision() -> Iterator[None]:
    """While inside, float32 is float32 on GPUs too, whatever `precision` has set: for what judges."""
    matmul, convolution = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, convolution.allow_tf32
    matmul.allow_tf32 = convolution.allow_tf32 = False
    try:
        yield
    finally:
        matmul.allow_tf32, convolution.allow_tf32 = before
