"""Data for benchmarks: a corpus of any size in Speech Commands layout, and untrained models of the debug size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from invertone.audio.clip import encode
from invertone.audio.front_end import FrontEnd
from invertone.cluster.formats.checkpoints import CheckpointManifest, publish
from invertone.cluster.formats.signals import USUAL
from invertone.cluster.storage.folder import Folder
from invertone.ingest.corpora.speech_commands import DIGITS
from invertone.models.checkpoint import WEIGHTS, describe, weights_bytes
from invertone.models.generator import generator_digest
from invertone.models.networks.resnet import ResNet18
from invertone.models.networks.wavegan import WaveganGenerator


def corpus(folder: Path, clips: int) -> Path:
    """`clips` WAV files of one second: noise with a speech-like envelope, so that FLAC has as much to do as with speech."""
    rng = np.random.default_rng(0)
    noise = np.cumsum(rng.standard_normal(USUAL.sample_rate * 20))
    noise = (noise - np.convolve(noise, np.ones(64) / 64, "same")) * 400
    for number in range(clips):
        start = int(rng.integers(0, len(noise) - USUAL.sample_rate))
        envelope = np.exp(-np.square((np.arange(USUAL.sample_rate) - 8_000) / rng.uniform(2_000, 4_000)))
        samples = np.clip(noise[start : start + USUAL.sample_rate] * envelope * 4, -32_768, 32_767).astype(np.int16)
        file = folder / DIGITS[number % 10] / f"{number // 10:08x}_nohash_0.wav"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encode(samples, "wav", 16_000))
    return folder


def models(folder: Folder) -> dict[str, str]:
    """Addresses of an untrained generator (d=8), and mapper (width 16), as the debug configs would train them."""
    torch.manual_seed(0)
    generator, mapper = WaveganGenerator(8), ResNet18(100, 16, FrontEnd(mels=64))
    made = _publish(folder / "generator", "wavegan", {"generator": generator}, {})
    _publish(folder / "mapper", "mapper", {"mapper": mapper}, {"generator": made.digest})
    return {"generator": folder.path_of("generator"), "mapper": folder.path_of("mapper")}


def mapper(folder: Folder, network: ResNet18, generator: str) -> str:
    """Address of a checkpoint with this mapper, as if it were trained for `generator`."""
    _publish(folder / "mapper", "mapper", {"mapper": network}, {"generator": generator_digest(generator)})
    return folder.path_of("mapper")


def classifier(folder: Folder) -> str:
    """Address of an untrained classifier of the debug size, of the ten digits."""
    torch.manual_seed(0)
    network = {"classifier": ResNet18(10, 16, FrontEnd(mels=64))}
    _publish(folder / "classifier", "classifier", network, {}, DIGITS)
    return folder.path_of("classifier")


def _publish(
    folder: Folder,
    kind: str,
    networks: dict[str, torch.nn.Module],
    inputs: dict[str, str],
    label_names: Sequence[str] = (),
) -> CheckpointManifest:
    about = describe(networks), 0, USUAL, "untouched"
    manifest = CheckpointManifest(kind, *about, label_names=tuple(label_names), inputs=inputs)
    return publish(folder, manifest, {WEIGHTS: weights_bytes(networks)})
