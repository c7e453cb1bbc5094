"""An S3 in memory that counts: the requests that s3fs makes for each operation, with modelled latencies and failures.

`simulated://bucket/…` for fsspec, so that the ledger's own code uses it. Which requests an operation costs is s3fs's way
(`exists` of what is not there is a HEAD and a LIST; a listing is a LIST per thousand names), held to a real S3 server by
tests/test_simulation.py. Latencies are lognormal; above the rates that S3 guarantees per prefix it answers 503, and clients
come again with growing pauses, ten times at most, as botocore does.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import fsspec
from fsspec.spec import AbstractFileSystem

from benchmarks.simulated_time import VirtualTime

READS, WRITES = ("GET", "HEAD", "LIST"), ("PUT", "DELETE")
PAGE = 1_000
ATTEMPTS = 10
LATENCIES = {"GET": 0.020, "HEAD": 0.015, "LIST": 0.050, "PUT": 0.030, "DELETE": 0.030}
"""Medians in seconds: assumptions, of the order that users of S3 report from within its region."""
SPREAD = 0.4
GUARANTEED = {"read": 5_500.0, "write": 3_500.0}
"""Requests a second and prefix that S3 guarantees (its documentation); a run folder counts as one prefix here."""


@dataclass
class Faults:
    """Shares of requests: `error` is answered with 500; `lost` is done, and its answer never comes."""

    error: float = 0.0
    lost: float = 0.0


@dataclass
class Bucket:
    """What is stored, and what was asked. `objects` is by folder, so that a listing looks at nothing else."""

    clock: VirtualTime
    faults: Faults = field(default_factory=Faults)
    limits: dict[str, float] = field(default_factory=lambda: dict(GUARANTEED))
    seed: int = 0
    objects: dict[str, dict[str, bytes]] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)
    by_second: dict[str, Counter[int]] = field(default_factory=dict)
    refused: int = 0
    created: Counter[str] = field(default_factory=Counter)
    waited: float = 0.0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._tokens = dict(self.limits)
        self._filled = 0.0
        self._together: list[float] | None = None

    @contextmanager
    def together(self) -> Iterator[None]:
        """Operations inside wait beside each other."""
        self._together = []
        began = self.requests.total()
        yield
        waits, self._together = self._together, None
        self._wait(sum(waits) / max(1, self.requests.total() - began))

    def request(self, kind: str, effect: Callable[[], Any]) -> Any:
        """One operation of a client: repeated as botocore repeats it. The effect lies in the middle of the waiting, so
        that a process that is killed meanwhile may or may not have had it."""
        for attempt in range(ATTEMPTS):
            self.requests[kind] += 1
            self.by_second.setdefault(kind, Counter())[int(self.clock.now)] += 1
            if not self._admitted(kind) or self._random.random() < self.faults.error:
                self.refused += 1
                self._wait(self._random.random() * min(2.0**attempt, 20.0))
                continue
            half = LATENCIES[kind] * math.exp(SPREAD * self._random.gauss(0, 1)) / 2
            self._wait(half)
            lost = self._random.random() < self.faults.lost
            try:
                answer = effect()
            except (FileNotFoundError, FileExistsError):
                if not lost:
                    self._wait(half)
                    raise
            else:
                if not lost:
                    self._wait(half)
                    return answer
            self._wait(1.0)  # until the client gives the connection up
        raise OSError("SlowDown: please reduce your request rate")

    def _wait(self, seconds: float) -> None:
        if self._together is not None:
            self._together.append(seconds)
        else:
            self.waited += seconds
            self.clock.sleep(seconds)

    def _admitted(self, kind: str) -> bool:
        passed, self._filled = self.clock.now - self._filled, self.clock.now
        for each, limit in self.limits.items():
            self._tokens[each] = min(limit, self._tokens[each] + passed * limit)
        group = "read" if kind in READS else "write"
        if self._tokens[group] < 1:
            return False
        self._tokens[group] -= 1
        return True

    def bytes_below(self, folder: str) -> int:
        return sum(len(data) for at, files in self.objects.items() if at.startswith(folder) for data in files.values())


class SimulatedS3(AbstractFileSystem):
    """fsspec's face of the bucket that is set in `bucket`."""

    protocol = "simulated"
    cachable = True
    bucket: ClassVar[Bucket]

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        folder, name = self._split(path)

        def put() -> None:
            files = self.bucket.objects.setdefault(folder, {})
            if mode == "create":
                if name in files:
                    raise FileExistsError(path)
                self.bucket.created[folder.rpartition("/")[2]] += 1
            files[name] = bytes(value)

        self.bucket.request("PUT", put)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        folder, name = self._split(path)

        def get() -> bytes:
            try:
                return self.bucket.objects[folder][name]
            except KeyError:
                raise FileNotFoundError(path) from None

        data: bytes = self.bucket.request("GET", get)
        return data

    def exists(self, path: str, **_: Any) -> bool:
        folder, name = self._split(path)
        if self.bucket.request("HEAD", lambda: name in self.bucket.objects.get(folder, {})):
            return True
        below = f"{folder}/{name}"  # it may be a folder
        return bool(self.bucket.request("LIST", lambda: bool(self._folders(below) or self.bucket.objects.get(below))))

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """With as many details as s3fs keeps of each object: they are what a long listing costs in memory."""
        folder = self._strip_protocol(path).rstrip("/")
        found: list[dict[str, Any]] = []
        names = sorted(self.bucket.objects.get(folder, {}))
        for first in range(0, max(len(names), 1), PAGE):
            page = names[first : first + PAGE]
            found += self.bucket.request("LIST", lambda page=page: [self._details(folder, name) for name in page])
        found += [{"name": f"{folder}/{each}", "type": "directory", "size": 0} for each in self._folders(folder)]
        if not found:
            self.bucket.request("LIST", lambda: None)  # s3fs looks whether it is a file
            raise FileNotFoundError(path)
        return found if detail else [each["name"] for each in found]

    def rm(self, path: str, recursive: bool = False, maxdepth: int | None = None) -> None:
        folder, name = self._split(path)
        self.bucket.request("LIST", lambda: None)
        self.bucket.request("DELETE", lambda: self.bucket.objects.get(folder, {}).pop(name, None))

    def _split(self, path: str) -> tuple[str, str]:
        folder, _, name = self._strip_protocol(path).rpartition("/")
        return folder, name

    def _folders(self, folder: str) -> set[str]:
        return {
            at[len(folder) + 1 :].split("/")[0]
            for at, files in self.bucket.objects.items()
            if files and at.startswith(f"{folder}/")
        }

    def _details(self, folder: str, name: str) -> dict[str, Any]:
        path, size = f"{folder}/{name}", len(self.bucket.objects[folder][name])
        return {
            "Key": path,
            "LastModified": str(size),
            "ETag": f'"{hash(path):x}"',
            "ChecksumAlgorithm": ["CRC32"],
            "ChecksumType": "FULL_OBJECT",
            "Size": size,
            "StorageClass": "STANDARD",
            "type": "file",
            "size": size,
            "name": path,
        }


fsspec.register_implementation("simulated", SimulatedS3, clobber=True)
