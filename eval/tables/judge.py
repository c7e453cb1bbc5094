"""How the reconstruction table judges signals: sums over batches of clips or pictures and of what became of them, which
merge by adding up."""

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

from invertone.audio.clip import to_int16
from invertone.cluster.config.registry import resolved
from invertone.cluster.formats.latents import CLASS_PROBABILITIES, GENERATOR_LABEL, HEARD
from invertone.cluster.formats.shards import Clip
from invertone.cluster.formats.signals import SignalFormat, kind_of
from invertone.eval.measures.comparing import RANDOM, REAL, Comparing, Seen, comparing
from invertone.eval.measures.draws import key_digests
from invertone.eval.measures.estimates import Array, Sums
from invertone.eval.measures.labels import wanted_labels
from invertone.eval.measures.listener import Sampling
from invertone.eval.schemas.measures import MEASURES, Measure
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
from invertone.models.scores import Heard, variance
from invertone.models.signals import Signal, Values, signal_of


@dataclass(frozen=True)
class Run:
    """An inference run: its row's label, where it lies, whether the clips' known latents are of its generator, its method."""

    label: str
    uri: str
    known: bool
    method: str


@dataclass(frozen=True)
class Batch:
    """Clips, as they are compared, and how each counts. labels: the classifier's number of each clip's label."""

    clips: Sequence[Clip]
    seen: Seen
    counted: Counted
    labels: Array

    @property
    def keys(self) -> list[str]:
        return [clip.info.key for clip in self.clips]

    def of(self, chosen: Sequence[int]) -> Batch:
        """Those of them at the places `chosen`."""
        clips = [self.clips[at] for at in chosen]
        return Batch(clips, self.seen.of(chosen), self.counted.of(chosen), self.labels[chosen])


