"""What a worker of the reconstruction table does: sums over the rows of a Parquet file, which merge by adding up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from invertone.audio.clip import decode, to_float, to_int16
from invertone.audio.distances import image, image_mae, image_mse, image_ssim, waveform_mae, waveform_mse
from invertone.cluster.config.registry import resolved
from invertone.cluster.formats.latents import OK, read_part
from invertone.cluster.formats.ledger import Output
from invertone.cluster.formats.shards import Clip, ShardEntry, read_shard
from invertone.cluster.jobs.engine import UnitResult
from invertone.cluster.jobs.watch import Watch
from invertone.cluster.storage.folder import Folder
from invertone.eval.measures.estimates import Array, Sums, add, weighted
from invertone.eval.measures.labels import UNKNOWN, label_numbers, wanted_labels
from invertone.eval.measures.listener import Heard, Sampling, hear
from invertone.eval.measures.sums import file_name, packed
from invertone.eval.schemas.measures import MEASURES
from invertone.models.checkpoint import load_classifier
from invertone.models.device import worker_device
from invertone.models.generator import Generator, load_generator
from invertone.models.networks.features import feature_distance
from invertone.models.networks.resnet import ResNet18
from invertone.models.prior import seeded

BASELINES = ("real", "silence", "random latent")
RECOVERED = 0.99
"""The explained variance from which on a clip counts as recovered."""


@dataclass(frozen=True)
class Run:
    """An inference run: its row's label, where it lies, whether the clips' known latents are of its generator, its method."""

    label: str
    uri: str
    known: bool
    method: str


@dataclass(frozen=True)
class Job:
    """Where everything lies, after the defaults that the Parquet records were filled in.

    known: whether the clips' latents are of `generator`, from which the random latents come.
    """

    runs: tuple[Run, ...]
    shards: str
    generator: str
    known: bool
    classifier: str | None
    sampling: Sampling
    batch: int
    device: str


@dataclass(frozen=True)
class ReconstructionStage:
    """Picklable; models are loaded once per worker."""

    job: Job

    def open(self, threads: int, watch: Watch) -> Callable[[Mapping[str, Any]], UnitResult]:
        device = worker_device(self.job.device, threads)
        classifier: ResNet18 | None = None
        label_names: tuple[str, ...] = ()
        if self.job.classifier:
            classifier, checkpoint = load_classifier(self.job.classifier, device)
            label_names = checkpoint.label_names
        generator = load_generator(self.job.generator, device)[0]
        judge = Judge(generator, classifier, device, self.job.sampling, self.job.known, label_numbers(label_names))
        shards = Folder.at(self.job.shards)

        def process(work: Mapping[str, Any]) -> UnitResult:
            clips = {clip.info.key: clip for clip in read_shard(shards, ShardEntry(**work["shard"]))}
            rows = {run: _rows(run, work["parts"][run.label]) for run in self.job.runs}
            shared = [
                key for key in clips if all(key in found and found[key]["status"] == OK for found in rows.values())
            ]
            # items that killed the judge count as failed, as a clip does whose inversion failed
            lost = sum(key in watch.excluded for key in shared)
            sums: dict[str, Sums] = {}
            for run, found in rows.items():
                failed = lost + sum(row["status"] != OK for row in found.values())
                sums[run.label] = {"failed": np.array([float(failed)])}
            for batch in watch.batches(shared, self.job.batch, str):
                with watch.on(batch):
                    recovered = {run: [found[key] for key in batch] for run, found in rows.items()}
                    for row, part in judge.judged([clips[key] for key in batch], recovered):
                        add(sums.setdefault(row, {}), part)
            return UnitResult({file_name(work["unit"]): packed(sums)}, {"rows": len(shared)})

        return process


def _rows(run: Run, part: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in read_part(Folder.at(run.uri), Output(**part)).to_pylist()}


@dataclass(frozen=True)
class Sound:
    """Clips as the judge compares them. heard: by the classifier, if there is one."""

    waveform: Float[Tensor, "b n"]
    image: Float[Tensor, "b f t"]
    heard: Heard | None


@dataclass(frozen=True)
class Judge:
    """Sums over batches. known: whether the clips' latents are of `generator`, from which random latents come. labels: the
    classifier's number of each label name."""

    generator: Generator
    classifier: ResNet18 | None
    device: torch.device
    sampling: Sampling
    known: bool
    labels: Mapping[str, int] = field(default_factory=dict)

    @torch.no_grad()
    def judged(
        self, clips: Sequence[Clip], recovered: Mapping[Run, Sequence[Mapping[str, Any]]]
    ) -> Iterator[tuple[str, Sums]]:
        """Sums over a batch, by table row: each run's rows of these very clips, and the baselines."""
        target, counts = self._clips(clips), self._counts(clips)
        for run, rows in recovered.items():
            yield run.label, self._sums(target, self._sound(self._reconstructed(rows)), clips)
            yield run.label, _evaluations(rows, counts)
            if run.known:
                yield run.label, latent_sums(clips, [row["latent"] for row in rows], counts)
        draws = self._random([clip.info.key for clip in clips])
        yield "real", self._sums(target, target, clips)
        yield "silence", self._sums(target, self._sound(torch.zeros_like(target.waveform)), clips)
        yield "random latent", self._sums(target, self._sound(self._generated(draws)), clips)
        if self.known:
            yield "real", latent_sums(clips, [clip.info.latent or () for clip in clips], counts)
            yield "random latent", latent_sums(clips, draws.tolist(), counts)

    def _counts(self, clips: Sequence[Clip]) -> Array:
        return self.sampling.counts([clip.info.key for clip in clips])

    def _sound(self, waveform: Float[Tensor, "b n"]) -> Sound:
        heard = hear(self.classifier, waveform) if self.classifier is not None else None
        return Sound(waveform, image(waveform), heard)

    def _clips(self, clips: Sequence[Clip]) -> Sound:
        return self._sound(self._stack([to_float(decode(clip.audio)) for clip in clips]))

    def _reconstructed(self, rows: Sequence[Mapping[str, Any]]) -> Float[Tensor, "b n"]:
        """As written beside the latents, else made again from them."""
        if all(row["reconstruction"] is not None for row in rows):
            return self._stack([to_float(decode(row["reconstruction"]["bytes"])) for row in rows])
        return self._generated(torch.tensor(np.array([row["latent"] for row in rows], dtype=np.float32)))

    def _random(self, keys: Sequence[str]) -> Float[Tensor, "b z"]:
        """A latent from the prior for each clip, decided by seed and key, so that batches and units do not matter."""
        prior, size = self.generator.prior, self.generator.latent_size
        draws = [prior.sample(1, size, seeded(self.sampling.seed, "random latent", key)) for key in keys]
        return torch.cat(draws)

    @torch.no_grad()
    def _generated(self, latents: Float[Tensor, "b z"]) -> Float[Tensor, "b n"]:
        waveform = self.generator(latents.to(self.device)).float().cpu().numpy()
        return self._stack([to_float(to_int16(each)[0]) for each in waveform])

    def _stack(self, waveforms: Sequence[np.ndarray]) -> Float[Tensor, "b n"]:
        return torch.from_numpy(np.stack(waveforms)).to(self.device)

    def _sums(self, target: Sound, reconstruction: Sound, clips: Sequence[Clip]) -> Sums:
        wanted, found = target.waveform, reconstruction.waveform
        residual_variance = (wanted - found).double().var(dim=1, correction=0)
        clip_variance = wanted.double().var(dim=1, correction=0)
        values = {
            "clips": torch.ones(len(clips)),
            "waveform_mse": waveform_mse(wanted, found),
            "waveform_mae": waveform_mae(wanted, found),
            "spectrogram_mae": image_mae(target.image, reconstruction.image),
            "spectrogram_mse": image_mse(target.image, reconstruction.image),
            "ssim": image_ssim(target.image, reconstruction.image),
            "residual_variance": residual_variance,
            "clip_variance": clip_variance,
            # so written that a silent clip is recovered by silence alone
            "recovered": residual_variance <= (1 - RECOVERED) * clip_variance,
        }
        values |= {each.name: resolved(each.per_clip)(wanted, found) for each in MEASURES if each.per_clip}
        keys, counts = [clip.info.key for clip in clips], self._counts(clips)
        if target.heard is None or reconstruction.heard is None:
            return weighted(_arrays(values), counts)
        labels = torch.from_numpy(wanted_labels(clips, self.labels)).to(self.device)
        values |= {
            "named": torch.tensor([clip.info.label_name is not None for clip in clips]),
            "labelled": labels != UNKNOWN,
            "correct": (labels != UNKNOWN) & (labels == reconstruction.heard.logits.argmax(1)),
            "feature_distance": feature_distance(target.heard.blocks, reconstruction.heard.blocks),
            "cosine_distance": 1
            - torch.cosine_similarity(target.heard.penultimate.double(), reconstruction.heard.penultimate.double()),
        }
        return weighted(_arrays(values), counts) | self.sampling.sums(reconstruction.heard, keys, counts)


def latent_sums(clips: Sequence[Clip], recovered: Sequence[Sequence[float]], counts: Float64[Array, "b r"]) -> Sums:
    """Over the clips with a known latent: the sum of their mean squared errors per coordinate, and how many they are."""
    errors = [
        float(np.square(np.subtract(clip.info.latent, found)).mean()) if clip.info.latent else 0.0
        for clip, found in zip(clips, recovered, strict=True)
    ]
    known = np.array([clip.info.latent is not None for clip in clips])
    return weighted({"latent_square": np.array(errors), "latents_known": known}, counts)


def _evaluations(rows: Sequence[Mapping[str, Any]], counts: Float64[Array, "b r"]) -> Sums:
    """Rows written before there was such a column say nothing."""
    found = [row.get("evaluations") for row in rows]
    known = np.array([each is not None for each in found])
    return weighted({"evaluations": np.array([each or 0 for each in found]), "evaluations_known": known}, counts)


def _arrays(values: Mapping[str, Tensor]) -> dict[str, Array]:
    return {name: value.double().cpu().numpy() for name, value in values.items()}
