"""What workers of the recognition table do: embeddings of the gallery, then where probes of a shard stand in it."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from threadpoolctl import ThreadpoolController

from invertone.cluster.formats.latents import OK
from invertone.cluster.formats.ledger import LIMIT, Ledger
from invertone.cluster.formats.shards import Clip, ShardEntry, entry_of, read_shard
from invertone.cluster.formats.signals import SignalFormat
from invertone.cluster.jobs.engine import UnitResult
from invertone.cluster.jobs.watch import Watch
from invertone.cluster.storage.folder import Folder
from invertone.eval.measures.comparing import MEAN_FACE, RANDOM, REAL, Seen
from invertone.eval.measures.draws import key_digests
from invertone.eval.measures.estimates import Array, Sums, add
from invertone.eval.measures.listener import Sampling
from invertone.eval.measures.recognised import match_sums
from invertone.eval.measures.sums import file_name, packed
from invertone.eval.schemas.recognition import AUTO, KEY, LABEL, SPEAKER
from invertone.eval.tables.judge import Judge, Run
from invertone.eval.tables.judge_stage import rows_of
from invertone.images.recognition import Match, matches
from invertone.models.checkpoint import load_classifier
from invertone.models.device import worker_device
from invertone.models.generator import load_generator
from invertone.models.signals import Values, signal_of

STRANGERS = "strangers"


def identity_of(clip: Clip, how: str) -> str:
    """Who a picture is of; see `RecognitionConfig.identity`. What is known of nobody else is its key, marked as such."""
    info = clip.info
    known = {AUTO: info.speaker, SPEAKER: info.speaker, LABEL: info.label_name, KEY: None}[how]
    return f"name {known}" if known else f"key {info.key}"


@dataclass(frozen=True)
class GalleryStage:
    """Picklable. Writes embeddings [n, d] and identities of a shard's pictures."""

    shards: str
    format: SignalFormat
    classifier: str
    identity: str
    batch: int
    device: str

    def open(self, threads: int, watch: Watch) -> Callable[[Mapping[str, Any]], UnitResult]:
        device, shards = worker_device(self.device, threads), Folder.at(self.shards)
        classifier = load_classifier(self.classifier, device)[0]
        signal = signal_of(self.format)

        @torch.no_grad()
        def embedded(clips: Sequence[Clip]) -> Float[Array, "b d"]:
            views = signal.views([signal.decode(clip.data) for clip in clips])
            embeddings: Array = classifier.seen(torch.from_numpy(views).to(device))[1].float().cpu().numpy()
            return embeddings

        def process(work: Mapping[str, Any]) -> UnitResult:
            clips = list(read_shard(shards, *entry_of(work)))
            found, identities = list[Array](), list[str]()
            for batch in watch.batches(clips, self.batch, lambda clip: clip.info.key):
                with watch.on([clip.info.key for clip in batch]):
                    found.append(embedded(batch))
                identities += [identity_of(clip, self.identity) for clip in batch]
            buffer = io.BytesIO()
            embeddings = np.concatenate(found) if found else np.zeros((0, 0), np.float32)
            np.savez(buffer, embeddings=embeddings, identities=np.array(identities, dtype=np.str_))
            return UnitResult({f"{work['name']}.npz": buffer.getvalue()}, {"pictures": len(identities)})

        return process


@dataclass(frozen=True)
class Gallery:
    """Embeddings [n, d], and who each is of."""

    embeddings: Float[Array, "n d"]
    identities: list[str]


def read_gallery(folder: Folder) -> Gallery:
    """What `GalleryStage` wrote, shard after shard in the order of their names."""
    outputs = sorted((output for commit in Ledger(folder).commits() for output in commit.outputs), key=lambda o: o.name)
    found, identities = list[Array](), list[str]()
    for output in outputs:
        data = folder.read_verified(output.name, output.bytes, output.sha256, "make the table with a new out")
        with np.load(io.BytesIO(data), allow_pickle=False) as held:
            if len(held["identities"]):
                found.append(held["embeddings"])
                identities += held["identities"].tolist()
    return Gallery(np.concatenate(found), identities)


@dataclass(frozen=True)
class RecognitionJob:
    """Where everything lies. gallery: the folder of its embeddings. mean: the mean face."""

    runs: tuple[Run, ...]
    shards: str
    format: SignalFormat
    generator: str
    classifier: str
    gallery: Folder
    mean: Values
    identity: str
    sampling: Sampling
    batch: int
    device: str


@dataclass(frozen=True)
class RecognitionStage:
    """Picklable; models and gallery are loaded once per worker. Sums over the probes of a shard, by table row."""

    job: RecognitionJob

    def open(self, threads: int, watch: Watch) -> Callable[[Mapping[str, Any]], UnitResult]:
        worker = _Worker(self.job, threads, watch)

        def process(work: Mapping[str, Any]) -> UnitResult:
            sums = worker.recognised(work)
            return UnitResult({file_name(work["unit"]): packed(sums)})

        return process


