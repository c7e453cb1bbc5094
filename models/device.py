"""Where a worker computes."""

from __future__ import annotations

import torch


def worker_device(wanted: str, threads: int) -> torch.device:
    """The device for `wanted` (auto, cpu, cuda) in a bulk worker; on a CPU torch takes `threads` threads."""
    torch.set_num_threads(threads)
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")
