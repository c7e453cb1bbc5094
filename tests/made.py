"""Made data that tests share: clips with labels one can learn, as shards, without Ray; tiny trained-looking checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from invertone.audio.clip import Samples, encode, to_int16
from invertone.cluster.config.loading import load
from invertone.cluster.formats.shards import MANIFEST, Clip, ClipInfo, ShardEntry, ShardManifest, write_shard
from invertone.cluster.formats.signals import USUAL, ClipFormat, SignalFormat
from invertone.cluster.storage.folder import Folder, sha256

LABELS = ("low", "middle", "high")
PITCHES = (200.0, 700.0, 2_400.0)


def tone(label: int, rng: np.random.Generator, clips: ClipFormat = USUAL) -> Samples:
    """A decaying tone with two overtones at about the label's pitch, in a little noise; on the right of stereo half as loud."""
    at = np.arange(clips.samples) / clips.sample_rate
    pitch = PITCHES[label] * rng.uniform(0.9, 1.1)
    wave = sum(np.sin(2 * np.pi * pitch * k * at + rng.uniform(0, 6)) / k for k in (1, 2, 3))
    envelope = np.exp(-at * rng.uniform(1, 4))
    sides = [
        side * wave * envelope + 0.003 * rng.standard_normal(clips.samples) for side in (0.2, 0.1)[: clips.channels]
    ]
    return to_int16(np.stack(sides, axis=1).reshape(clips.shape))[0]


def made_clips(count: int, split: str, seed: int = 0, clips: ClipFormat = USUAL) -> list[Clip]:
    """`count` clips, labels in turn."""
    rng = np.random.default_rng([seed, len(split)])
    made = []
    for number in range(count):
        label = number % len(LABELS)
        info = ClipInfo(
            key=f"{split}/{number:04d}",
            split=split,
            source_uri=f"made://{split}/{number}",
            start=0,
            length=clips.samples,
            source_sample_rate=clips.sample_rate,
            label=label,
            label_name=LABELS[label],
            speaker=f"s{number % 5}",
        )
        made.append(Clip(info, encode(tone(label, rng, clips), "flac", clips.sample_rate), "flac"))
    return made


def write_shards(folder: Folder, groups: Sequence[Sequence[Clip]], clips: SignalFormat = USUAL) -> ShardManifest:
    """Each group becomes one shard; with manifest."""
    entries = []
    for number, group in enumerate(groups):
        data = write_shard(group)
        name = f"{group[0].info.split}-{number:06d}.tar"
        folder.publish_bytes(name, data)
        entries.append(ShardEntry(name, group[0].info.split, len(group), len(data), sha256(data)))
    manifest = ShardManifest("made", clips, "untouched", LABELS, tuple(entries))
    folder.publish_json(MANIFEST, manifest.to_json())
    return manifest


def made_shards(
    folder: Folder, train: Sequence[int] = (12, 12), validation: int = 6, clips: ClipFormat = USUAL
) -> ShardManifest:
    """Shards of a made corpus: `train` gives the clips of each training shard."""
    made = made_clips(sum(train), "train", clips=clips)
    groups, at = [], 0
    for count in train:
        groups.append(made[at : at + count])
        at += count
    if validation:
        groups.append(made_clips(validation, "validation", clips=clips))
    return write_shards(folder, groups, clips)