@dataclass
class _Probes:
    """Of a row: the digests of their keys decide how often each counts; who each is of; embeddings, None of what failed."""

    keys: list[str]
    identities: list[str]
    embeddings: list[Array | None]


@dataclass(frozen=True)
class _Worker:
    job: RecognitionJob
    threads: int
    watch: Watch

    @functools.cached_property
    def gallery(self) -> Gallery:
        return read_gallery(self.job.gallery)

    @functools.cached_property
    def known(self) -> frozenset[str]:
        return frozenset(self.gallery.identities)

    @functools.cached_property
    def judge(self) -> Judge:
        job, device = self.job, worker_device(self.job.device, self.threads)
        classifier, generator = load_classifier(job.classifier, device)[0], load_generator(job.generator, device)[0]
        return Judge(generator, job.format, classifier, device, job.sampling, False, blank=job.mean)

    @functools.cached_property
    def blas(self) -> ThreadpoolController:
        """NumPy's products are not torch's, and would take all CPUs."""
        return ThreadpoolController()

    def recognised(self, work: Mapping[str, Any]) -> dict[str, Sums]:
        job = self.job
        shard = ShardEntry(**work["shard"])
        rows = {run: rows_of(run, work["parts"][run.label]) for run in job.runs}
        read = list(read_shard(Folder.at(job.shards), shard, work.get(LIMIT)))
        clips = [clip for clip in read if all(clip.info.key in found for found in rows.values())]
        mates = [clip for clip in clips if identity_of(clip, job.identity) in self.known]
        probes: dict[str, _Probes] = {}
        for batch in self.watch.batches(mates, job.batch, lambda clip: clip.info.key):
            with self.watch.on([clip.info.key for clip in batch]), torch.no_grad():
                self._embedded(batch, rows, probes)
        sums: dict[str, Sums] = {}
        for row, found in probes.items():
            counts = job.sampling.counts(key_digests(found.keys))
            sums[row] = match_sums(self._matches(found), counts)
            sums[row]["failed"] = np.array([float(sum(each is None for each in found.embeddings))])
        lost = sum(clip.info.key in self.watch.excluded for clip in mates)
        add(sums.setdefault(REAL, {}), {STRANGERS: np.array([float(len(clips) - len(mates))])})
        if lost:
            add(sums[REAL], {"failed": np.array([float(lost)])})
        return sums

    def _embedded(
        self, clips: Sequence[Clip], rows: Mapping[Run, Mapping[str, Any]], probes: dict[str, _Probes]
    ) -> None:
        """Adds a batch's embeddings to `probes`, by row."""
        judge, batch = self.judge, self.judge.batch(clips)
        self._add(probes, REAL, clips, batch.seen)
        for run, found in rows.items():
            at = [number for number, clip in enumerate(clips) if found[clip.info.key]["status"] == OK]
            if at:
                made = judge.reconstructed([found[clips[number].info.key] for number in at], batch.of(at))
                self._add(probes, run.label, [clips[number] for number in at], judge.look(made))
            self._add(probes, run.label, [clip for number, clip in enumerate(clips) if number not in at], None)
        chosen = np.flatnonzero(self.job.sampling.chosen(batch.counted.digests)).tolist()
        if chosen:
            some = [clips[number] for number in chosen]
            self._add(probes, MEAN_FACE, some, judge.blanks(len(some)))
            draws = judge.random_latents([clip.info.key for clip in some])
            self._add(probes, RANDOM, some, judge.look(judge.generated(draws)))

    def _add(self, probes: dict[str, _Probes], row: str, clips: Sequence[Clip], seen: Seen | None) -> None:
        """seen: None of what failed."""
        kept = probes.setdefault(row, _Probes([], [], []))
        kept.keys += [clip.info.key for clip in clips]
        kept.identities += [identity_of(clip, self.job.identity) for clip in clips]
        if seen is None:
            kept.embeddings += [None] * len(clips)
            return
        assert seen.heard is not None, "there is a recogniser"
        kept.embeddings += list(seen.heard.penultimate.float().cpu().numpy())

    def _matches(self, probes: _Probes) -> list[Match]:
        size = self.gallery.embeddings.shape[1]
        nothing = np.full(size, np.nan, np.float32)
        embeddings = np.stack([nothing if each is None else each for each in probes.embeddings])
        with self.blas.limit(limits=self.threads, user_api="blas"):
            return matches(embeddings, probes.identities, self.gallery.embeddings, self.gallery.identities)
