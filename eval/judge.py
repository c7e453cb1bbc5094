"""What a worker of the reconstruction table does: sums over the rows of a Parquet file, which merge by adding up."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from audio.clip import decode, to_float, to_int16
from cluster.engine import UnitResult
from cluster.ledger import Output
from cluster.shards import Clip, ShardEntry, read_shard
from cluster.storage import Folder
from cluster.tables import OK, read_part
from cluster.watch import Watch
from models.checkpoint import load_classifier
from models.device import worker_device
from models.generator import Generator, load_generator
from models.prior import seeded
from models.resnet import ResNet18
from models.scores import score

BASELINES = ("real", "silence", "random latent")
RECOVERED = 0.99
"""The explained variance from which on a clip counts as recovered."""
SUMS = (
    "clips", "failed", "waveform_mse", "spectrogram_mae", "ssim", "residual_variance", "clip_variance", "recovered",
    "labelled", "correct", "feature_distance", "latent_square", "latents_known", "evaluations", "evaluations_known",
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """An inference run: its row's label, where it lies, and whether the clips' known latents are of its generator."""

    label: str
    uri: str
    known: bool


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
    seed: int
    batch: int
    device: str


@dataclass(frozen=True)
class ReconstructionStage:
    """Picklable; models are loaded once per worker."""

    job: Job

    def open(self, threads: int, watch: Watch) -> Callable[[Mapping[str, Any]], UnitResult]:
        device = worker_device(self.job.device, threads)
        judge = Judge(
            load_generator(self.job.generator, device)[0],
            load_classifier(self.job.classifier, device)[0] if self.job.classifier else None,
            device,
            self.job.seed,
            self.job.known,
        )
        shards = Folder.at(self.job.shards)

        def process(work: Mapping[str, Any]) -> UnitResult:
            clips = {clip.info.key: clip for clip in read_shard(shards, ShardEntry(**work["shard"]))}
            rows = read_part(Folder.at(work["latents"]), Output(**work["part"])).to_pylist()
            sums: dict[str, dict[str, float]] = {}
            for batch in watch.batches(rows, self.job.batch, lambda row: row["key"]):
                with watch.on([row["key"] for row in batch]):
                    for row, part in judge.judged(batch, clips, work["row"], work["known"], work["baselines"]):
                        into = sums.setdefault(row, dict.fromkeys(SUMS, 0.0))
                        for name, value in part.items():
                            into[name] += value
            lost = sum(row["key"] in watch.excluded for row in rows)
            if lost:  # they count as failed, as a clip does whose inversion failed
                sums.setdefault(work["row"], dict.fromkeys(SUMS, 0.0))["failed"] += lost
            return UnitResult(statistics={"rows": sums})

        return process


@dataclass(frozen=True)
class Judge:
    generator: Generator
    classifier: ResNet18 | None
    device: torch.device
    seed: int
    known: bool

    def judged(
        self, rows: Sequence[Mapping[str, Any]], clips: Mapping[str, Clip], name: str, known: bool, baselines: bool
    ) -> Iterator[tuple[str, dict[str, float]]]:
        """Sums over a batch, by table row. `known`: whether the clips' latents are of the generator that was inverted."""
        good = [row for row in rows if row["status"] == OK]
        yield name, {"failed": float(len(rows) - len(good))}
        if good:
            clips_of_good = [clips[row["key"]] for row in good]
            target = self._heard(clips_of_good)
            yield name, self._sums(target, self._reconstructed(good), clips_of_good)
            yield name, _evaluations(good)
            if known:
                yield name, latent_sums(clips_of_good, [row["latent"] for row in good])
        if baselines:
            judged = [clips[row["key"]] for row in rows]
            target, draws = self._heard(judged), self._random([row["key"] for row in rows])
            yield "real", self._sums(target, target, judged)
            yield "silence", self._sums(target, torch.zeros_like(target), judged)
            yield "random latent", self._sums(target, self._generated(draws), judged)
            if self.known:
                yield "real", latent_sums(judged, [clip.info.latent or () for clip in judged])
                yield "random latent", latent_sums(judged, draws.tolist())

    def _heard(self, clips: Sequence[Clip]) -> Float[Tensor, "b n"]:
        return self._stack([to_float(decode(clip.audio)) for clip in clips])

    def _reconstructed(self, rows: Sequence[Mapping[str, Any]]) -> Float[Tensor, "b n"]:
        """As written beside the latents, else made again from them."""
        if all(row["reconstruction"] is not None for row in rows):
            return self._stack([to_float(decode(row["reconstruction"]["bytes"])) for row in rows])
        return self._generated(torch.tensor(np.array([row["latent"] for row in rows], dtype=np.float32)))

    def _random(self, keys: Sequence[str]) -> Float[Tensor, "b z"]:
        """A latent from the prior for each clip, decided by seed and key, so that batches and units do not matter."""
        prior, size = self.generator.prior, self.generator.latent_size
        draws = [prior.sample(1, size, seeded(self.seed, "random latent", key)) for key in keys]
        return torch.cat(draws)

    @torch.no_grad()
    def _generated(self, latents: Float[Tensor, "b z"]) -> Float[Tensor, "b n"]:
        waveform = self.generator(latents.to(self.device)).float().cpu().numpy()
        return self._stack([to_float(to_int16(each)[0]) for each in waveform])

    def _stack(self, waveforms: Sequence[np.ndarray]) -> Float[Tensor, "b n"]:
        return torch.from_numpy(np.stack(waveforms)).to(self.device)

    def _sums(self, target: Tensor, reconstruction: Tensor, clips: Sequence[Clip]) -> dict[str, float]:
        scores = score(target, reconstruction, self.classifier)
        residual_variance = (target - reconstruction).double().var(dim=1, correction=0)
        clip_variance = target.double().var(dim=1, correction=0)
        sums = {
            "clips": float(len(clips)),
            "waveform_mse": _sum(scores.waveform_mse),
            "spectrogram_mae": _sum(scores.spectrogram_mae),
            "ssim": _sum(scores.ssim),
            "residual_variance": _sum(residual_variance),
            "clip_variance": _sum(clip_variance),
            # so written that a silent clip is recovered by silence alone
            "recovered": _sum(residual_variance <= (1 - RECOVERED) * clip_variance),
        }
        if scores.predicted_label is not None and scores.feature_distance is not None:
            labels = [clip.info.label for clip in clips]
            predicted = scores.predicted_label.tolist()
            sums["labelled"] = float(sum(label is not None for label in labels))
            sums["correct"] = float(sum(a == b for a, b in zip(labels, predicted, strict=True) if a is not None))
            sums["feature_distance"] = _sum(scores.feature_distance)
        return sums


def latent_sums(clips: Sequence[Clip], recovered: Sequence[Sequence[float]]) -> dict[str, float]:
    """Over the clips with a known latent: the sum of their mean squared errors per coordinate, and how many they are."""
    pairs = [(clip.info.latent, found) for clip, found in zip(clips, recovered, strict=True) if clip.info.latent]
    errors = [float(np.square(np.subtract(known, found)).mean()) for known, found in pairs]
    return {"latent_square": math.fsum(errors), "latents_known": float(len(errors))}


def _evaluations(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Rows written before there was such a column say nothing."""
    counts = [row["evaluations"] for row in rows if row.get("evaluations") is not None]
    return {"evaluations": float(sum(counts)), "evaluations_known": float(len(counts))}


def _sum(values: Tensor) -> float:
    return float(values.double().sum())
