"""The inverse mapper of pictures (Bayat 2020, chapter 2): latents of generated pictures, pixels and a recogniser's features of
real ones, in turn."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from invertone.cluster.errors import UserError, did_you_mean
from invertone.cluster.formats.shards import ShardManifest
from invertone.models.checkpoint import folder_of, load_classifier
from invertone.models.generator import Generator, check_differentiable, check_generator, load_generator
from invertone.models.networks.perceptual import chosen, perceptual_distance
from invertone.models.networks.picture_mapper import PictureMapper
from invertone.models.networks.recogniser import Recogniser, layer_names
from invertone.train.loop.schedule import scheduled
from invertone.train.objective import Batch, Draw, Phase
from invertone.train.recipe import Recipe, Setting
from invertone.train.schemas.pictures import PictureMapperConfig


class PictureMapperObjective:
    """Best by perceptual distance of real validation pictures, without a recogniser by the error of their pixels. Adam,
    learning rate 2e-4 in the thesis."""

    kind = "picture-mapper"
    averages = ()

    def __init__(self, config: PictureMapperConfig, generator: Generator, classifier: Recogniser | None) -> None:
        self.config, self.generator, self.classifier = config, generator, classifier
        self.mapper = PictureMapper(generator.latent_size, config.width, config.hidden, config.size)
        self.networks = {"mapper": self.mapper}
        self.frozen = {"generator": cast(nn.Module, generator)}
        if classifier is not None:
            self.frozen["classifier"] = classifier
        self.better: tuple[str, int] | None = ("pixels" if classifier is None else "perceptual", -1)
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
        if self.classifier is None or not self.config.weights.perceptual:
            return {"latent": F.l1_loss(self.mapper(target), latent)}
        found, made = self.reconstruct(target)
        return {"latent": F.l1_loss(found, latent), "perceptual": self.perceptual(target, made).mean()}

    def real_losses(self, draw: Draw) -> dict[str, Tensor]:
        target = draw.real().signal
        _, made = self.reconstruct(target)
        losses = {"pixels": F.l1_loss(made, target)}
        if self.classifier is not None and self.config.weights.real_perceptual:
            losses["perceptual"] = self.perceptual(target, made).mean()
        return losses

    def perceptual(self, target: Float[Tensor, "b 3 h w"], made: Float[Tensor, "b 3 h w"]) -> Float[Tensor, " b"]:
        """How differently the recogniser sees the two; it has a gradient to the second."""
        assert self.classifier is not None, "asked of no other"
        with torch.no_grad():
            _, wanted = self.classifier.with_features(target)
        _, found = self.classifier.with_features(made)
        layers = self.config.perceptual_layers
        return perceptual_distance(chosen(self.classifier, wanted, layers), chosen(self.classifier, found, layers))

    def settle(self, draw: Draw) -> None:
        """Nothing is averaged."""

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        _, made = self.reconstruct(batch.signal)
        sums = {"pixels": (made - batch.signal).abs().flatten(1).mean(1).sum()}
        return sums if self.classifier is None else sums | {"perceptual": self.perceptual(batch.signal, made).sum()}

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


def _build(config: PictureMapperConfig, setting: Setting) -> PictureMapperObjective:
    generator = load_generator(config.generator, setting.device)[0]
    classifier = load_classifier(config.classifier)[0] if config.classifier else None
    assert classifier is None or isinstance(classifier, Recogniser), "of pictures there is no other"
    return PictureMapperObjective(config, generator, classifier)


def check_picture_mapper(config: PictureMapperConfig, manifest: ShardManifest) -> None:
    """Raises UserError for a generator that cannot be trained through, for layers that the recogniser does not have, and for
    weights that need one where there is none."""
    check_generator(config.generator)
    check_differentiable(config.generator)
    if min(config.hidden, default=1) < 1:
        raise UserError(
            f"hidden={config.hidden} has a layer without units", fix="give positive numbers, or none: hidden=[]"
        )
    if config.classifier:
        folder, found = folder_of(config.classifier, "classifier", "classifier")
        known = layer_names(found.networks["classifier"]["blocks"])
        for layer in config.perceptual_layers:
            if layer not in known:
                raise UserError(
                    f"perceptual_layers: the recogniser has no layer {layer!r}",
                    where=folder.uri,
                    fix=f"use some of {', '.join(known)}{did_you_mean(layer, known)}",
                )
        return
    weighed = {"perceptual": True, "real_perceptual": config.real}
    needing = [f"weights.{name}" for name, used in weighed.items() if used and getattr(config.weights, name) > 0]
    if needing:
        raise UserError(
            f"{' and '.join(needing)} {'need' if needing[1:] else 'needs'} a recogniser, and there is none",
            fix="give classifier=, a run of `invertone train recogniser`, or "
            + " ".join(f"{name}=0" for name in needing),
        )
    if config.perceptual_layers:
        raise UserError("perceptual_layers are a recogniser's, and there is none", fix="give classifier=")


RECIPE = Recipe(_build, check_picture_mapper, any_labels=True, signal="picture")
