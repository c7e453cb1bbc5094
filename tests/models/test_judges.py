"""Which of the papers' classifiers a checkpoint is, and what a table says of it."""

from __future__ import annotations

from typing import Any

import pytest

from invertone.audio.front_end import FrontEnd
from invertone.cluster.formats.checkpoints import CheckpointManifest
from invertone.cluster.formats.signals import USUAL
from invertone.models.checkpoint import describe
from invertone.models.judges import PAPER_JUDGES, described, is_judge
from invertone.models.networks.cnn import SimpleCnn, SpectrogramCnn
from invertone.models.networks.listening import ClipClassifier
from invertone.models.networks.resnet import ResNet18
from invertone.models.networks.wavegan_inception import WaveganInception

SMALL = FrontEnd(mels=64, hop_length=256)


def manifest(network: ClipClassifier, kind: str = "classifier", **said: Any) -> CheckpointManifest:
    return CheckpointManifest(kind, describe({"classifier": network}), 1_200, USUAL, "untouched", **said)


@pytest.mark.parametrize(
    ("network", "whose"),
    [
        (WaveganInception(10), "wavegan-inception"),
        (WaveganInception(10, 64), None),
        (SpectrogramCnn(3), "cnn-xxiv"),
        (SpectrogramCnn(3, front_end=FrontEnd(dynamic_range=15.0)), "cnn-xxiv"),
        (SpectrogramCnn(3, 16), None),
        (SpectrogramCnn(3, front_end=FrontEnd(mels=64)), None),
        (SimpleCnn(3, 32), None),
        (ResNet18(10), "resnet18"),
        (ResNet18(10, 24, SMALL), None),
    ],
)
def test_a_paper_s_judge_is_its_network_at_its_size(network: ClipClassifier, whose: str | None) -> None:
    assert [name for name in PAPER_JUDGES if is_judge(manifest(network), name)] == ([whose] if whose else [])


def test_what_is_said_of_a_judge() -> None:
    trained = {"data": {"corpus": "sc09"}, "metrics": {"accuracy": 0.9312}}
    assert described(manifest(ResNet18(10, 24, SMALL), **trained)) == (
        "ResNet-18, width 24, 64 x 64 mel bands, trained on sc09 for 1,200 updates, accuracy 93.1% on its validation clips"
    )
    guided = {"data": {"corpus": "fsdd", "guidance": {"fraction": 0.05}}}
    assert described(manifest(SpectrogramCnn(3), "cnn", **guided)) == (
        "simple spectrogram classifier (GAAE's table XXIV), width 32, 256 x 128 linear frequencies, "
        "trained on fsdd for 1,200 updates with 5% of the labels, not validated"
    )
    published = {"data": {"imported_from": "TensorFlow", "digest": "…"}}
    assert described(manifest(WaveganInception(10), **published)) == (
        "classifier of WaveGAN's inception scores, width 128, published weights (step 1,200), not validated"
    )
    assert described(manifest(SimpleCnn(3, 8, SMALL), "cnn", **trained)).startswith(
        "CNN with batch norm, width 8, 64 x"
    )
