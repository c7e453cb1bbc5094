"""Which labels a generator that takes them is told while a clip's latent is searched for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import torch
from jaxtyping import Float, Int
from torch import Tensor

from invertone.cluster.errors import UserError
from invertone.cluster.formats.latents import GENERATOR_LABEL, GENERATOR_LABEL_NAME
from invertone.infer.schemas.gradient import AUTO, CLIP, HEARD, SEARCH, GradientConfig
from invertone.infer.threads import Threads
from invertone.infer.tiles import tiles
from invertone.models.autoencoder import SpectrogramAutoencoder
from invertone.models.generator import Generator, Traits, traits


def label_of(config: GradientConfig, about: Traits) -> str | None:
    """Where labels come from, of LABELS but `auto`; None for a generator that takes none."""
    if not about.label_names:
        return None
    if config.label != AUTO:
        return config.label
    return HEARD if about.encodes else SEARCH


@dataclass(frozen=True)
class Labelling:
    """count: of the labels. how: `clip`, `heard` or `search`. hears: clips [t, n] to shares of the labels [t, k], for
    `heard`."""

    count: int
    how: str
    hears: Callable[[Float[Tensor, "t ..."]], Float[Tensor, "t k"]] | None = None

    @torch.no_grad()
    def candidates(
        self, target: Float[Tensor, "b ..."], told: Int[Tensor, " b"] | None, tile: int, threads: Threads
    ) -> Int[Tensor, "b l"]:
        """The labels that are tried for each clip. told: the clips' own, for `clip`."""
        if self.how == SEARCH:
            return torch.arange(self.count, device=target.device).expand(len(target), -1)
        if self.how == CLIP:
            assert told is not None, "clips without a label are no candidates"
            return told[:, None]
        assert self.how == HEARD and self.hears is not None, "checked when the job was planned"
        return torch.cat(threads.map(self.hears, tiles(target, tile)))[: len(target)].argmax(1, keepdim=True)


def names_of(generator: Generator) -> tuple[str, ...]:
    """The labels that a generator takes; most take none, and do not say so."""
    return tuple(getattr(generator, "label_names", ()))


def labelling(config: GradientConfig, generator: Generator) -> Labelling | None:
    """As the config says; None for a generator that takes no labels."""
    names = names_of(generator)
    hears = None
    if isinstance(generator, SpectrogramAutoencoder) and generator.classifier is not None:
        hears = generator.heard
    how = label_of(config, Traits(None, names, encodes=hears is not None))
    return None if how is None else Labelling(len(names), how, hears)


def check_label(config: GradientConfig, about: Traits) -> None:
    """Raises UserError for a label that nobody takes, or that nobody can hear."""
    if config.label != AUTO and not about.label_names:
        raise UserError(
            f"label={config.label}, and the generator takes no labels",
            where=config.generator,
            fix="leave label out; a guest names the labels that it takes in label_names",
        )
    if config.label == HEARD and not about.encodes:
        raise UserError(
            "label=heard, and the generator has no classifier of its own",
            where=config.generator,
            fix="use label=search",
        )


def label_columns(generator: Generator) -> dict[str, pa.DataType]:
    """Of the label that the generator was told, where it takes any."""
    return {GENERATOR_LABEL: pa.int32(), GENERATOR_LABEL_NAME: pa.string()} if names_of(generator) else {}


def told_labels(config: GradientConfig) -> tuple[str, ...]:
    """Names, by number, of the clips' labels that the inverter is told, with label=clip."""
    return traits(config.generator).label_names if config.label == CLIP else ()
