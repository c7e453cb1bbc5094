"""Clips → rows: inverted, reconstructed, scored, in columns. Decoding and encoding run beside compute."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from invertone.cluster.errors import without_addresses
from invertone.cluster.formats.latents import (
    ERROR,
    GENERATOR_LABEL,
    GENERATOR_LABEL_NAME,
    LATENTS,
    OK,
    SCORED,
    SOUNDING,
)
from invertone.cluster.formats.shards import Clip
from invertone.cluster.formats.signals import USUAL, ClipFormat, SignalFormat
from invertone.cluster.jobs.watch import Watch
from invertone.infer.columns import Clock, OnHost, Part, in_order, joined, record_batch
from invertone.infer.decoding import BatchDecoder, Decoded, ahead
from invertone.infer.methods.method import Inverter, ToldInverter
from invertone.infer.schemas.shared import InferConfig
from invertone.infer.threads import CALLER, Threads
from invertone.infer.tiles import tile_size, tiles
from invertone.models import picture_scores, scores
from invertone.models.device import full_precision
from invertone.models.networks.listening import SignalClassifier
from invertone.models.picture_scores import PictureScores
from invertone.models.scores import Scores
from invertone.models.signals import Values, signal_of

Row = dict[str, Any]
DEPTH = 2
"""Batches that are decoded ahead of the one that is computed, and that wait behind it to be encoded."""


@dataclass
class ShardInverter:
    """Turns clips into rows of `schema`, `config.batch` at a time. label_names: of the classifier. cores: threads that decode,
    and that encode. format: of the clips or pictures. generator_labels: names of the labels that the generator takes; told:
    whether the inverter is told each clip's own. `seconds`: time in the inverter, decoding and scoring left out."""

    config: InferConfig
    inverter: Inverter
    classifier: SignalClassifier | None
    device: torch.device
    schema: pa.Schema
    format: SignalFormat = USUAL
    threads: Threads = CALLER
    label_names: Sequence[str] = ()
    cores: int = 1
    generator_labels: Sequence[str] = ()
    told: bool = False
    seconds: float = 0.0

    def take_seconds(self) -> float:
        """The time since it was last taken."""
        seconds, self.seconds = self.seconds, 0.0
        return seconds

    def rows(self, clips: Sequence[Clip], watch: Watch | None = None) -> list[Row]:
        """`table` as one dict per clip."""
        return self.table(clips, watch).to_pylist()

    def table(self, clips: Sequence[Clip], watch: Watch | None = None) -> pa.Table:
        """One row per clip, in order. A clip that cannot be decoded or inverted is a row with its error."""
        watch = watch or Watch()
        keys = [clip.info.key for clip in clips]
        errors = {number: watch.excluded[key] for number, key in enumerate(keys) if key in watch.excluded}
        labels, unlabelled = self._told(clips) if self.told else ({}, {})
        errors = unlabelled | errors
        usable = [number for number in range(len(clips)) if number not in unlabelled]
        batches = list(watch.batches(usable, self.config.batch, keys.__getitem__))
        usual = [batch for batch in batches if keys[batch[0]] not in watch.suspects]
        parts: list[Part] = []
        with ExitStack() as pools:
            decoders, encoders = (pools.enter_context(ThreadPoolExecutor(self.cores)) for _ in range(2))
            writer = pools.enter_context(ThreadPoolExecutor(1))
            decoder = BatchDecoder(clips, self.format, watch, decoders, self.cores, self.device.type == "cuda", labels)
            parts += self._parts(decoder, usual, watch, writer, encoders)
            for batch in batches[len(usual) :]:  # suspects, each alone from its beginning to its end
                parts += self._parts(decoder, [batch], watch, writer, encoders)
        whole = joined([Part([], None, errors), *parts])
        return in_order(self.schema, self._described(clips, whole.errors), whole)

    def _told(self, clips: Sequence[Clip]) -> tuple[dict[int, int], dict[int, str]]:
        """The labels of clips as the generator numbers them, by the clip's number; why others have none. Names are what shards
        and generators have in common."""
        numbers = {name: number for number, name in enumerate(self.generator_labels)}
        labels, errors = dict[int, int](), dict[int, str]()
        for at, name in enumerate(clip.info.label_name for clip in clips):
            if name in numbers:
                labels[at] = numbers[name]
            else:
                errors[at] = f"label=clip, and {'it has none' if name is None else f'the generator takes no {name!r}'}"
        return labels, errors

    def _parts(
        self,
        decoder: BatchDecoder,
        batches: Sequence[Sequence[int]],
        watch: Watch,
        writer: ThreadPoolExecutor,
        encoders: ThreadPoolExecutor,
    ) -> Iterator[Part]:
        """The rows of these batches, in order. No more than DEPTH batches wait before the networks, or behind them."""
        leaving: deque[Future[Part]] = deque()
        for decoded in ahead(decoder, batches, DEPTH):
            with ExitStack() as held:  # in hand until written: a GPU may compute the batch still
                held.enter_context(watch.on(decoded.keys))
                found, errors = self._computed(decoded)
                leaving.append(writer.submit(self._finished, found, decoded.errors | errors, encoders, held.pop_all()))
            if len(leaving) > DEPTH:
                yield leaving.popleft().result()
        yield from (part.result() for part in leaving)

    def _computed(self, decoded: Decoded) -> tuple[list[_Computed], dict[int, str]]:
        """What is found of one batch, and why nothing is of some clips. If the batch raises, its clips are tried one by one,
        so that only the guilty one fails."""
        if not decoded.numbers:
            return [], {}
        try:
            return [self._invert(decoded)], {}
        except (RuntimeError, ValueError, ArithmeticError, IndexError) as error:
            if len(decoded.numbers) == 1:
                return [], {decoded.numbers[0]: f"{type(error).__name__}: {error}"}
        found, errors = list[_Computed](), dict[int, str]()
        for at in range(len(decoded.numbers)):
            one, wrong = self._computed(decoded.part(at))
            found += one
            errors |= wrong
        return found, errors

    def _invert(self, decoded: Decoded) -> _Computed:
        signal = signal_of(self.format)
        target = signal.view(decoded.samples.to(self.device, non_blocking=True))
        clock = Clock(self.device)
        if decoded.labels is None:
            inversion = self.inverter(target, decoded.keys)
        else:
            inversion = cast(ToldInverter, self.inverter)(target, decoded.keys, decoded.labels.to(self.device))
        clock.stop()
        numbers = {"latent": inversion.latent, "steps": inversion.steps, "evaluations": inversion.evaluations}
        numbers |= dict(inversion.vectors) | dict(inversion.numbers)
        if inversion.loss is not None:
            numbers |= {"loss": inversion.loss} | {f"losses.{name}": each for name, each in inversion.terms.items()}
        lists: dict[str, Sequence[Any]] = {"stopped": inversion.stopped}
        if inversion.trajectories is not None:
            lists["trajectory"] = inversion.trajectories
        if self.config.rows != LATENTS:
            assert inversion.signal is not None, "asked for"
            # what is judged is what is written: the reconstruction of 16 bits, or 8
            samples = signal.quantised(inversion.signal.float())
            if self.config.rows in SCORED:
                numbers |= self._scored(target, signal.view(samples))
            if self.config.rows in SOUNDING:
                numbers["samples"] = samples
        return _Computed(decoded, OnHost(numbers), lists, clock)

    def _scored(self, target: Float[Tensor, "b ..."], made: Float[Tensor, "b ..."]) -> dict[str, Tensor]:
        """Scores by column, of tiles of one shape, so that a clip's do not depend on its batch."""
        size = tile_size(self.device)
        parts = self.threads.map(self._score, tiles(target, size), tiles(made, size))
        names = [each.name for each in dataclasses.fields(parts[0]) if getattr(parts[0], each.name) is not None]
        return {name: torch.cat([getattr(part, name) for part in parts])[: len(target)] for name in names}

    def _score(self, target: Float[Tensor, "t ..."], made: Float[Tensor, "t ..."]) -> Scores | PictureScores:
        score = scores.score if isinstance(self.format, ClipFormat) else picture_scores.score
        with full_precision():
            return score(target, made, self.classifier)

    def _finished(
        self,
        found: Sequence[_Computed],
        errors: Mapping[int, str],
        encoders: ThreadPoolExecutor,
        held: AbstractContextManager[object],
    ) -> Part:
        """The columns of one batch, its reconstructions encoded. These clips are still in hand: what kills the worker here is
        theirs, not the next batch's."""
        with held:
            parts = [self._columns(each, encoders) for each in found]
            self.seconds += sum(each.clock.seconds() for each in found)
            return joined([Part([], None, errors), *parts])

    def _columns(self, found: _Computed, encoders: ThreadPoolExecutor) -> Part:
        """One that is not finite is an error."""
        values: dict[str, Any] = {**found.numbers.arrays(), **found.lists}
        finite = np.isfinite(values["latent"]).all(1)
        if "loss" in values:
            finite &= np.isfinite(values["loss"])
        numbers = np.asarray(found.decoded.numbers)
        errors = dict.fromkeys(numbers[~finite].tolist(), "latent or loss is not finite")
        good = np.flatnonzero(finite).tolist()
        if errors:
            values = {
                name: each[finite] if isinstance(each, np.ndarray) else [each[at] for at in good]
                for name, each in values.items()
            }
        if "samples" in values:
            keys = [found.decoded.keys[at] for at in good]
            values["reconstruction"] = self._encoded(keys, values.pop("samples"), encoders)
        if GENERATOR_LABEL in values:
            told = values[GENERATOR_LABEL].tolist()
            values[GENERATOR_LABEL_NAME] = [self.generator_labels[each] for each in told]
        if "predicted_label" in values:
            values["predicted_label_name"] = [self.label_names[each] for each in values["predicted_label"].tolist()]
        return Part(numbers[finite].tolist(), record_batch(self.schema, values, len(good)), errors)

    def _encoded(self, keys: Sequence[str], samples: Values, encoders: ThreadPoolExecutor) -> list[dict[str, Any]]:
        """Each clip or picture, as files have its values, as a file, by all encoders."""
        signal = signal_of(self.format)
        asked = self.config.reconstruction_format
        extension = asked if asked in signal.formats else signal.formats[0]
        files = encoders.map(lambda each: signal.encode(each, extension, self.format), samples)
        return [{"bytes": file, "path": f"{key}.{extension}"} for key, file in zip(keys, files, strict=True)]

    def _described(self, clips: Sequence[Clip], errors: Mapping[int, str]) -> dict[str, Sequence[Any]]:
        """What is known of each clip however it ended."""
        infos = [clip.info for clip in clips]
        reasons = [without_addresses(errors[number]) if number in errors else None for number in range(len(clips))]
        return {
            "key": [info.key for info in infos],
            "label": [info.label for info in infos],
            "label_name": [info.label_name for info in infos],
            "speaker": [info.speaker for info in infos],
            "split": [info.split for info in infos],
            "source_uri": [info.source_uri for info in infos],
            "start": [info.start for info in infos],
            "length": [info.length for info in infos],
            "method": [self.config.method] * len(infos),
            "status": [OK if reason is None else ERROR for reason in reasons],
            "error": reasons,
        }


@dataclass(frozen=True)
class _Computed:
    """What was found of the clips that were decoded, on its way to the host."""

    decoded: Decoded
    numbers: OnHost
    lists: Mapping[str, Sequence[Any]]
    clock: Clock
