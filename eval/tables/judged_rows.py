"""Judging without hearing: what inference wrote beside its latents says all that most measures need of a clip.

Rows are read as columns, a block at a time, and nothing in Python is made for a row but its key's digest.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float64, Int, UInt64

from invertone.cluster.errors import UserError
from invertone.cluster.formats.latents import HEARD, LOGITS, OK, read_columns
from invertone.cluster.formats.ledger import LIMIT, Output
from invertone.cluster.formats.shards import Clip, ShardEntry
from invertone.cluster.storage.folder import Folder
from invertone.eval.measures.comparing import REAL, Comparing
from invertone.eval.measures.draws import key_digests
from invertone.eval.measures.estimates import Array, Sums
from invertone.eval.measures.labels import UNKNOWN
from invertone.eval.measures.listener import Sampling
from invertone.eval.tables.judge import Run
from invertone.eval.tables.row_sums import (
    Counted,
    evaluation_sums,
    exact_latent_sums,
    labelled,
    latent_sums,
    of_copy,
    score_sums,
)

BY_CLASSIFIER = (*HEARD, "predicted_label", *LOGITS)
BLOCK = 2_048
"""Rows at a time: their counts in 200 replicates are 3 MB, whatever the shard holds."""
FIX = "name frechet_penultimate in columns to have every clip heard again, or run the same infer again with a new out"


def held(schema: pa.Schema, by_classifier: bool, how: Comparing) -> bool:
    """Whether rows of this schema hold all that they can hold of such signals. by_classifier: with what a classifier said."""
    return set(how.compared) | (set(BY_CLASSIFIER) if by_classifier else set()) <= set(schema.names)


@dataclass(frozen=True)
class ShardRows:
    """The rows of one shard by run, clip for clip: columns of equal length. keys: of all rows, shared or not. shared: which
    clips every run has a result for. failed: how many rows of each run are errors."""

    tables: Mapping[Run, pa.Table]
    keys: Sequence[str]
    digests: UInt64[Array, " n"]
    shared: Bool[Array, " n"]
    failed: Mapping[Run, int]

    def without(self, left_out: Collection[str]) -> tuple[ShardRows, int]:
        """The same without some clips, and how many of those were shared."""
        if not left_out:
            return self, 0
        kept = np.array([key not in left_out for key in self.keys], dtype=bool)
        return dataclasses.replace(self, shared=self.shared & kept), int((self.shared & ~kept).sum())


def read_rows(runs: Sequence[Run], work: Mapping[str, Any], by_classifier: bool, how: Comparing) -> ShardRows:
    """The rows of a unit's shard, without what they hold of sound. work: `shard`, and the runs' files as `parts`.

    Raises UserError where a file is damaged, lacks a column, or is not of this shard's clips in their order.
    """
    entry, parts = ShardEntry(**work["shard"]), work["parts"]
    tables: dict[Run, pa.Table] = {}
    needed = ("key", "status", "label_name", *how.compared, *(BY_CLASSIFIER if by_classifier else ()))
    for run in runs:
        part, folder = Output(**parts[run.label]), Folder.at(run.uri)
        wanted = (*needed, "evaluations", *(("latent",) if run.known else ()))
        table, where = read_columns(folder, part, wanted), folder.path_of(part.name)
        missing = [name for name in needed if name not in table.column_names]
        if missing:
            raise UserError(f"rows have no {missing[0]}: another version wrote them", where=where, fix=FIX)
        if table.num_rows > entry.count:
            raise UserError(f"has {table.num_rows} rows, {entry.name} has {entry.count} clips", where=where, fix=FIX)
        tables[run] = table
    # a run that was limited has the first of a shard's clips
    count = min([work.get(LIMIT, entry.count), *(table.num_rows for table in tables.values())])
    tables = {run: table.slice(0, count) for run, table in tables.items()}
    first = tables[runs[0]]["key"]
    for run, table in tables.items():
        if not table["key"].equals(first):
            where = Folder.at(run.uri).path_of(str(parts[run.label]["name"]))
            raise UserError(f"rows are not of the same clips as those of {runs[0].label}", where=where, fix=FIX)
    good = {run: np.asarray(pc.equal(table["status"], OK)) for run, table in tables.items()}
    shared = np.logical_and.reduce(list(good.values()))
    keys = next(iter(tables.values()))["key"].to_pylist()
    failed = {run: int((~each).sum()) for run, each in good.items()}
    return ShardRows(tables, keys, key_digests(keys), shared, failed)


def sampled_keys(rows: ShardRows, sampling: Sampling) -> list[str]:
    """The shared clips that baselines are judged on."""
    return [rows.keys[at] for at in np.flatnonzero(rows.shared & sampling.chosen(rows.digests)).tolist()]


def known_latents(rows: ShardRows, clips: Sequence[Clip]) -> list[Sequence[float] | None]:
    """The known latents of a shard's clips, row by row."""
    if [clip.info.key for clip in clips[: len(rows.keys)]] != rows.keys:
        raise UserError(
            "rows are not of their shard's clips in their order", where=next(iter(rows.tables)).uri, fix=FIX
        )
    return [clip.info.latent for clip in clips[: len(rows.keys)]]


