"""Trainings in double precision: what they compute is decided by the objective, not by the processor.

In single precision two processors differ in the seventh digit, and Adam, which divides by the size of a gradient, makes
different updates of gradients that are nearly 0: after ten steps 2 to 3 % are left of it. In double precision what is left
stays below 1e-9, so that a golden number can be told from one of another objective.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from invertone.audio.front_end import FrontEnd
from invertone.cluster.formats.checkpoints import WEIGHTS, CheckpointManifest, publish
from invertone.cluster.formats.signals import USUAL
from invertone.cluster.storage.folder import Folder
from invertone.models.checkpoint import describe, weights_bytes
from invertone.models.networks.resnet import ResNet18
from invertone.models.networks.wavegan import WaveganGenerator
from invertone.train.build import build_trainer
from invertone.train.loop.trainer import Trainer
from invertone.train.objective import Batch, World
from tests.made import LABELS, made_shards, tiny_config

WAVEFORM = (
    "classifier-debug",
    "classifier-wavegan-debug",
    "wavegan-debug",
    "wae-digits",
    "mapper-debug",
    "restyle-debug",
    "mapper-unlabelled-debug",
    "restyle-unlabelled-debug",
)
FAMILY = (
    "gaae-debug",
    "ggan-debug",
    "biggan-debug",
    "biggan-unsupervised-debug",
    "bigan-debug",
    "cnn-debug",
    "cnn-simple-digits",
)
PICTURES = (
    "dcgan-debug",
    "progan-debug",
    "recogniser-debug",
    "recogniser-triplet-faces",
    "picture-mapper-debug",
)
"""Objectives on waveforms, those of the GAAE family, and those on pictures."""
SCHEDULED = ("classifier-debug", "wae-digits", "recogniser-debug", "recogniser-triplet-faces", *FAMILY)
READS: dict[str, tuple[str, ...]] = {
    "mapper-debug": ("generator", "classifier"),
    "restyle-debug": ("generator", "classifier"),
    "mapper-unlabelled-debug": ("generator",),
    "restyle-unlabelled-debug": ("generator",),
    "wavegan-debug": ("classifier",),
    "wae-digits": ("classifier",),
    "dcgan-debug": ("classifier",),
    "progan-debug": ("classifier",),
    "picture-mapper-debug": ("generator", "classifier"),
}
NAMES = WAVEFORM + FAMILY + PICTURES
GOLDEN = Path(__file__).parents[1] / "golden" / "losses.json"
"""What `train_in_double` returns, by objective; `INVERTONE_WRITE_GOLDEN=1` writes it anew."""
RELATIVE, ABSOLUTE = 1e-6, 1e-9
Series = dict[str, list[float]]


def golden(name: str) -> Series:
    found: Series = json.loads(GOLDEN.read_text())[name]
    return found


def steps_of(name: str) -> int:
    """Adversaries on spectrograms take a second a step. In ten steps a progressive GAN grows to 32 x 32."""
    return 5 if name in FAMILY or (name in PICTURES and name != "progan-debug") else 10


def batch_of(name: str) -> int:
    """A progressive GAN's discriminator sees groups of four, on each of two ranks."""
    return 8 if name in PICTURES else 4 if name in FAMILY else 6


def material_of(name: str, place: Folder) -> dict[str, str]:
    """Shards and models, by config key, of what `material` made."""
    at = place / "pictures" if name in PICTURES else place
    return {role: (at / role).uri for role in ("shards", *READS.get(name, ()))}


def differing(found: Series, expected: Series) -> set[str]:
    """Series that are not, as far as they go, what is expected."""
    near = {
        term
        for term in found.keys() & expected.keys()
        if found[term] == pytest.approx(expected[term][: len(found[term])], rel=RELATIVE, abs=ABSOLUTE)
    }
    return (found.keys() | expected.keys()) - near