TINY_GAN: dict[str, Any] = {
    "channels": 1,
    "patch": 1,
    "rows": 256,
    "encoder_blocks": "residual",
    "encoder_patch": 1,
    "encoder_multiples": "[1, 1, 2, 2, 4, 4]",
    "discriminator_multiples": "[1, 1, 2, 2, 4, 4]",
    "decoder_multiples": "[4, 2, 2, 2, 1, 1, 1]",
    "attention_rows": 16,  # at 128 rows it is most of the work
    "latent_size": 8,
    "samples": 0,
    "guidance": {"fraction": 0.5},
}
TINY: dict[str, dict[str, Any]] = {
    "gaae-debug": {
        **TINY_GAN,
        "style_size": 8,
        "style_noise": 0,
        "independent_style": False,
        "generated_style": "prior",
    },
    "ggan-debug": TINY_GAN,
    "biggan-debug": TINY_GAN,
    "biggan-unsupervised-debug": TINY_GAN,
    "bigan-debug": TINY_GAN,
    "bigan-classifier-debug": {"guidance": {"fraction": 0.5}, "hidden": 8},
    "cnn-debug": {"width": 2, "front_end": {"mels": 64, "hop_length": 256}, "guidance": {"fraction": 0.5}},
    "cnn-simple-digits": {"width": 2, "front_end": {"mels": 64, "hop_length": 256}, "guidance": {"fraction": 0.5}},
    "classifier-wavegan-debug": {"width": 2},
    "classifier-debug": {"width": 4, "front_end": {"mels": 32, "hop_length": 256}},
    "wavegan-debug": {"width": 2, "latent_size": 8, "critic_updates": 2},
    "wae-digits": {"width": 2, "latent_size": 8, "encoder_width": 4, "front_end": {"mels": 32, "hop_length": 256}},
    "mapper-debug": {"width": 4, "front_end": {"mels": 32, "hop_length": 256}},
    "restyle-debug": {"width": 4, "front_end": {"mels": 32, "hop_length": 256}, "passes": 2},
    "mapper-unlabelled-debug": {"width": 4, "front_end": {"mels": 32, "hop_length": 256}},
    "restyle-unlabelled-debug": {"width": 4, "front_end": {"mels": 32, "hop_length": 256}, "passes": 2},
    "dcgan-debug": {"width": 2, "latent_size": 8},
    "progan-debug": {"width": 6, "latent_size": 8, "fade_steps": 2, "stable_steps": 1},
    "recogniser-debug": {"width": 16, "blocks": "[1, 1, 1]", "size": 75, "embedding": 6},
    "recogniser-triplet-faces": {"width": 16, "blocks": "[1, 1, 1]", "size": 75, "embedding": 6},
    "picture-mapper-debug": {"width": 2, "hidden": "[6]", "size": 32},
}


def tiny_config(name: str, shards: Folder, out: Folder, **values: Any) -> Any:
    """A training config so small that a step takes milliseconds."""
    from invertone.train.config import CATALOGUE

    given = {
        "shards": shards.uri,
        "out": out.uri,
        "batch": 6,
        "log_every": 1,
        "samples": 2,
        "device": "cpu",
        **TINY[name],
        **values,
    }
    return load(CATALOGUE, name, [f"{key}={_written(value)}" for key, value in given.items()])


def _written(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {v}" for k, v in value.items()) + "}"
    return str(value)


def train_tiny(name: str, shards: Folder, out: Folder, **values: Any) -> Folder:
    """Trains in this process, without Ray, and returns the run folder."""
    import torch

    from invertone.train.build import build_trainer
    from invertone.train.objective import World

    config = tiny_config(name, shards, out, **values)
    build_trainer(config, World(), torch.device("cpu"), lambda step, values: None).run()
    return out


def tiny_models(shards: Folder, place: Path) -> None:
    """A classifier, a generator and its mapper after one update each, in folders of these names below `place`."""
    made: dict[str, str] = {}
    for name, role in (("classifier-debug", "classifier"), ("wavegan-debug", "generator"), ("mapper-debug", "mapper")):
        inputs = {key: uri for key, uri in made.items() if role == "mapper"}
        folder = "wavegan" if role == "generator" else role
        train_tiny(name, shards, Folder.at(str(place / folder)), steps=1, checkpoint_every=1, **inputs)
        made[role] = str(place / folder)


def common_names(folder: Path) -> str:
    """Writes modules of a user's own into `folder`, called as rooms of ours and as other people's packages are, and returns
    the source of a generator of 4 coordinates that needs all of them."""
    names = ("audio", "cluster", "configs", "eval", "images", "infer", "ingest", "models", "train")
    for number, name in enumerate(names, 1):
        (folder / f"{name}.py").write_text(f"NUMBER = {number}\n")
    imports = "".join(f"from {name} import NUMBER as of_{name}\n" for name in names)
    total = " + ".join(f"of_{name}" for name in names)
    right = sum(range(len(names) + 1))
    return (
        f"import torch\n{imports}\n\nclass Net(torch.nn.Module):\n    latent_size, prior = 4, 'uniform'\n\n"
        f"    def forward(self, latent):\n        assert {total} == {right}\n        return 0.5 * latent.repeat(1, 4096)\n"
    )
