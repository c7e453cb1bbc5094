"""What a worker of the reconstruction table does: sums over the rows of a Parquet file, which merge by adding up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from audio.clip import decode, to_float, to_int16
from audio.distances import image, image_mae, image_mse, image_ssim, waveform_mae, waveform_mse
from cluster.engine import UnitResult
from cluster.ledger import Output
from cluster.shards import Clip, ShardEntry, read_shard
from cluster.storage import Folder
from cluster.tables import OK, read_part
from cluster.watch import Watch
from eval.listener import Heard, Sampling, hear
from eval.measures import Array, Sums, add, weighted
from eval.sums import file_name, packed
from models.checkpoint import load_classifier
from models.device import worker_device
from models.features import feature_distance
from models.generator import Generator, load_generator
from models.prior import seeded
from models.resnet import ResNet18

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
        judge = Judge(
            load_generator(self.job.generator, device)[0],
            load_classifier(self.job.classifier, device)[0] if self.job.classifier else None,
            device,
            self.job.sampling,
            self.job.known,
        )
        shards = Folder.at(self.job.shards)

        def process(work: Mapping[str, Any]) -> UnitResult:
            clips = {clip.info.key: clip for clip in read_shard(shards, ShardEntry(**work["shard"]))}
            rows = read_part(Folder.at(work["latents"]), Output(**work["part"])).to_pylist()
            sums: dict[str, Sums] = {work["row"]: {}}
            for batch in watch.batches(rows, self.job.batch, lambda row: row["key"]):
                with watch.on([row["key"] for row in batch]):
                    for row, part in judge.judged(batch, clips, work["row"], work["known"], work["baselines"]):
                        add(sums.setdefault(row, {}), part)
            lost = sum(row["key"] in watch.excluded for row in rows)
            # they count as failed, as a clip does whose inversion failed
            add(sums[work["row"]], {"failed": np.array([float(lost)])})
            return UnitResult({file_name(work["unit"]): packed(sums)}, {"rows": len(rows)})

        return process


@dataclass(frozen=True)
class Sound:
    """Clips as the judge compares them. heard: by the classifier, if there is one."""

    waveform: Float[Tensor, "b n"]
    image: Float[Tensor, "b f t"]
    heard: Heard | None


@dataclass(frozen=True)
class Judge:
    """Sums over batches. known: whether the clips' latents are of `generator`, from which random latents come."""

    generator: Generator
    classifier: ResNet18 | None
    device: torch.device
    sampling: Sampling
    known: bool

    @torch.no_grad()
    def judged(
        self, rows: Sequence[Mapping[str, Any]], clips: Mapping[str, Clip], name: str, known: bool, baselines: bool
    ) -> Iterator[tuple[str, Sums]]:
        """Sums over a batch, by table row. `known`: whether the clips' latents are of the generator that was inverted."""
        good = [row for row in rows if row["status"] == OK]
        yield name, {"failed": np.array([float(len(rows) - len(good))])}
        if good:
            clips_of_good = [clips[row["key"]] for row in good]
            target = self._clips(clips_of_good)
            yield name, self._sums(target, self._sound(self._reconstructed(good)), clips_of_good)
            counts = self._counts(clips_of_good)
            yield name, _evaluations(good, counts)
            if known:
                yield name, latent_sums(clips_of_good, [row["latent"] for row in good], counts)
        if baselines:
            judged = [clips[row["key"]] for row in rows]
            if len(good) < len(rows) or not good:
                target = self._clips(judged)
            draws = self._random([row["key"] for row in rows])
            silence = self._sound(torch.zeros_like(target.waveform))
            yield "real", self._sums(target, target, judged)
            yield "silence", self._sums(target, silence, judged)
            yield "random latent", self._sums(target, self._sound(self._generated(draws)), judged)
            if self.known:
                counts = self._counts(judged)
                yield "real", latent_sums(judged, [clip.info.latent or () for clip in judged], counts)
                yield "random latent", latent_sums(judged, draws.tolist(), counts)

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
        keys, counts = [clip.info.key for clip in clips], self._counts(clips)
        if target.heard is None or reconstruction.heard is None:
            return weighted(_arrays(values), counts)
        labels = [clip.info.label for clip in clips]
        predicted = reconstruction.heard.logits.argmax(1).tolist()
        values |= {
            "labelled": torch.tensor([label is not None for label in labels]),
            "correct": torch.tensor([label == heard for label, heard in zip(labels, predicted, strict=True)]),
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