@dataclass(frozen=True)
class Judge:
    """Sums over batches. format: what the generator makes. known: whether the clips' latents are of `generator`, from which
    random latents come. labels: the classifier's number of each label name. blank: the reconstruction that holds nothing of
    its own, without which it is silence."""

    generator: Generator
    format: SignalFormat
    classifier: SignalClassifier | None
    device: torch.device
    sampling: Sampling
    known: bool
    labels: Mapping[str, int] = field(default_factory=dict)
    blank: Values | None = None

    @torch.no_grad()
    def judged(
        self, clips: Sequence[Clip], recovered: Mapping[Run, Sequence[Mapping[str, Any]]]
    ) -> Iterator[tuple[str, Sums]]:
        """Sums over a batch, by table row: each run's rows of these very clips, and the baselines, of which the blank one and
        random latent take the clips of the sample alone."""
        batch = self.batch(clips)
        known = _known(clips)
        for run, rows in recovered.items():
            yield run.label, self._sums(batch, self.look(self.reconstructed(rows, batch)))
            yield run.label, evaluation_sums([row.get("evaluations") for row in rows], batch.counted)
            if run.known:
                yield run.label, latent_sums(known, _stacked([row["latent"] for row in rows]), batch.counted)
        yield REAL, self._copied(batch)
        if self.known:
            yield REAL, exact_latent_sums(known, batch.counted)
        yield from self._baselines(batch)

    @torch.no_grad()
    def baselines(self, clips: Sequence[Clip]) -> Iterator[tuple[str, Sums]]:
        """The blank reconstruction and random latent alone, of clips that are in the sample."""
        yield from self._baselines(self.batch(clips))

    def _baselines(self, batch: Batch) -> Iterator[tuple[str, Sums]]:
        chosen = np.flatnonzero(self.sampling.chosen(batch.counted.digests)).tolist()
        if not chosen:
            return
        if len(chosen) < len(batch.clips):
            batch = batch.of(chosen)
        draws = self.random_latents(batch.keys)
        yield self._how.blank, self._sums(batch, self.blanks(len(chosen)))
        yield RANDOM, self._sums(batch, self.look(self.generated(draws)))
        if self.known:
            yield RANDOM, latent_sums(_known(batch.clips), draws.double().numpy(), batch.counted)

    def batch(self, clips: Sequence[Clip]) -> Batch:
        """Clips as they are compared with what became of them."""
        seen = self.look(self._views([self._signal.decode(clip.data) for clip in clips]))
        counted = Counted.by(self.sampling, key_digests([clip.info.key for clip in clips]))
        return Batch(clips, seen, counted, wanted_labels(clips, self.labels))

    @property
    def _signal(self) -> Signal:
        return signal_of(self.format)

    @property
    def _how(self) -> Comparing:
        return comparing(self.format)

    def look(self, signal: Float[Tensor, "b ..."]) -> Seen:
        """Signals as they are compared."""
        seen: Seen = self._how.seen(signal, self.classifier)
        return seen

    @cached_property
    def _one_blank(self) -> Seen:
        nothing = torch.zeros(1, *self.format.view, device=self.device)
        return self.look(nothing if self.blank is None else self._views([self.blank]))

    def blanks(self, count: int) -> Seen:
        """The reconstruction that holds nothing of its own, so often; seen once, for all are alike."""
        return self._one_blank.of([0] * count)

    def reconstructed(self, rows: Sequence[Mapping[str, Any]], batch: Batch) -> Float[Tensor, "b ..."]:
        """As written beside the latents, else made again from them, and of what the generator was told beside them."""
        if all(row.get("reconstruction") is not None for row in rows):
            return self._views([self._signal.decode(row["reconstruction"]["bytes"]) for row in rows])
        latents = torch.tensor(np.array([row["latent"] for row in rows], dtype=np.float32))
        told = [row.get(GENERATOR_LABEL) for row in rows]
        labels = None if None in told else torch.tensor(told)
        if isinstance(self.generator, SpectrogramGenerator):
            return self._recovered(self.generator, latents, self._shares(rows, labels), batch)
        return self.generated(latents, labels)

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
        waveform = generator.sound(spectrogram, phase_seeds(batch.keys), generator.level(batch.seen.signal))
        return self._views([to_int16(each)[0] for each in waveform.numpy()])

    def random_latents(self, keys: Sequence[str]) -> Float[Tensor, "b z"]:
        """A latent from the prior for each clip, decided by seed and key, so that batches and units do not matter."""
        prior, size = self.generator.prior, self.generator.latent_size
        draws = [prior.sample(1, size, seeded(self.sampling.seed, RANDOM, key)) for key in keys]
        return torch.cat(draws)

    def generated(self, latents: Float[Tensor, "b z"], told: Int[Tensor, " b"] | None = None) -> Float[Tensor, "b ..."]:
        """What the generator makes of latents, as files have it. told: its own numbers of the labels that it takes."""
        label = None if told is None else told.to(self.device)
        made = self.generator(latents.to(self.device), label).float().cpu()
        return self._views(list(self._signal.quantised(made).numpy()))

    def _views(self, signals: Sequence[Values]) -> Float[Tensor, "b ..."]:
        return torch.from_numpy(self._signal.views(signals)).to(self.device)

    def _copied(self, batch: Batch) -> Sums:
        """The clips as copies of themselves, which need no comparing; measures of others are asked."""
        wanted, heard = batch.seen.signal, batch.seen.heard
        values = of_copy(_array(variance(wanted)), heard is not None, self._how.zeros)
        values |= {each.name: _array(resolved(each.per_clip)(wanted, wanted)) for each in self._per_clip}
        return self._summed(batch, values, heard)

    def _sums(self, batch: Batch, reconstruction: Seen) -> Sums:
        wanted, found = batch.seen.signal, reconstruction.signal
        scores = self._how.compare(batch.seen, reconstruction)
        names = (*self._how.compared, *(HEARD if reconstruction.heard else ()))
        values = {name: getattr(scores, name) for name in names}
        values |= {each.name: resolved(each.per_clip)(wanted, found) for each in self._per_clip}
        return self._summed(batch, {name: _array(value) for name, value in values.items()}, reconstruction.heard)

    @property
    def _per_clip(self) -> list[Measure]:
        """Measures of these signals that are asked of each pair."""
        return [each for each in MEASURES if each.per_clip and each.of(kind_of(self.format))]

    def _summed(self, batch: Batch, values: Mapping[str, Array], heard: Heard | None) -> Sums:
        if heard is None:
            return score_sums(values, batch.counted)
        right, counted = dict[str, Array](), batch.counted
        if heard.logits.shape[1]:
            named = np.array([clip.info.label_name is not None for clip in batch.clips])
            right = labelled(named, batch.labels, heard.logits.argmax(1).cpu().numpy())
        of = self.sampling.sums if self._how.by_label else self.sampling.embedding_sums
        return score_sums(values, counted, right) | of(heard, counted.digests, counted.counts)


def _known(clips: Sequence[Clip]) -> list[tuple[float, ...] | None]:
    return [clip.info.latent for clip in clips]


def _stacked(latents: Sequence[Sequence[float]]) -> Float64[Array, "b z"]:
    return np.array(latents, dtype=np.float64)


def _array(value: Tensor) -> Array:
    return value.double().cpu().numpy()
