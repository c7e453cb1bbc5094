"""What the rows of an inference run add up to, read from score columns alone, part by part, in constant memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from invertone.cluster.formats.latents import OK
from invertone.cluster.storage.folder import Folder
from invertone.cluster.storage.parquet import row_batches

BATCH_ROWS, ROWS_WITH_AUDIO = 8192, 64
FINE_BINS = 4096
MOST_ERRORS = 5


@dataclass(frozen=True)
class Measure:
    """A score of a row. `arrow` says which direction is better."""

    name: str
    title: str
    format: str
    arrow: str


MEASURES = (
    Measure("spectrogram_mae", "Spectrogram MAE", ".4f", "↓"),
    Measure("pixel_mae", "Pixel MAE", ".4f", "↓"),
    Measure("psnr", "PSNR dB", ".2f", "↑"),
    Measure("ssim", "SSIM", ".4f", "↑"),
    Measure("feature_distance", "Feature distance", ".4f", "↓"),
    Measure("waveform_mse", "Waveform MSE", ".5f", "↓"),
)
FIRST = MEASURES[:-1]
"""Those that are drawn, and stand below single clips."""
CHOSEN_BY = ("spectrogram_mae", "pixel_mae")
"""By which clips, and which pictures, are chosen to be shown."""
COLUMNS = (
    "key",
    "label",
    "label_name",
    "predicted_label",
    "predicted_label_name",
    "status",
    "error",
    *(each.name for each in MEASURES),
)


@dataclass
class Spread:
    """Count, sum, least and greatest of a score; values that are null or not finite are left out."""

    count: int = 0
    total: float = 0.0
    low: float = math.inf
    high: float = -math.inf

    def add(self, values: npt.NDArray[np.float64]) -> None:
        if len(values):
            self.count += len(values)
            self.total += float(values.sum())
            self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))

    def merge(self, other: Spread) -> None:
        self.count, self.total = self.count + other.count, self.total + other.total
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)

    @property
    def mean(self) -> float | None:
        return self.total / self.count if self.count else None


@dataclass
class Tally:
    """Of a part or of a run. heard: by label, how many clips have it and how many reconstructions are heard as it."""

    rows: int = 0
    failed: int = 0
    errors: list[str] = field(default_factory=list)
    spreads: dict[str, Spread] = field(default_factory=lambda: {each.name: Spread() for each in MEASURES})
    heard: dict[int, tuple[int, int]] = field(default_factory=dict)

    def add(self, batch: pa.RecordBatch) -> None:
        self.rows += batch.num_rows
        for key, error in failures(batch):
            self.failed += 1
            if len(self.errors) < MOST_ERRORS:
                self.errors.append(f"{key}: {error}")
        for name, spread in self.spreads.items():
            values = scores(batch, name)
            spread.add(values[np.isfinite(values)])
        for label, as_it in _heard(batch):
            count, right = self.heard.get(label, (0, 0))
            self.heard[label] = (count + 1, right + as_it)

    def merge(self, other: Tally) -> None:
        self.rows, self.failed = self.rows + other.rows, self.failed + other.failed
        self.errors = (self.errors + other.errors)[:MOST_ERRORS]
        for name, spread in self.spreads.items():
            spread.merge(other.spreads[name])
        for label, (count, right) in other.heard.items():
            before = self.heard.get(label, (0, 0))
            self.heard[label] = (before[0] + count, before[1] + right)

    @property
    def accuracy(self) -> float | None:
        labelled = sum(count for count, _ in self.heard.values())
        return sum(right for _, right in self.heard.values()) / labelled if labelled else None


def batches(
    folder: Folder, part: str, columns: Sequence[str] = COLUMNS, rows: int = BATCH_ROWS
) -> Iterator[pa.RecordBatch]:
    """The rows of a Parquet file, `rows` at a time, of the wanted columns those that it has."""
    with folder.open(part) as file:
        yield from row_batches(file, columns, rows)


def over_parts(folder: Folder, parts: Sequence[str], visit: Callable[[int, str], None]) -> tuple[list[str], list[str]]:
    """Visits parts; gives back the names of those that could be read, and one line for each that could not."""
    good, problems = [], []
    for number, part in enumerate(parts):
        try:
            visit(number, part)
            good.append(part)
        except FileNotFoundError:
            problems.append(f"{folder.path_of(part)} is missing")
        except (pa.ArrowException, OSError, ValueError, TypeError) as error:
            problems.append(f"{folder.path_of(part)} cannot be read: {' '.join(str(error).split())[:160]}")
    return good, problems


def tallied(folder: Folder, parts: Sequence[str]) -> tuple[Tally, list[str], list[str]]:
    """The sums over all rows, the parts that count in them, and one line for each part that does not."""
    whole = Tally()

    def visit(number: int, part: str) -> None:
        one = Tally()  # of its own, so that a part which breaks off half-way counts for nothing
        for batch in batches(folder, part):
            one.add(batch)
        whole.merge(one)

    return whole, *over_parts(folder, parts, visit)


def fine_counts(folder: Folder, parts: Sequence[str], ranges: dict[str, tuple[float, float]]) -> dict[str, Any]:
    """Counts in FINE_BINS even bins of every score's range, from which quantiles and coarser histograms are made."""
    counts = {name: np.zeros(FINE_BINS, np.int64) for name in ranges}
    for part in parts:
        for batch in batches(folder, part, tuple(ranges)):
            for name, ends in ranges.items():
                values = scores(batch, name)
                counts[name] += np.histogram(values[np.isfinite(values)], FINE_BINS, ends)[0]
    return counts


def scores(batch: pa.RecordBatch, name: str) -> npt.NDArray[np.float64]:
    """A column as float64 [rows], NaN where it is null, all NaN where there is no such column."""
    if name not in batch.schema.names:
        return np.full(batch.num_rows, np.nan)
    column = batch.column(batch.schema.names.index(name)).cast(pa.float64())
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)


def texts(batch: pa.RecordBatch, name: str) -> list[Any]:
    """A column as Python values, all None where there is no such column."""
    if name not in batch.schema.names:
        return [None] * batch.num_rows
    return batch.column(batch.schema.names.index(name)).to_pylist()


def failures(batch: pa.RecordBatch) -> list[tuple[str, str]]:
    """Keys and errors of the rows that are none."""
    told = zip(texts(batch, "key"), texts(batch, "status"), texts(batch, "error"), strict=True)
    return [(str(key), str(error)) for key, status, error in told if status not in (OK, None)]


def _heard(batch: pa.RecordBatch) -> Iterator[tuple[int, bool]]:
    """The label of each labelled row that a classifier heard, and whether as it."""
    columns = [texts(batch, name) for name in ("label", "label_name", "predicted_label", "predicted_label_name")]
    for label, name, predicted, heard in zip(*columns, strict=True):
        if label is not None and predicted is not None:
            yield label, heard_right(label, name, predicted, heard)


def heard_right(label: int, name: str | None, predicted: int, heard: str | None) -> bool:
    """Labels meet by name; rows of older versions have only the numbers."""
    return predicted == label if name is None or heard is None else heard == name
