"""Made pictures that tests share: identities one can learn, as shards; tiny models of pictures with drawn weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import nn

from invertone.cluster.formats.checkpoints import WEIGHTS, CheckpointManifest, publish
from invertone.cluster.formats.shards import Clip, ClipInfo, ShardManifest
from invertone.cluster.formats.signals import PictureFormat
from invertone.cluster.storage.folder import Folder
from invertone.images.picture import Pixels, encode
from invertone.models.checkpoint import describe, weights_bytes
from invertone.models.networks.dcgan import DcganGenerator
from invertone.models.networks.picture_mapper import PictureMapper
from invertone.models.networks.recogniser import SMALLEST, Recogniser
from tests.made import LABELS, write_shards
from tests.train.golden import draw_weights

SMALL = PictureFormat(32, 32)
COLOURS = ((200, 80, 60), (60, 180, 90), (80, 90, 210))
LATENT = 8


def face(label: int, rng: np.random.Generator, format: PictureFormat = SMALL) -> Pixels:
    """An ellipse of about the label's colour somewhere near the middle, on grey that becomes darker to one side, in noise."""
    rows, columns = np.mgrid[: format.height, : format.width] / max(format.height, format.width)
    ground = 90 + 60 * (columns * rng.uniform(-1, 1) + rows * rng.uniform(-1, 1))
    down, across = rng.uniform(0.4, 0.6, 2)
    inside = ((rows - down) / rng.uniform(0.25, 0.35)) ** 2 + ((columns - across) / rng.uniform(0.2, 0.3)) ** 2 < 1
    colour = np.asarray(COLOURS[label]) + rng.uniform(-15, 15, 3)
    pixels = np.where(inside[..., None], colour, ground[..., None]) + rng.normal(0, 4, format.shape)
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def made_pictures(count: int, split: str, seed: int = 0, format: PictureFormat = SMALL) -> list[Clip]:
    """`count` pictures, identities in turn; each is its label and its speaker."""
    rng = np.random.default_rng([seed, len(split)])
    made = []
    for number in range(count):
        label = number % len(LABELS)
        info = ClipInfo(
            key=f"{split}/{number:04d}",
            split=split,
            source_uri=f"made://{split}/{number}",
            label=label,
            label_name=LABELS[label],
            speaker=LABELS[label],
            source_height=format.height,
            source_width=format.width,
        )
        made.append(Clip(info, encode(face(label, rng, format)), "png"))
    return made


def picture_shards(
    folder: Folder, train: Sequence[int] = (12, 12), validation: int = 6, test: int = 0, format: PictureFormat = SMALL
) -> ShardManifest:
    """Shards of made pictures: `train` gives how many each training shard holds."""
    made = made_pictures(sum(train), "train", format=format)
    ends = np.cumsum(train)
    groups = [made[end - count : end] for end, count in zip(ends, train, strict=True)]
    groups += [
        made_pictures(count, split, format=format)
        for split, count in (("validation", validation), ("test", test))
        if count
    ]
    return write_shards(folder, groups, format)


def picture_models(place: Folder, format: PictureFormat = SMALL) -> None:
    """A `generator` (DCGAN), its `mapper`, and two recognisers, `classifier` and `judge`: weights are drawn, not trained, and
    the same on every processor."""
    generator = DcganGenerator(2, LATENT, format.height)
    recognisers = [Recogniser(6, identities, 16, (1, 1, 1), SMALLEST) for identities in (len(LABELS), 0)]
    mapper = PictureMapper(LATENT, 2, (6,), 32)
    digest = _publish(place / "generator", "dcgan", "generator", generator, format, {})
    heard = _publish(place / "classifier", "recogniser", "classifier", recognisers[0], format, {}, LABELS)
    _publish(place / "judge", "recogniser", "classifier", recognisers[1], format, {})
    _publish(place / "mapper", "picture-mapper", "mapper", mapper, format, {"generator": digest, "classifier": heard})


def _publish(
    folder: Folder,
    kind: str,
    name: str,
    network: nn.Module,
    format: PictureFormat,
    inputs: dict[str, str],
    labels: Sequence[str] = (),
) -> str:
    draw_weights(network)
    manifest = CheckpointManifest(
        kind, describe({name: network}), 1, format, "untouched", tuple(labels), inputs=inputs, prior={"kind": "uniform"}
    )
    return publish(folder, manifest, {WEIGHTS: weights_bytes({name: network})}).digest
