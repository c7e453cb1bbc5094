"""Where a worker computes, and in which precision."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch

from cluster.errors import UserError


def worker_device(wanted: str, threads: int) -> torch.device:
    """The device for `wanted` (auto, cpu, cuda) in a bulk worker; on a CPU torch takes `threads` threads."""
    torch.set_num_threads(threads)
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