def material(place: Folder) -> None:
    """Shards, a `classifier` and a `generator` whose weights are drawn, not trained: the same on every processor. In
    `pictures` the same of pictures."""
    material_of_pictures(place)
    made_shards(place / "shards")
    front_end = FrontEnd(mels=32, hop_length=256)
    clips = (USUAL, "untouched", LABELS)
    for kind, name, network in (
        ("classifier", "classifier", ResNet18(len(LABELS), 4, front_end)),
        ("wavegan", "generator", WaveganGenerator(2, 8)),
    ):
        draw_weights(network)
        manifest = CheckpointManifest(
            kind, describe({name: network}), 1, *clips, front_end=dataclasses.asdict(front_end)
        )
        publish(place / name, manifest, {WEIGHTS: weights_bytes({name: network})})


def material_of_pictures(place: Folder) -> None:
    from tests.pictures import picture_models, picture_shards  # whose weights `draw_weights` draws

    picture_shards(place / "pictures/shards")
    picture_models(place / "pictures")


def draw_weights(network: nn.Module) -> None:
    """Normal weights of He's size, and biases so that nothing is silent, by NumPy's generator, which is the same everywhere."""
    rng = np.random.default_rng(5)
    with torch.no_grad():
        for module in network.modules():
            for name, parameter in module.named_parameters(recurse=False):
                values = rng.standard_normal(tuple(parameter.shape))
                if parameter.dim() == 1:
                    gain = 0.0 if name == "bias" else 1.0
                    parameter.fill_(gain).add_(torch.from_numpy((0.1 * values).astype(np.float32)))
                else:
                    scale = np.sqrt(2 / _fan_in(module, parameter))
                    parameter.copy_(torch.from_numpy((values * scale).astype(np.float32)))


def _fan_in(module: nn.Module, weight: Tensor) -> float:
    """How many products meet in one number: of a transposed convolution, at stride 4 of clips and 2 x 2 of pictures, those of
    a quarter of the taps."""
    if weight.dim() == 3 or isinstance(module, nn.ConvTranspose2d):
        return weight.shape[0] * weight[0, 0].numel() / 4
    return weight[0].numel()


@contextmanager
def double_precision() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def train_in_double(
    name: str,
    place: Folder,
    out: Folder,
    steps: int,
    alter: Callable[[Trainer], None] | None = None,
    world: World | None = None,
    **values: Any,
) -> Series:
    """Trains `name` on what `material` made. Returns each loss term by step (`phase/term`), and a number of the
    gradient of each network by update (`gradient/network`). `alter` may change the trainer before it runs."""
    found: Series = {}

    def add(name: str, value: float) -> None:
        found.setdefault(name, []).append(value)

    def report(step: int, values: Mapping[str, float]) -> None:
        for term, value in values.items():
            if not term.startswith("validation"):
                add(term, value)

    given = material_of(name, place)
    shards = Folder.at(given.pop("shards"))
    fixed = {
        "steps": steps,
        "checkpoint_every": steps,
        "samples": 0,
        "validation_clips": 1,
        "batch": batch_of(name),
    }
    if name in SCHEDULED:
        fixed["schedule"] = "constant"  # so that fewer steps are the beginning of more
    with double_precision():
        config = tiny_config(name, shards, out, **{**fixed, **given, **values})
        trainer = build_trainer(config, world or World(), torch.device("cpu"), report)
        trainer._on_device = doubled  # type: ignore[method-assign]
        trainer._checkpoint = lambda step, record: None  # type: ignore[method-assign]
        for network, optimiser in trainer.objective.optimisers.items():
            optimiser.register_step_pre_hook(projections(lambda value, name=network: add(f"gradient/{name}", value)))
        if alter is not None:
            alter(trainer)
        trainer.run()
    return found


def doubled(batch: Batch) -> Batch:
    return Batch(batch.signal.double(), batch.label, batch.number)


def projections(add: Callable[[float], None]) -> Callable[..., None]:
    """One number of a whole gradient, which changes with its length, its sign and its direction: its product with a wave."""

    def hook(optimiser: torch.optim.Optimizer, *_: Any) -> None:
        gradients = [
            p.grad.flatten() for group in optimiser.param_groups for p in group["params"] if p.grad is not None
        ]
        whole = torch.cat(gradients)
        add(float(whole @ torch.arange(len(whole), dtype=whole.dtype).cos()))

    return hook
