"""A feed-forward classifier on the latents of a trained BiGAN, as GAAE's paper has it (section VII): the feature network stays
as it is, and only the guided clips' labels are known."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from invertone.audio.front_end import FrontEnd, log_magnitude
from invertone.cluster.errors import UserError
from invertone.cluster.formats.shards import ShardManifest
from invertone.models.checkpoint import folder_of, load_networks
from invertone.models.networks.gaae import Head
from invertone.train.loop.schedule import scheduled
from invertone.train.objective import Average, Batch, Draw, Phase
from invertone.train.recipe import Recipe
from invertone.train.schemas.bigan import BiganClassifierConfig

ENCODER, GENERATOR = "encoder_average", "generator_average"


class BiganClassifierObjective:
    """Adam on cross-entropy of guided clips. Its checkpoints hold the BiGAN's encoder and generator as well: a whole BiGAN
    that hears labels."""

    kind = "bigan"
    better: tuple[str, int] | None = None
    frozen: Mapping[str, nn.Module] = {}

    def __init__(self, config: BiganClassifierConfig, classes: int) -> None:
        folder, manifest = folder_of(config.encoder, "encoder", "bigan")
        self.config, self.about = config, {"front_end": manifest.front_end, "prior": manifest.prior}
        self.front_end = FrontEnd(**manifest.front_end)
        given = load_networks(folder, manifest, (ENCODER, GENERATOR))
        self.encoder = given[ENCODER]
        self.classifier = Head(self.encoder.latent_size, (config.hidden,), classes)  # type: ignore[arg-type]
        self.final = copy.deepcopy(self.classifier)
        self.networks = {"classifier": self.classifier, "classifier_average": self.final, **given}
        self.averages = (Average(self.classifier, self.final, config.average),)
        self.optimisers = {"classifier": torch.optim.Adam(self.classifier.parameters(), config.learning_rate)}
        self.phases = (Phase("classifier", ("classifier",), self.losses, guided_batches=1, monitors=("error",)),)

    def learning_rate(self, step: int) -> float:
        return scheduled(self.config.schedule, step, self.config.steps)

    @torch.no_grad()
    def latents(self, waveform: Float[Tensor, "b n"]) -> Float[Tensor, "b z"]:
        (latent,) = self.encoder(log_magnitude(waveform, self.front_end))
        return latent

    def losses(self, draw: Draw) -> dict[str, Tensor]:
        assert draw.guided is not None
        batch = draw.guided()
        logits = self.classifier(self.latents(batch.signal))
        wrong = logits.argmax(1) != batch.label
        return {"cross_entropy": F.cross_entropy(logits, batch.label), "error": wrong.float().mean()}

    def settle(self, draw: Draw) -> None:
        """The classifier has no batch norm."""

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        if not self.config.validate_labels:
            return {}
        told = self.final(self.latents(batch.signal)).argmax(1)
        return {"correct": (told == batch.label).sum(), "labelled": (batch.label >= 0).sum()}

    def finish(self, totals: Mapping[str, Tensor], count: int) -> dict[str, float]:
        return {"accuracy": float(totals["correct"] / totals["labelled"])} if totals["labelled"] > 0 else {}

    def samples(self, real: Batch) -> dict[str, Tensor]:
        return {}

    def manifest(self) -> dict[str, Any]:
        return self.about


def _check(config: BiganClassifierConfig, manifest: ShardManifest) -> None:
    folder, found = folder_of(config.encoder, "encoder", "bigan")
    if ENCODER not in found.networks or GENERATOR not in found.networks:
        raise UserError("encoder has no averaged networks", where=folder.uri, fix="give a run of bigan")


RECIPE = Recipe(lambda config, setting: BiganClassifierObjective(config, setting.labels), _check)
