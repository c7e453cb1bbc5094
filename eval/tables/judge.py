"""How the reconstruction table judges sound: sums over batches of clips and what became of them, which merge by adding up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor
from torch.nn import functional as F

from invertone.audio.clip import Samples, decode, to_int16, waveforms
from invertone.cluster.config.registry import resolved
from invertone.cluster.formats.latents import CLASS_PROBABILITIES, COMPARED, GENERATOR_LABEL, HEARD
from invertone.cluster.formats.shards import Clip
from invertone.cluster.formats.signals import ClipFormat
from invertone.eval.measures.draws import key_digests
from invertone.eval.measures.estimates import Array, Sums
from invertone.eval.measures.labels import wanted_labels
from invertone.eval.measures.listener import Sampling
from invertone.eval.schemas.measures import MEASURES
from invertone.eval.tables.row_sums import (
    Counted,
    evaluation_sums,
    exact_latent_sums,
    labelled,
    latent_sums,
    of_copy,
    score_sums,
)
from invertone.models.generator import Generator, SpectrogramGenerator
from invertone.models.networks.listening import SignalClassifier
from invertone.models.networks.phase import phase_seeds
from invertone.models.prior import seeded
from invertone.models.scores import Heard, Sound, compare, sound_of, variance

BASELINES = (REAL, SILENCE, RANDOM) = ("real", "silence", "random latent")


@dataclass(frozen=True)
class Run:
    """An inference run: its row's label, where it lies, whether the clips' known latents are of its generator, its method."""

    label: str
    uri: str
    known: bool
    method: str


@dataclass(frozen=True)
class Batch:
    """Clips, as they sound, and how each counts. labels: the classifier's number of each clip's label."""

    clips: Sequence[Clip]
    sound: Sound
    counted: Counted
    labels: Array

    @property
    def keys(self) -> list[str]:
        return [clip.info.key for clip in self.clips]

    def of(self, chosen: Sequence[int]) -> Batch:
        """Those of them at the places `chosen`."""
        clips = [self.clips[at] for at in chosen]
        return Batch(clips, self.sound.of(chosen), self.counted.of(chosen), self.labels[chosen])


@dataclass(frozen=True)
class Judge:
    """Sums over batches. clips: what the generator makes. known: whether the clips' latents are of `generator`, from which
    random latents come. labels: the classifier's number of each label name."""

    generator: Generator
    clips: ClipFormat
    classifier: SignalClassifier | None
    device: torch.device
    sampling: Sampling
    known: bool
    labels: Mapping[str, int] = field(default_factory=dict)

    @torch.no_grad()
    def judged(
        self, clips: Sequence[Clip], recovered: Mapping[Run, Sequence[Mapping[str, Any]]]
    ) -> Iterator[tuple[str, Sums]]:
        """Sums over a batch, by table row: each run's rows of these very clips, and the baselines, of which silence and random
        latent take the clips of the sample alone."""
        batch = self._batch(clips)
        known = _known(clips)
        for run, rows in recovered.items():
            yield run.label, self._sums(batch, self._sound(self._reconstructed(rows, batch)))
            yield run.label, evaluation_sums([row.get("evaluations") for row in rows], batch.counted)
            if run.known:
                yield run.label, latent_sums(known, _stacked([row["latent"] for row in rows]), batch.counted)
        yield REAL, self._copied(batch)
        if self.known:
            yield REAL, exact_latent_sums(known, batch.counted)
        yield from self._baselines(batch)

    @torch.no_grad()
    def baselines(self, clips: Sequence[Clip]) -> Iterator[tuple[str, Sums]]:
        """Silence and random latent alone, of clips that are in the sample."""
        yield from self._baselines(self._batch(clips))

    def _baselines(self, batch: Batch) -> Iterator[tuple[str, Sums]]:
        chosen = np.flatnonzero(self.sampling.chosen(batch.counted.digests)).tolist()
        if not chosen:
            return
        if len(chosen) < len(batch.clips):
            batch = batch.of(chosen)
        draws = self._random(batch.keys)
        yield SILENCE, self._sums(batch, self._silence(len(chosen)))
        yield RANDOM, self._sums(batch, self._sound(self._generated(draws)))
        if self.known:
            yield RANDOM, latent_sums(_known(batch.clips), draws.double().numpy(), batch.counted)

    def _batch(self, clips: Sequence[Clip]) -> Batch:
        sound = self._sound(self._waveforms([decode(clip.data) for clip in clips]))
        counted = Counted.by(self.sampling, key_digests([clip.info.key for clip in clips]))
        return Batch(clips, sound, counted, wanted_labels(clips, self.labels))

    def _sound(self, waveform: Float[Tensor, "b *c n"]) -> Sound:
        return sound_of(waveform, self.classifier)

    @cached_property
    def _one_silence(self) -> Sound:
        return self._sound(torch.zeros(1, *self.clips.view, device=self.device))

    def _silence(self, count: int) -> Sound:
        """Heard once: all of it is alike."""
        return self._one_silence.of([0] * count)

    def _reconstructed(self, rows: Sequence[Mapping[str, Any]], batch: Batch) -> Float[Tensor, "b *c n"]:
        """As written beside the latents, else made again from them, and of what the generator was told beside them."""
        if all(row.get("reconstruction") is not None for row in rows):
            return self._waveforms([decode(row["reconstruction"]["bytes"]) for row in rows])
        latents = torch.tensor(np.array([row["latent"] for row in rows], dtype=np.float32))
        told = [row.get(GENERATOR_LABEL) for row in rows]
        labels = None if None in told else torch.tensor(told)
        if isinstance(self.generator, SpectrogramGenerator):
            return self._recovered(self.generator, latents, self._shares(rows, labels), batch)
        return self._generated(latents, labels)

    def _shares(self, rows: Sequence[Mapping[str, Any]], labels: Int[Tensor, " b"] | None) -> Float[Tensor, "b k"]:
        """What a decoder of spectrograms was told of each label: `infer gaae` tells all probabilities, other methods one label;
        [b, 0] where it takes none."""
        probabilities = [row.get(CLASS_PROBABILITIES) for row in rows]
        if None not in probabilities:
            return torch.tensor(np.array(probabilities, dtype=np.float32))
        count = len(getattr(self.generator, "label_names", ()))
        if not count:
            return torch.zeros(len(rows), 0)
        assert labels is not None, "rows of a generator that takes labels say which"
        return F.one_hot(labels, count).float()

    def _recovered(
        self,
        generator: SpectrogramGenerator,
        latents: Float[Tensor, "b z"],
        shares: Float[Tensor, "b k"],
        batch: Batch,
    ) -> Float[Tensor, "b n"]:
        """As inference makes it: at the clips' levels, with the phases of their keys; on a CPU each spectrogram alone, for PGHI
        turns the last bit of a magnitude into another sound."""
        pairs = latents.to(self.device), shares.to(self.device)
        parts = zip(*(each.split(1 if self.device.type == "cpu" else len(latents)) for each in pairs), strict=True)
        spectrogram = torch.cat([generator.spectrogram(*part) for part in parts])
        waveform = generator.sound(spectrogram, phase_seeds(batch.keys), generator.level(batch.sound.waveform))
        return self._waveforms([to_int16(each)[0] for each in waveform.numpy()])

    def _random(self, keys: Sequence[str]) -> Float[Tensor, "b z"]:
        """A latent from the prior for each clip, decided by seed and key, so that batches and units do not matter."""
        prior, size = self.generator.prior, self.generator.latent_size
        draws = [prior.sample(1, size, seeded(self.sampling.seed, RANDOM, key)) for key in keys]
        return torch.cat(draws)

    def _generated(
        self, latents: Float[Tensor, "b z"], told: Int[Tensor, " b"] | None = None
    ) -> Float[Tensor, "b *c n"]:
        label = None if told is None else told.to(self.device)
        waveform = self.generator(latents.to(self.device), label).float().cpu().numpy()
        return self._waveforms([to_int16(each.T)[0] for each in waveform])

    def _waveforms(self, clips: Sequence[Samples]) -> Float[Tensor, "b *c n"]:
        return torch.from_numpy(waveforms(clips)).to(self.device)

    def _copied(self, batch: Batch) -> Sums:
        """The clips as copies of themselves, which need no comparing; measures of others are asked."""
        wanted, heard = batch.sound.waveform, batch.sound.heard
        values = of_copy(_array(variance(wanted)), heard is not None)
        values |= {each.name: _array(resolved(each.per_clip)(wanted, wanted)) for each in MEASURES if each.per_clip}
        return self._summed(batch, values, heard)

    def _sums(self, batch: Batch, reconstruction: Sound) -> Sums:
        wanted, found, scores = batch.sound.waveform, reconstruction.waveform, compare(batch.sound, reconstruction)
        values = {name: getattr(scores, name) for name in (*COMPARED, *(HEARD if reconstruction.heard else ()))}
        values |= {each.name: resolved(each.per_clip)(wanted, found) for each in MEASURES if each.per_clip}
        return self._summed(batch, {name: _array(value) for name, value in values.items()}, reconstruction.heard)

    def _summed(self, batch: Batch, values: Mapping[str, Array], heard: Heard | None) -> Sums:
        if heard is None:
            return score_sums(values, batch.counted)
        named = np.array([clip.info.label_name is not None for clip in batch.clips])
        right = labelled(named, batch.labels, heard.logits.argmax(1).cpu().numpy())
        counted = batch.counted
        return score_sums(values, counted, right) | self.sampling.sums(heard, counted.digests, counted.counts)


def _known(clips: Sequence[Clip]) -> list[tuple[float, ...] | None]:
    return [clip.info.latent for clip in clips]


def _stacked(latents: Sequence[Sequence[float]]) -> Float64[Array, "b z"]:
    return np.array(latents, dtype=np.float64)


def _array(value: Tensor) -> Array:
    return value.double().cpu().numpy()
