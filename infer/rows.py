"""Clips → rows: inverted, reconstructed, scored. Decoding and encoding run beside compute."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invertone.audio.clip import Samples, encode, to_float, to_int16
from invertone.cluster.errors import without_addresses
from invertone.cluster.formats.latents import ERROR, OK
from invertone.cluster.formats.shards import Clip
from invertone.cluster.jobs.watch import Watch
from invertone.infer.decoding import ahead, key_of, keys_of
from invertone.infer.methods.method import Inverter
from invertone.infer.schemas.shared import InferConfig
from invertone.infer.threads import CALLER, Threads
from invertone.infer.tiles import tile_size, tiles
from invertone.models.networks.resnet import ResNet18
from invertone.models.scores import Scores, score

Row = dict[str, Any]


@dataclass
class ShardInverter:
    """Turns clips into rows, `config.batch` at a time. label_names: of the classifier. `seconds`: time in the inverter,
    decoding and scoring left out."""

    config: InferConfig
    inverter: Inverter
    classifier: ResNet18 | None
    device: torch.device
    threads: Threads = CALLER
    label_names: Sequence[str] = ()
    seconds: float = 0.0

    def take_seconds(self) -> float:
        """The time since it was last taken."""
        seconds, self.seconds = self.seconds, 0.0
        return seconds

    def rows(self, clips: Sequence[Clip], watch: Watch | None = None) -> list[Row]:
        """One row per clip, in order. A clip that cannot be decoded or inverted is a row with its error."""
        watch = watch or Watch()
        batches = list(watch.batches(clips, self.config.batch, key_of))
        excluded = [clip for clip in clips if key_of(clip) in watch.excluded]
        rows = {key_of(clip): self._failed(clip, watch.excluded[key_of(clip)]) for clip in excluded}
        finished: list[Future[list[Row]]] = []
        with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
            for batch, decoded in ahead(reader, batches, watch):
                pairs = list(zip(batch, decoded, strict=True))
                good = [(clip, samples) for clip, samples in pairs if not isinstance(samples, str)]
                bad = [self._failed(clip, reason) for clip, reason in pairs if isinstance(reason, str)]
                with watch.on(keys_of(batch)):
                    computed = self._computed(good)
                finished.append(writer.submit(self._finish, computed, bad, watch))
                if key_of(batch[0]) in watch.suspects:  # alone to its end: the next one waits
                    finished[-1].result()
            rows |= {row["key"]: row for future in finished for row in future.result()}
        return [rows[key] for key in keys_of(clips)]

    def _computed(self, good: Sequence[tuple[Clip, Samples]]) -> list[Row]:
        """Rows of one batch. If the batch raises, its clips are tried one by one, so that only the guilty one fails."""
        if not good:
            return []
        try:
            return self._invert(good)
        except (RuntimeError, ValueError, ArithmeticError, IndexError) as error:
            if len(good) == 1:
                return [self._failed(good[0][0], f"{type(error).__name__}: {error}")]
            return [row for each in good for row in self._computed([each])]

    def _invert(self, good: Sequence[tuple[Clip, Samples]]) -> list[Row]:
        target = torch.from_numpy(to_float(np.stack([samples for _, samples in good]))).to(self.device)
        since = time.monotonic()
        inversion = self.inverter(target, [key_of(clip) for clip, _ in good])
        waveform = inversion.waveform.float().cpu().numpy()
        self.seconds += time.monotonic() - since
        quantised = [to_int16(each)[0] for each in np.nan_to_num(waveform)]
        # What is judged is what is written: the 16-bit reconstruction.
        heard = torch.from_numpy(to_float(np.stack(quantised))).to(self.device)
        columns = self._scored(target, heard) | {
            "steps": inversion.steps.tolist(),
            "evaluations": inversion.evaluations.tolist(),
            "loss": inversion.loss.double().tolist(),
            "losses": _structs(inversion.terms, len(good)),
            "stopped": list(inversion.stopped),
            "trajectory": [None] * len(good) if inversion.trajectories is None else list(inversion.trajectories),
        }
        predicted = columns["predicted_label"]
        columns["predicted_label_name"] = [None if each is None else self.label_names[each] for each in predicted]
        columns |= {name: list(each.float().cpu().numpy()) for name, each in inversion.vectors.items()}
        latents = inversion.latent.float().cpu().numpy()
        return [
            self._row(clip, latents[i], quantised[i], {name: values[i] for name, values in columns.items()})
            for i, (clip, _) in enumerate(good)
        ]

    def _scored(self, target: Tensor, heard: Tensor) -> dict[str, list[Any]]:
        """Scores by column, of tiles of one shape, so that a clip's do not depend on its batch."""
        size = tile_size(self.device)
        parts = self.threads.map(self._score, tiles(target, size), tiles(heard, size))

        def column(name: str) -> list[Any]:
            found = [getattr(part, name) for part in parts]
            return _list(None if found[0] is None else torch.cat(found), len(target))

        return {each.name: column(each.name) for each in dataclasses.fields(Scores)}

    def _score(self, target: Tensor, heard: Tensor) -> Scores:
        return score(target, heard, self.classifier)

    def _row(self, clip: Clip, latent: np.ndarray, samples: Samples, scores: Mapping[str, Any]) -> Row:
        if not (np.isfinite(latent).all() and np.isfinite(scores["loss"])):
            return self._failed(clip, "latent or loss is not finite")
        made = {"latent": latent, "reconstruction": samples, "status": OK, "error": None}
        return {**self._described(clip), **scores, **made}

    def _failed(self, clip: Clip, reason: str) -> Row:
        return self._described(clip) | {"status": ERROR, "error": without_addresses(reason)}

    def _described(self, clip: Clip) -> Row:
        info = clip.info
        return {
            "key": info.key,
            "label": info.label,
            "label_name": info.label_name,
            "speaker": info.speaker,
            "split": info.split,
            "source_uri": info.source_uri,
            "start": info.start,
            "length": info.length,
            "method": self.config.method,
        }

    def _finish(self, computed: list[Row], failed: list[Row], watch: Watch) -> list[Row]:
        """Encodes reconstructions. These clips are still in hand: what kills the worker here is theirs, not the next
        batch's."""
        with watch.on([row["key"] for row in computed]):
            return self._encoded(computed) + failed

    def _encoded(self, computed: list[Row]) -> list[Row]:
        for row in computed:
            samples = row.pop("reconstruction", None)
            if samples is not None and self.config.reconstructions:
                extension = self.config.reconstruction_format
                row["reconstruction"] = {"bytes": encode(samples, extension), "path": f"{row['key']}.{extension}"}
        return computed


def _structs(terms: Mapping[str, Tensor], count: int) -> list[dict[str, float]]:
    values = {name: term.double().tolist() for name, term in terms.items()}
    return [{name: each[at] for name, each in values.items()} for at in range(count)]


def _list(values: Tensor | None, count: int) -> list[Any]:
    if values is None:
        return [None] * count
    values = values[:count]
    return values.double().tolist() if values.is_floating_point() else values.tolist()