@dataclass(frozen=True)
class RowJudge:
    """Sums over rows. labels: the classifier's number of each label name, None without a classifier. known: whether the clips'
    latents are of the generator from which random latents come."""

    sampling: Sampling
    labels: Mapping[str, int] | None
    known: bool
    how: Comparing

    def judged(self, rows: ShardRows, latents: Sequence[Sequence[float] | None] | None) -> Iterator[tuple[str, Sums]]:
        """Sums by table row: each run's, and the clips' own. latents: those known of the shard's clips, if any are compared."""
        at = np.flatnonzero(rows.shared)
        for first in range(0, len(at), BLOCK):
            chosen = at[first : first + BLOCK]
            tables = {run: _taken(table, chosen) for run, table in rows.tables.items()}
            known = None if latents is None else [latents[each] for each in chosen]
            yield from self._block(tables, Counted.by(self.sampling, rows.digests[chosen]), known)

    def _block(
        self, tables: Mapping[Run, pa.Table], counted: Counted, latents: Sequence[Sequence[float] | None] | None
    ) -> Iterator[tuple[str, Sums]]:
        heard = self.labels is not None
        some = next(iter(tables.values()))
        named, wanted = _wanted(some, self.labels or {})
        for run, table in tables.items():
            values = {
                name: _numbers(table, name) for name in ((*self.how.compared, *HEARD) if heard else self.how.compared)
            }
            right, sums = dict[str, Array](), Sums()
            if heard:
                right = labelled(named, wanted, _numbers(table, "predicted_label").astype(np.int64))
                if self.how.by_label:
                    sums = self.sampling.logit_sums(_vectors(table, "logits"), counted.digests, counted.counts)
            yield run.label, score_sums(values, counted, right) | sums
            if "evaluations" in table.column_names:
                yield run.label, evaluation_sums(table["evaluations"].to_numpy(), counted)
            if run.known and latents is not None:
                yield run.label, latent_sums(latents, _vectors(table, "latent"), counted)
        right, sums = dict[str, Array](), Sums()
        if heard:
            logits = _vectors(some, "clip_logits")
            right = labelled(named, wanted, logits.argmax(1))
            if self.how.by_label:
                sums = self.sampling.logit_sums(logits, counted.digests, counted.counts)
        copied = of_copy(_numbers(some, "clip_variance"), heard, self.how.zeros)
        yield REAL, score_sums(copied, counted, right) | sums
        if self.known and latents is not None:
            yield REAL, exact_latent_sums(latents, counted)


def _taken(table: pa.Table, at: Int[Array, " b"]) -> pa.Table:
    """The rows at these places; without a copy where they follow each other."""
    if at[-1] - at[0] + 1 == len(at):
        return table.slice(int(at[0]), len(at))
    return table.take(pa.array(at))


def _numbers(table: pa.Table, name: str) -> Float64[Array, " b"]:
    """A column of numbers. Raises UserError where a row that is no error has none."""
    values = table[name].to_numpy().astype(np.float64, copy=False)
    if not np.isfinite(values).all():
        raise UserError(f"rows with a result have no {name}", fix=FIX)
    return values


def _vectors(table: pa.Table, name: str) -> Float64[Array, "b k"]:
    """A column of fixed-size lists. Raises UserError where a row that is no error has none."""
    column = table[name].combine_chunks()
    flat = column.flatten().to_numpy(zero_copy_only=False).astype(np.float64)
    if column.null_count or not np.isfinite(flat).all():
        raise UserError(f"rows with a result have no {name}", fix=FIX)
    return flat.reshape(len(column), -1)


def _wanted(table: pa.Table, labels: Mapping[str, int]) -> tuple[Bool[Array, " b"], Int[Array, " b"]]:
    """Whether each clip has a label, and the classifier's number of it: UNKNOWN for one without, or that it does not know."""
    column = table["label_name"].combine_chunks().dictionary_encode()
    numbers = np.array(
        [labels.get(name, UNKNOWN) for name in column.dictionary.to_pylist()] + [UNKNOWN], dtype=np.int64
    )
    at = column.indices.fill_null(len(numbers) - 1).to_numpy(zero_copy_only=False)
    return at != len(numbers) - 1, numbers[at]
