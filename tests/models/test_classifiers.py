"""Classifiers of clips on paper: their sizes, what they compute, and that one takes the other's place as a judge."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from invertone.audio.front_end import FrontEnd
from invertone.cluster.errors import UserError
from invertone.cluster.formats.checkpoints import WEIGHTS, CheckpointManifest, publish, resolve
from invertone.cluster.formats.signals import USUAL
from invertone.cluster.storage.folder import Folder
from invertone.models.checkpoint import describe, folder_of, load_classifier, weights_bytes
from invertone.models.networks.cnn import SimpleCnn, SpectrogramCnn
from invertone.models.networks.listening import ClipClassifier
from invertone.models.networks.resnet import ResNet18
from invertone.models.networks.wavegan_inception import WaveganInception
from invertone.models.scores import hear, score

FRONT_END = FrontEnd(mels=64, hop_length=256)
EVERY = {
    "resnet18": ResNet18(3, 4, FRONT_END),
    "batch-norm": SimpleCnn(3, 2, FRONT_END),
    "simple": SpectrogramCnn(3, 2, FRONT_END),
    "wavegan-inception": WaveganInception(3, 4),
}


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_table_24_on_paper() -> None:
    """Convolutions 3x3 to 32, 64, 128, 256, each with a bias; what is dense sees 16 x 8 x 256: 0.72 M for ten labels."""
    convolutions = 9 * (1 * 32 + 32 * 64 + 64 * 128 + 128 * 256) + 32 + 64 + 128 + 256
    network = SpectrogramCnn(10)
    assert count(network) == convolutions + 16 * 8 * 256 * 10 + 10 == 715_530
    logits, features = network.of_spectrogram(torch.randn(2, 1, 256, 128))
    assert logits.shape == (2, 10)
    assert [tuple(each.shape[1:]) for each in features] == [(32, 128, 64), (64, 64, 32), (128, 32, 16), (256, 16, 8)]


def test_wavegan_s_classifier_on_paper() -> None:
    """Four convolutions 5x5 to 128 channels with biases, five batch norms, the last of all 8 x 8 x 128 numbers."""
    convolutions = 25 * (1 + 3 * 128) * 128 + 4 * 128
    norms = 2 * (128 + 3 * 128 + 8_192)
    network = WaveganInception(10)
    assert count(network) == convolutions + norms + 8_193 * 10
    logits, features = network.with_features(torch.randn(2, 16_384) * 0.1)
    assert logits.shape == (2, 10)
    assert [tuple(each.shape[1:]) for each in features] == [(128, 64, 64), (128, 32, 32), (128, 16, 16), (128, 8, 8)]


@pytest.mark.parametrize("kind", EVERY)
def test_every_classifier_gives_logits_feature_maps_and_a_vector(kind: str) -> None:
    network = EVERY[kind].eval()
    waveform = torch.randn(3, 16_384, generator=torch.Generator().manual_seed(0)) * 0.1
    heard = hear(network, waveform)
    assert torch.equal(heard.logits, network(waveform)) and heard.logits.shape == (3, 3)
    assert all(each.ndim == 4 and len(each) == 3 for each in heard.blocks)
    assert torch.allclose(heard.penultimate, heard.blocks[-1].mean((2, 3)))
    same, other = score(waveform, waveform, network), score(waveform, waveform.flip(0), network)
    assert same.feature_distance is not None and other.feature_distance is not None
    assert not same.feature_distance.any() and (other.feature_distance[[0, 2]] > 0).all()


@pytest.mark.parametrize("kind", EVERY)
def test_silence_is_what_a_spectrogram_shows_where_nothing_sounds(kind: str) -> None:
    network = EVERY[kind]
    assert torch.allclose(network.spectrogram(torch.zeros(1, 16_384)), torch.tensor(network.silence))


@pytest.mark.parametrize("kind", EVERY)
def test_gradients_reach_the_waveform_and_are_finite_at_silence(kind: str) -> None:
    network = EVERY[kind].eval()
    waveform = torch.randn(2, 16_384, generator=torch.Generator().manual_seed(1)) * 0.1
    waveform[:, 4_000:] = 0.0
    waveform[1] = 0.0
    waveform.requires_grad_()
    (gradient,) = torch.autograd.grad(network(waveform).square().sum(), waveform)
    assert gradient.isfinite().all() and gradient[0].abs().max() > 0


def test_the_mel_spectrogram_by_its_definition() -> None:
    """Frame by frame in numpy: frames begin at multiples of 128, and what is beyond the clip's end is 0."""
    waveform = np.random.default_rng(0).uniform(-1, 1, 16_384)
    long = np.concatenate([waveform, np.zeros(1_024)])
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1_024) / 1_024)
    spectrum = np.stack([np.abs(np.fft.rfft(long[128 * t : 128 * t + 1_024] * window)) for t in range(128)])
    mel = [2_595 * math.log10(1 + hertz / 700) for hertz in (40.0, 7_800.0)]
    edges = [mel[0] + (mel[1] - mel[0]) * band / 129 for band in range(130)]
    expected = np.zeros((128, 128))
    for band in range(128):
        for row in range(1, 513):
            at = 2_595 * math.log10(1 + row * 15.625 / 700)
            up = (at - edges[band]) / (edges[band + 1] - edges[band])
            down = (edges[band + 2] - at) / (edges[band + 2] - edges[band + 1])
            expected[band] += max(0.0, min(up, down)) * spectrum[:, row]
    network = WaveganInception(3, 1).double()
    found = network.spectrogram(torch.from_numpy(waveform)[None])[0].numpy()
    assert np.abs(found - np.log(expected + 1e-6)).max() < 1e-4


