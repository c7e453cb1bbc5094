"""Which classifier a checkpoint is, in the papers' terms and in words: figures that rest on one are of no other's scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from invertone.audio.front_end import FrontEnd
from invertone.cluster.formats.checkpoints import CheckpointManifest
from invertone.cluster.formats.signals import USUAL
from invertone.models.networks.cnn import size_of


@dataclass(frozen=True)
class PaperJudge:
    """A classifier that a paper's figures are of. network and width: as in a checkpoint's architecture; size: rows and columns
    of the spectrogram it sees, None where the network itself says so or the paper does not."""

    title: str
    network: str
    width: int
    size: tuple[int, int] | None = None


PAPER_JUDGES = {
    "wavegan-inception": PaperJudge("the classifier of WaveGAN's authors", "wavegan_inception", 128),
    "cnn-xxiv": PaperJudge("the simple spectrogram classifier of GAAE's table XXIV", "spectrogram_cnn", 32, (256, 128)),
    "resnet18": PaperJudge("ResNet-18 of width 64", "resnet18", 64),
}
"""By the value of a table's key `published_judge`."""
_TITLES = {
    "resnet18": "ResNet-18",
    "wavegan_inception": "classifier of WaveGAN's inception scores",
    "spectrogram_cnn": "simple spectrogram classifier (GAAE's table XXIV)",
    "simple_cnn": "CNN with batch norm",
}


def is_judge(manifest: CheckpointManifest, name: str) -> bool:
    """Whether a checkpoint's network is, size for size and for clips of the papers' format, what `PAPER_JUDGES` calls
    `name`."""
    judge, network = PAPER_JUDGES[name], _network(manifest)
    if manifest.format != USUAL:
        return False
    if (network.get("network"), network.get("width")) != (judge.network, judge.width):
        return False
    return judge.size is None or size_of(FrontEnd(**network.get("front_end", {})), manifest.clips.samples) == judge.size


def described(manifest: CheckpointManifest) -> str:
    """The classifier of a checkpoint in words: its network and size, what it learnt from, how well it hears."""
    network = _network(manifest)
    parts = [_TITLES.get(str(network.get("network")), manifest.kind)]
    if "width" in network:
        parts.append(f"width {network['width']}")
    if "front_end" in network:
        parts.append(_seen(FrontEnd(**network["front_end"]), manifest.clips.samples))
    data = manifest.data
    if "imported_from" in data:
        parts.append(f"published weights (step {manifest.step:,})")
    else:
        share = data.get("guidance", {}).get("fraction")
        learnt = f"trained on {data.get('corpus', 'unknown clips')} for {manifest.step:,} updates"
        parts.append(learnt + (f" with {100 * share:.4g}% of the labels" if share is not None else ""))
    accuracy = manifest.metrics.get("accuracy")
    parts.append(f"accuracy {accuracy:.1%} on its validation clips" if accuracy is not None else "not validated")
    return ", ".join(parts)


def _network(manifest: CheckpointManifest) -> Mapping[str, Any]:
    return manifest.networks.get("classifier") or {}


def _seen(front_end: FrontEnd, clip_samples: int) -> str:
    rows, columns = size_of(front_end, clip_samples)
    return f"{rows} x {columns} {'mel bands' if front_end.mels else 'linear frequencies'}"
