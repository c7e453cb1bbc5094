"""Progress with rate and time left: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TextIO

from tqdm import tqdm

LINE_EVERY_S = 10.0


class Progress:
    """Counts work towards `total`. `done` is an absolute value, so that a resumed job starts where it was. Of totals below
    `least`, which are done at once, nothing is said."""

    def __init__(
        self, what: str, total: int, unit: str, *, start: int = 0, least: int = 0, file: TextIO | None = None
    ) -> None:
        self.what, self.total, self.unit, self.file = what, total, unit, file or sys.stderr
        self._start, self._done, self._began, self._spoke = start, start, time.monotonic(), time.monotonic()
        self._silent = total < least
        terminal = self.file.isatty() and not self._silent
        self._bar = (
            tqdm(total=total, initial=start, desc=what, unit=f" {unit}", file=self.file, dynamic_ncols=True, leave=True)
            if terminal
            else None
        )

    def update(self, done: int, note: str = "") -> None:
        """`done` of `total` are finished; `note` is shown beside it (losses, counts)."""
        if self._bar is not None:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(done - self._done)
            self._bar.refresh()
        self._done = done
        now = time.monotonic()
        if self._bar is None and not self._silent and now - self._spoke >= LINE_EVERY_S and done < self.total:
            self._spoke = now
            self._say(note)

    @property
    def rate(self) -> float:
        """Per second, since this object was made."""
        return (self._done - self._start) / max(time.monotonic() - self._began, 1e-9)

    def _say(self, note: str) -> None:
        rate = self.rate
        left = f"{duration((self.total - self._done) / rate)} left" if rate > 0 else "time left unknown"
        share = f"{self._done:,} of {self.total:,} {self.unit}"
        print(f"{self.what}: {share}, {rate:,.1f}/s, {left}{', ' + note if note else ''}", file=self.file, flush=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        elapsed = time.monotonic() - self._began
        if self._bar is not None:
            self._bar.close()
        elif kind is None and not self._silent:
            print(
                f"{self.what}: {self._done:,} of {self.total:,} {self.unit} in {duration(elapsed)} ({self.rate:,.1f}/s)",
                file=self.file,
                flush=True,
            )


def duration(seconds: float) -> str:
    """`75` seconds are `1m15s`."""
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
