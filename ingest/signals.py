"""What one file of a source becomes: a recording clips, a picture one picture. Which of the two, the config's class says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from io import BufferedIOBase
from typing import Any, Protocol

from invertone.cluster.formats.shards import Clip
from invertone.cluster.formats.signals import SignalFormat
from invertone.ingest.corpora.keys import AnyIngest, IngestConfig
from invertone.ingest.plan.entries import Sample
from invertone.ingest.sources.members import Listing


class Concern(Protocol):
    """What should be known of a file that is taken nevertheless: `what`, and how much of it."""

    @property
    def what(self) -> str: ...
    @property
    def amount(self) -> float: ...


class Taken(Protocol):
    """A file that is being read. What else is said of it holds once its clips are there."""

    def clips(self) -> Iterator[Clip]:
        """Raises the intake's `bad` with a reason where the file is none."""
        ...

    @property
    def clipped(self) -> int:
        """Samples past full scale."""
        ...

    def concerns(self) -> Sequence[Concern]: ...

    def counts(self) -> dict[str, Any]:
        """What was done to it, as counts that add up (`cluster.jobs.sums`)."""
        ...


class Intake(Protocol):
    """What ingest does with recordings, or with pictures. Threads may use it at once.

    one, many: what a file is called; made: what many become. bad: what is raised of one that is unusable. statistics: what a
    unit's statistics call the counts. format, levels: of what is made.
    """

    @property
    def one(self) -> str: ...
    @property
    def many(self) -> str: ...
    @property
    def made(self) -> str: ...
    @property
    def bad(self) -> type[Exception]: ...
    @property
    def statistics(self) -> str: ...
    @property
    def format(self) -> SignalFormat: ...
    @property
    def levels(self) -> str: ...

    def check_size(self, size: int) -> None:
        """Raises `bad` for a file of so many bytes that it is not even read."""
        ...

    def take(self, file: BufferedIOBase, row: Mapping[str, Any], uri: str, beat: Callable[[], None]) -> Taken:
        """row: of the plan. beat: to be called as the work goes on. Raises `bad` where the file is none."""
        ...

    def counted(self, counts: Mapping[str, Any], units: int) -> str:
        """The sum of such counts in words; "" of nothing. units: of work that were done."""
        ...

    def sample_lines(self, listing: Listing, sample: Sample) -> list[str]:
        """What the headers of some files say of the source, for --dry-run."""
        ...


def intake_of(config: AnyIngest) -> Intake:
    """Loads what decodes recordings, or what decodes pictures, and not the other."""
    if isinstance(config, IngestConfig):
        from invertone.ingest.recordings import Recordings

        return Recordings(config)
    from invertone.ingest.pictures import Pictures

    return Pictures(config)
