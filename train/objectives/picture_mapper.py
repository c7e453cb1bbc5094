"""The inverse mapper of pictures (Bayat 2021, chapter 2): latents of generated pictures, pixels and a recogniser's features of
real ones, in turn."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from invertone.models.generator import Generator
from invertone.models.networks.perceptual import chosen, perceptual_distance
from invertone.models.networks.picture_mapper import PictureMapper
from invertone.models.networks.recogniser import Recogniser
from invertone.train.loop.schedule import scheduled
from invertone.train.objective import Batch, Draw, Phase
from invertone.train.schemas.pictures import PictureMapperConfig


class PictureMapperObjective:
    """Best by perceptual distance of real validation pictures, without a recogniser by the error of their pixels. Adam,
    learning rate 2e-4 in the thesis."""

    kind = "picture-mapper"
    averages = ()

    def __init__(self, config: PictureMapperConfig, generator: Generator, recogniser: Recogniser | None) -> None:
        self.config, self.generator, self.recogniser = config, generator, recogniser
        self.mapper = PictureMapper(generator.latent_size, config.width, config.hidden, config.size)
        self.networks = {"mapper": self.mapper}
        self.frozen = {"generator": cast(nn.Module, generator)}
        if recogniser is not None:
            self.frozen["recogniser"] = recogniser
        self.better: tuple[str, int] | None = ("pixels" if recogniser is None else "perceptual", -1)
        self.optimisers = {"mapper": torch.optim.Adam(self.mapper.parameters(), config.learning_rate)}
        weights = config.weights
        real = {"pixels": weights.real_pixels, "perceptual": weights.real_perceptual}
        made = {"latent": weights.latent, "perceptual": weights.perceptual}
        turns, turn_steps = (2, config.turn_steps) if config.real and config.turn_steps else (1, 1)
        generated = Phase("generated", ("mapper",), self.generated_losses, made, turns=turns, turn_steps=turn_steps)
        of_real = Phase(
            "real",
            ("mapper",),
            self.real_losses,
            real,
            real_batches=1,
            turns=turns,
            turn=turns - 1,
            turn_steps=turn_steps,
        )
        self.phases: tuple[Phase, ...] = (generated, of_real) if config.real else (generated,)

    def reconstruct(self, picture: Float[Tensor, "b 3 h w"]) -> tuple[Float[Tensor, "b z"], Float[Tensor, "b 3 h w"]]:
        """The latents as the network says them, and what the generator makes of them within its prior."""
        latent = self.mapper(picture)
        return latent, self.generator(self.generator.prior.pass_through(latent))

    def learning_rate(self, step: int) -> float:
        return scheduled(self.config.schedule, step, self.config.steps)

    def generated_losses(self, draw: Draw) -> dict[str, Tensor]:
        dtype = self.mapper.dense[-1].weight.dtype
        latent = draw.latents(self.generator.prior, self.generator.latent_size).to(cast(torch.dtype, dtype))
        with torch.no_grad():
            target = self.generator(latent)
        if self.recogniser is None or not self.config.weights.perceptual:
            return {"latent": F.l1_loss(self.mapper(target), latent)}
        found, made = self.reconstruct(target)
        return {"latent": F.l1_loss(found, latent), "perceptual": self.perceptual(target, made).mean()}

    def real_losses(self, draw: Draw) -> dict[str, Tensor]:
        target = draw.real().signal
        _, made = self.reconstruct(target)
        losses = {"pixels": F.l1_loss(made, target)}
        if self.recogniser is not None and self.config.weights.real_perceptual:
            losses["perceptual"] = self.perceptual(target, made).mean()
        return losses

    def perceptual(self, target: Float[Tensor, "b 3 h w"], made: Float[Tensor, "b 3 h w"]) -> Float[Tensor, " b"]:
        """How differently the recogniser sees the two; it has a gradient to the second."""
        assert self.recogniser is not None, "asked of no other"
        with torch.no_grad():
            _, wanted = self.recogniser.with_features(target)
        _, found = self.recogniser.with_features(made)
        layers = self.config.perceptual_layers
        return perceptual_distance(chosen(self.recogniser, wanted, layers), chosen(self.recogniser, found, layers))

    def settle(self, draw: Draw) -> None:
        """Nothing is averaged."""

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        _, made = self.reconstruct(batch.signal)
        sums = {"pixels": (made - batch.signal).abs().flatten(1).mean(1).sum()}
        return sums if self.recogniser is None else sums | {"perceptual": self.perceptual(batch.signal, made).sum()}

    def finish(self, totals: Mapping[str, Tensor], count: int) -> dict[str, float]:
        return {name: float(total) / count for name, total in totals.items()}

    def samples(self, real: Batch) -> dict[str, Tensor]:
        self.mapper.eval()
        pairs: dict[str, Tensor] = {}
        for i, (target, made) in enumerate(zip(real.signal, self.reconstruct(real.signal)[1], strict=True)):
            pairs |= {f"{i}-target": target, f"{i}-reconstruction": made}
        return pairs

    def manifest(self) -> dict[str, Any]:
        return {"prior": dataclasses.asdict(self.generator.prior)}
