"""Limits that the shell sets on a process (`ulimit`), and what a job needs: under less, libraries end without a word."""

from __future__ import annotations

import resource

from invertone.cluster.errors import UserError

ADDRESS_SPACE = 16 * 10**9
"""Bytes, measured with two workers (12 GB are too little): Ray's object store, its processes' thread stacks and PyTorch reserve
far more than they use."""
OPEN_FILES = 512


def refuse_low_limits() -> None:
    """Raises UserError where `ulimit -v` or `ulimit -n` leaves too little for Ray and PyTorch. The number of open files is
    raised to what is needed as far as one may."""
    space, _ = resource.getrlimit(resource.RLIMIT_AS)
    if space not in (resource.RLIM_INFINITY, -1) and space < ADDRESS_SPACE:
        raise UserError(
            f"this shell allows {space / 1e9:.1f} GB of address space, and a job needs {ADDRESS_SPACE / 1e9:.0f} GB of it "
            "(address space, not memory)",
            fix="type `ulimit -v unlimited` first, or limit memory by a control group",
        )
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files not in (resource.RLIM_INFINITY, -1) and files < OPEN_FILES:
        if most not in (resource.RLIM_INFINITY, -1) and most < OPEN_FILES:
            raise UserError(
                f"this shell allows {most} open files, and a job needs {OPEN_FILES}",
                fix=f"type `ulimit -n {OPEN_FILES}` first",
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, most))