def published(place: Path, kind: str, network: ClipClassifier) -> str:
    folder = Folder.at(str(place))
    networks = {"classifier": network}
    bare = CheckpointManifest(kind, describe(networks), 1, USUAL, "untouched", ("a", "b", "c"))
    publish(folder, bare, {WEIGHTS: weights_bytes(networks)})
    return folder.uri


@pytest.mark.parametrize("kind", EVERY)
def test_a_checkpoint_of_any_of_them_is_a_classifier(kind: str, tmp_path: Path) -> None:
    network = EVERY[kind].eval()
    uri = published(tmp_path, "cnn" if kind in ("simple", "batch-norm") else "classifier", network)
    loaded, manifest = load_classifier(uri)
    waveform = torch.randn(2, 16_384, generator=torch.Generator().manual_seed(2)) * 0.1
    assert type(loaded) is type(network) and torch.equal(loaded(waveform), network(waveform))
    assert folder_of(uri, "classifier", "classifier")[1].digest == manifest.digest


def test_what_is_no_classifier_is_refused_by_the_kinds_that_are(tmp_path: Path) -> None:
    uri = published(tmp_path, "mapper", EVERY["resnet18"])
    with pytest.raises(
        UserError, match=r"classifier is a mapper checkpoint, not a classifier or cnn or recogniser; give a classifier"
    ):
        load_classifier(uri)
    with pytest.raises(UserError, match=r"has no checkpoint here; .*`invertone train classifier`"):
        folder_of(str(tmp_path / "nothing"), "classifier", "classifier")


def test_a_family_s_cnn_is_found_where_it_has_no_other_classifier(tmp_path: Path) -> None:
    published(tmp_path / "cnn", "cnn", EVERY["simple"])
    assert resolve(str(tmp_path), "judge", ("classifier", "cnn"))[1].kind == "cnn"
    published(tmp_path / "classifier", "classifier", EVERY["resnet18"])
    assert resolve(str(tmp_path), "judge", ("classifier", "cnn"))[1].kind == "classifier"


def test_networks_of_older_checkpoints_are_rebuilt_as_they_were() -> None:
    """Their architecture has no key that came later, and their tensors keep their names."""
    front_end = {"n_fft": 512, "hop_length": 256, "dynamic_range": 10.0, "reference": "clip", "mels": 64}
    now = front_end | {"window": "hann", "mean": 0.0, "deviation": 1.0, "sample_rate": 16_000}
    assert describe({"classifier": SimpleCnn(7, 4, front_end)}) == {
        "classifier": {"network": "simple_cnn", "outputs": 7, "width": 4, "front_end": now}
    }
    assert {"layers.0.weight", "layers.21.running_var", "dense.bias"} <= SimpleCnn(7).state_dict().keys()
    assert "mel" not in WaveganInception(3, 1).state_dict()
