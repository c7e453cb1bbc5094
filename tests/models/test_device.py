"""Where a worker computes: precision by name, memory that is kept."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest
import torch

from invertone.cluster.errors import UserError
from invertone.models.device import precision, worker_device

CPU = torch.device("cpu")


def test_precision_by_name() -> None:
    product = {}
    for name in ("auto", "float32", "bf16"):
        with precision(name, CPU)():
            product[name] = (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
    assert product == {"auto": torch.float32, "float32": torch.float32, "bf16": torch.bfloat16}
    with pytest.raises(UserError, match="tf32 exists on GPUs only"):
        precision("tf32", CPU)


def test_a_worker_has_its_threads() -> None:
    before = torch.get_num_threads()
    try:
        assert worker_device("cpu", 1) == CPU and torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc")
def test_freed_memory_is_kept_and_not_fetched_again() -> None:
    """Page faults of tensors that come and go together, 96 MB. glibc by itself gives them back to the system each time, unless
    something else happens to lie behind them."""
    program = (
        "import resource, torch; from invertone.models.device import keep_freed_memory\n"
        "assert keep_freed_memory()\n"
        "torch.set_num_threads(1); x = torch.zeros(1 << 22)\n"
        "for _ in range(3): [x + 1 for _ in range(6)]\n"  # what is kept must have been there once
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(20): [x + 1 for _ in range(6)]\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)"
    )
    faults = int(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout)
    pages = 20 * 6 * (4 << 22) // resource.getpagesize()
    assert faults < pages / 10, (faults, pages)
