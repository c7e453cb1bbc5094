"""The recogniser of faces: cross-entropy of identities, or triplets (Schroff, Kalenichenko & Philbin 2015)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invertone.cluster.errors import UserError
from invertone.cluster.formats.shards import ShardManifest
from invertone.models.networks.recogniser import STAGES, WIDTH_STEP, Recogniser
from invertone.train.data.augmentation import mirrored
from invertone.train.identity import semi_hard_triplets
from invertone.train.loop import reduce
from invertone.train.loop.schedule import scheduled
from invertone.train.objective import Batch, Draw, Phase
from invertone.train.recipe import Recipe, Setting
from invertone.train.schemas.pictures import RecogniserConfig


class RecogniserObjective:
    """Best by `separation`: variance of embeddings between identities as a share of all of it, of validation pictures. It needs
    no identity of the training among them, and is the same however they are cut into batches."""

    kind = "recogniser"
    averages = ()
    better: tuple[str, int] | None = ("separation", 1)
    frozen: Mapping[str, nn.Module] = {}

    def __init__(self, config: RecogniserConfig, identities: int) -> None:
        self.config, self.identities = config, identities
        taught = identities if config.loss == "cross-entropy" else 0
        self.recogniser = Recogniser(config.embedding, taught, config.width, config.blocks, config.size)
        self.networks = {"classifier": self.recogniser}
        self.optimisers = {
            "classifier": torch.optim.AdamW(
                self.recogniser.parameters(), config.learning_rate, weight_decay=config.weight_decay
            )
        }
        self.phases = (Phase("recogniser", ("classifier",), self.losses, real_batches=1),)

    def learning_rate(self, step: int) -> float:
        return scheduled(self.config.schedule, step, self.config.steps)

    def losses(self, draw: Draw) -> dict[str, Tensor]:
        batch = draw.real()
        picture = mirrored(batch.signal, draw) if self.config.mirror else batch.signal
        if self.config.loss == "triplet":
            # Of all ranks' pictures: a triplet may need those of several.
            embedding, label = reduce.gathered(self.recogniser.embed(picture)), reduce.gathered(batch.label)
            return {"triplet": semi_hard_triplets(embedding, label, self.config.margin)}
        return {"cross_entropy": F.cross_entropy(self.recogniser(picture), batch.label, ignore_index=-1)}

    def settle(self, draw: Draw) -> None:
        """Nothing is averaged."""

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        known = batch.label >= 0
        logits, embedding, _ = self.recogniser.seen(batch.signal)
        embedding = embedding[known].double()
        of = F.one_hot(batch.label[known], self.identities).double()
        sums = {"sum": of.T @ embedding, "pictures": of.sum(0), "square": embedding.square().sum()}
        if self.recogniser.outputs:
            sums["correct"] = (logits.argmax(1) == batch.label)[known].sum()
        return sums

    def finish(self, totals: Mapping[str, Tensor], count: int) -> dict[str, float]:
        pictures = totals["pictures"]
        of_each = (totals["sum"].square().sum(1) / pictures.clamp_min(1)).sum()
        of_all = totals["sum"].sum(0).square().sum() / pictures.sum().clamp_min(1)
        spread = totals["square"] - of_all
        metrics = {"separation": float((of_each - of_all) / spread) if spread > 0 else 0.0}
        if "correct" in totals:
            metrics["accuracy"] = float(totals["correct"]) / max(1.0, float(pictures.sum()))
        return metrics

    def samples(self, real: Batch) -> dict[str, Tensor]:
        return {}

    def manifest(self) -> dict[str, Any]:
        return {}


def _build(config: RecogniserConfig, setting: Setting) -> RecogniserObjective:
    return RecogniserObjective(config, setting.labels)


def check_recogniser(config: RecogniserConfig, manifest: ShardManifest) -> None:
    """Raises UserError for shards without identities, sizes that no network has, and batches without triplets."""
    identities = len(manifest.label_names)
    if identities < 2:
        held = f"one identity, {manifest.label_names[0]}" if identities else "no identities"
        raise UserError(
            f"shards have {held}: a recogniser learns to tell several apart",
            where=config.shards,
            fix="ingest a corpus whose pictures have labels",
        )
    if len(config.blocks) != len(STAGES) or min(config.blocks) < 0 or config.blocks[-1] < 1:
        raise UserError(
            f"blocks={config.blocks} are not those of {len(STAGES)} stages, of which the last has one at least",
            fix="give three numbers, as blocks=[5,10,6]",
        )
    if config.width % WIDTH_STEP:
        nearest = max(1, round(config.width / WIDTH_STEP)) * WIDTH_STEP
        raise UserError(f"width={config.width} is no multiple of {WIDTH_STEP}", fix=f"use width={nearest}")
    pairs = config.batch * (config.batch - 1) / 2 / identities
    if config.loss == "triplet" and pairs < 1:
        raise UserError(
            f"loss=triplet: a batch of {config.batch} pictures of {identities:,} identities holds {pairs:.2g} pairs of one "
            "identity on average, and a triplet needs one",
            fix=f"use batch={math.ceil(math.sqrt(2 * identities)) + 1} or more, or loss=cross-entropy",
        )


RECIPE = Recipe(_build, check_recogniser, signal="picture")
