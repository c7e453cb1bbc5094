"""A job's log, printed as it grows, and the exit code that its end stands for."""

from __future__ import annotations

import re
import signal
import sys
from typing import Any

from invertone.cluster.errors import UserError

_NOISE = re.compile(r"(Running entrypoint for job |.* Runtime env is setting up\.)")


class Printer:
    """Prints a log by whole lines, without Ray's own remarks at its beginning."""

    def __init__(self) -> None:
        self._rest = ""

    def write(self, text: str) -> None:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if not _NOISE.match(line):
                print(line)
        sys.stdout.flush()

    def close(self) -> None:
        if self._rest:
            print(self._rest, flush=True)


async def tail(client: Any, job: str, shown: int) -> int:
    """Prints what comes after the first `shown` characters of the log; returns how many there are. `client` is Ray's."""
    seen, printer = 0, Printer()
    async for text in client.tail_job_logs(job):
        if seen + len(text) > shown:
            printer.write(text[max(0, shown - seen) :])
        seen += len(text)
    printer.close()
    return max(seen, shown)


def exit_code(info: Any) -> int:
    """The exit code of a job that is over, as it would have been here. Raises UserError for one that never came to run."""
    if info.driver_exit_code is not None:
        return int(info.driver_exit_code) & 255
    if str(info.status) == "STOPPED":
        return 128 + signal.SIGTERM
    if str(info.status) == "SUCCEEDED":
        return 0
    raise UserError(f"the job did not run: {_reason(str(info.message or ''))}", where=str(info.submission_id))


def _reason(message: str) -> str:
    """The telling line of Ray's message, which may be a page."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"(ERROR|Error|error|died|killed)", line)]
    return (errors or lines or ["no reason is known"])[-1][:300]
