"""What a worker of the reconstruction table does: sums over the clips of its unit, from what inference's rows say of them or
from the signals themselves."""

from __future__ import annotations

import functools
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from invertone.cluster.formats.latents import CLASS_PROBABILITIES, GENERATOR_LABEL, OK, read_part
from invertone.cluster.formats.ledger import LIMIT, Output
from invertone.cluster.formats.shards import Clip, ShardEntry, read_shard
from invertone.cluster.formats.signals import USUAL, SignalFormat
from invertone.cluster.jobs.engine import UnitResult
from invertone.cluster.jobs.watch import Watch
from invertone.cluster.storage.folder import Folder
from invertone.eval.measures.comparing import Comparing, comparing
from invertone.eval.measures.estimates import Sums, add
from invertone.eval.measures.labels import label_numbers
from invertone.eval.measures.listener import Sampling
from invertone.eval.measures.sums import file_name, packed
from invertone.eval.tables.judge import Judge, Run
from invertone.eval.tables.judged_rows import RowJudge, known_latents, read_rows, sampled_keys
from invertone.models.checkpoint import folder_of, load_classifier
from invertone.models.device import worker_device
from invertone.models.generator import load_generator
from invertone.models.signals import Values

SOUND_COLUMNS = (
    *("key", "status", "latent", "reconstruction", "evaluations"),
    *(GENERATOR_LABEL, CLASS_PROBABILITIES),
)


@dataclass(frozen=True)
class Job:
    """Where everything lies, after the defaults that the Parquet records were filled in.

    known: whether the clips' latents are of `generator`, from which the random latents come. from_rows: whether the rows say
    what there is to say of reconstructions, so that only the sample of the baselines is heard. format: of all signals; blank:
    as `Judge` has it.
    """

    runs: tuple[Run, ...]
    shards: str
    generator: str
    known: bool
    classifier: str | None
    sampling: Sampling
    batch: int
    device: str
    from_rows: bool = False
    format: SignalFormat = USUAL
    blank: Values | None = None


@dataclass(frozen=True)
class ReconstructionStage:
    """Picklable; models are loaded once per worker, and only by one that hears anything."""

    job: Job

    def open(self, threads: int, watch: Watch) -> Callable[[Mapping[str, Any]], UnitResult]:
        worker = _Worker(self.job, threads, watch)

        def process(work: Mapping[str, Any]) -> UnitResult:
            sums: dict[str, Sums] = {}
            clips = worker.read(work["shards"], sums) if self.job.from_rows else worker.heard(work, sums)
            return UnitResult({file_name(work["unit"]): packed(sums)}, {"rows": clips})

        return process


@dataclass(frozen=True)
class _Worker:
    """Adds up shards, each with the Parquet files of the runs: `work` has `shard` and `parts`."""

    job: Job
    threads: int
    watch: Watch

    @functools.cached_property
    def blas(self) -> ThreadpoolController:
        """NumPy's products are not torch's, and would take all CPUs. Looking for its libraries takes milliseconds: once."""
        return ThreadpoolController()

    @functools.cached_property
    def judge(self) -> Judge:
        job, device = self.job, worker_device(self.job.device, self.threads)
        classifier = load_classifier(job.classifier, device)[0] if job.classifier else None
        generator = load_generator(job.generator, device)[0]
        return Judge(generator, job.format, classifier, device, job.sampling, job.known, self.labels, job.blank)

    @property
    def how(self) -> Comparing:
        return comparing(self.job.format)

    @functools.cached_property
    def labels(self) -> dict[str, int]:
        """The classifier's number of each label that it knows; no weights are read for it."""
        if not self.job.classifier:
            return {}
        return label_numbers(folder_of(self.job.classifier, "classifier", "classifier")[1].label_names)

    def heard(self, work: Mapping[str, Any], sums: dict[str, Sums]) -> int:
        """From the signals. Returns how many clips all runs have."""
        job = self.job
        clips = {clip.info.key: clip for clip in self._clips(work)}
        rows = {run: rows_of(run, work["parts"][run.label]) for run in job.runs}
        shared = [key for key in clips if all(key in found and found[key]["status"] == OK for found in rows.values())]
        lost = sum(key in self.watch.excluded for key in shared)
        for run, found in rows.items():
            self._fail(sums, run, lost + sum(row["status"] != OK for row in found.values()))
        for batch in self.watch.batches(shared, job.batch, str):
            with self.watch.on(batch):
                recovered = {run: [found[key] for key in batch] for run, found in rows.items()}
                for row, part in self.judge.judged([clips[key] for key in batch], recovered):
                    add(sums.setdefault(row, {}), part)
        return len(shared)

    def read(self, works: Sequence[Mapping[str, Any]], sums: dict[str, Sums]) -> int:
        """From the rows' columns, and the baselines from the signals of a sample. Returns how many clips all runs have."""
        count, sample = 0, list[Clip]()
        for number, work in enumerate(works, 1):
            self.watch.beat()
            with self.blas.limit(limits=self.threads, user_api="blas"):
                more, clips = self._read(work, sums)
            count, sample = count + more, sample + clips
            if len(sample) >= self.job.batch or number == len(works):
                self._baselines(sample, sums)
                sample = []
        return count

    def _baselines(self, sample: Sequence[Clip], sums: dict[str, Sums]) -> None:
        for batch in self.watch.batches(sample, self.job.batch, lambda clip: clip.info.key):
            with self.watch.on([clip.info.key for clip in batch]):
                for row, part in self.judge.baselines(batch):
                    add(sums.setdefault(row, {}), part)

    def _read(self, work: Mapping[str, Any], sums: dict[str, Sums]) -> tuple[int, list[Clip]]:
        """How many clips of the shard all runs have, and those that are in the sample."""
        job = self.job
        all_rows = read_rows(job.runs, work, job.classifier is not None, self.how)
        rows, lost = all_rows.without(self.watch.excluded)
        for run in job.runs:
            self._fail(sums, run, lost + rows.failed[run])
        sample, latents, clips = set(sampled_keys(rows, job.sampling)), None, list[Clip]()
        if job.known or any(run.known for run in job.runs):
            clips = self._clips(work)
            latents = known_latents(rows, clips)
        elif sample:
            clips = self._clips(work, sample)
        judge = RowJudge(job.sampling, self.labels if job.classifier else None, job.known, self.how)
        for row, part in judge.judged(rows, latents):
            add(sums.setdefault(row, {}), part)
        return int(all_rows.shared.sum()), [clip for clip in clips if clip.info.key in sample]

    def _clips(self, work: Mapping[str, Any], keys: Container[str] | None = None) -> list[Clip]:
        """Of the shard, or those of `keys`."""
        return list(read_shard(Folder.at(self.job.shards), ShardEntry(**work["shard"]), work.get(LIMIT), keys))

    def _fail(self, sums: dict[str, Sums], run: Run, failed: int) -> None:
        """Items that killed the judge count as failed, as a clip does whose inversion failed."""
        add(sums.setdefault(run.label, {}), {"failed": np.array([float(failed)])})


def rows_of(run: Run, part: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What a run says of a shard's clips, by key, with their reconstructions."""
    table = read_part(Folder.at(run.uri), Output(**part), SOUND_COLUMNS)
    return {row["key"]: row for row in table.to_pylist()}
