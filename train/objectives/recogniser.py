"""The recogniser of faces: cross-entropy of identities, or triplets (Schroff, Kalenichenko & Philbin 2015)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from invertone.models.networks.recogniser import Recogniser
from invertone.train.identity import semi_hard_triplets
from invertone.train.loop import reduce
from invertone.train.loop.schedule import scheduled
from invertone.train.objective import Batch, Draw, Phase
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
        embedding = self.recogniser.embed(batch.signal)[known].double()
        of = F.one_hot(batch.label[known], self.identities).double()
        return {"sum": of.T @ embedding, "pictures": of.sum(0), "square": embedding.square().sum()}

    def finish(self, totals: Mapping[str, Tensor], count: int) -> dict[str, float]:
        pictures = totals["pictures"]
        of_each = (totals["sum"].square().sum(1) / pictures.clamp_min(1)).sum()
        of_all = totals["sum"].sum(0).square().sum() / pictures.sum().clamp_min(1)
        spread = totals["square"] - of_all
        return {"separation": float((of_each - of_all) / spread) if spread > 0 else 0.0}

    def samples(self, real: Batch) -> dict[str, Tensor]:
        return {}

    def manifest(self) -> dict[str, Any]:
        return {}


def mirrored(picture: Float[Tensor, "b c h w"], draw: Draw) -> Float[Tensor, "b c h w"]:
    """Half of them, each with its own chance, left and right exchanged."""
    return torch.where(draw.uniform(1, 1, 1) < 0.5, picture.flip(3), picture)
